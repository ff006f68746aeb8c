"""
The audio_common_msgs of mgonzs13 for tests: built into a folder beside the environment.

Its messages are built from their definitions as facts; see test/bag_files.py.
"""

import os
import subprocess
import sys
from pathlib import Path

from bag_files import MGONZS13

CMAKE = """cmake_minimum_required(VERSION 3.16)
project(audio_common_msgs)
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
find_package(std_msgs REQUIRED)
rosidl_generate_interfaces(${PROJECT_NAME} %s DEPENDENCIES std_msgs)
ament_package()
"""
MANIFEST = """<?xml version="1.0"?>
<package format="3">
  <name>audio_common_msgs</name>
  <version>4.0.10</version>
  <description>For tests</description>
  <maintainer email="avsol_ros@example.com">avsol_ros maintainers</maintainer>
  <license>none</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  <depend>std_msgs</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""


def build(folder: Path) -> dict[str, str]:
    """
    Build the package.

    :return: environment of processes that have it installed in place of ros-drivers'.
    """
    source, prefix = folder / 'source' / 'audio_common_msgs', folder / 'install'
    (source / 'msg').mkdir(parents=True)
    names = []
    for type_name, text in MGONZS13.items():
        names.append(f'msg/{type_name.split("/")[-1]}.msg')
        (source / names[-1]).write_text(text)
    (source / 'CMakeLists.txt').write_text(CMAKE % ' '.join(names))
    (source / 'package.xml').write_text(MANIFEST)
    prepend = {
        'AMENT_PREFIX_PATH': sys.prefix,
        'CMAKE_PREFIX_PATH': sys.prefix,
        'PATH': str(Path(sys.prefix, 'bin')),
    }
    done = subprocess.run(
        [
            sys.executable,
            '-m',
            'colcon',
            '--log-base',
            folder / 'log',
            'build',
            '--merge-install',
            '--install-base',
            prefix,
            '--build-base',
            folder / 'build',
            '--base-paths',
            source,
            '--allow-overriding',
            'audio_common_msgs',
            '--event-handlers',
            'console_direct+',
            'desktop_notification-',
            '--cmake-args',
            '-DBUILD_TESTING=OFF',
            f'-DPython3_EXECUTABLE={sys.executable}',
        ],
        env=extended(prepend),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    packages = next(prefix.glob('lib/python*/site-packages'))
    root = Path(__file__).resolve().parents[2]
    return extended(
        {
            'AMENT_PREFIX_PATH': str(prefix),
            'LD_LIBRARY_PATH': str(prefix / 'lib'),
            'PYTHONPATH': os.pathsep.join(map(str, [packages, root, root / 'test' / 'support'])),
        }
    )


def extended(paths: dict[str, str]) -> dict[str, str]:
    """Environment with paths before those that are there."""
    found = dict(os.environ)
    for name, path in paths.items():
        found[name] = os.pathsep.join(filter(None, [path, found.get(name, '')]))
    return found
