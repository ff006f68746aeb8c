"""What is declared, built and installed, held against what the code uses."""

import ast
import graphlib
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

import avsol_ros
from avsol_ros.cli import VERBS
from avsol_ros.requirements import TRAINING

SOURCE = Path(__file__).resolve().parent.parent

# Import name -> rosdep key, where they differ.
ROSDEP_KEYS = {
    'cv2': 'python3-opencv',
    'jinja2': 'python3-jinja2',
    'numpy': 'python3-numpy',
    'yaml': 'python3-yaml',
    'pytest': 'python3-pytest',
    'hypothesis': 'python3-hypothesis',
    'scipy': 'python3-scipy',
    'sklearn': 'python3-sklearn',
    'tqdm': 'python3-tqdm',
}
# Import name -> project to pip install, where they differ.
PROJECTS = {'cv2': 'opencv-python-headless', 'yaml': 'PyYAML', 'sklearn': 'scikit-learn'}
# For these rosdep has no keys; package.xml says what to pip install.
WITHOUT_ROSDEP_KEY = {
    'av',
    'jsonargparse',
    'lightning',
    'openvino',
    'rosbags',
    'safetensors',
    'tensorboard',
    'torch',
    'torchaudio',
    'torchmetrics',
}
# Import name -> what brings it, being of no use without it.
BROUGHT = {'backports': 'rosbags', 'compression': 'rosbags', 'lz4': 'rosbags'}


def imports(path: Path) -> set[str]:
    """Return the full names of all modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.update(f'{node.module}.{alias.name}' for alias in node.names)
    return names


def third_party(*folders: str) -> dict[str, Path]:
    """Return the foreign top-level modules used below folders, each with a file that uses it."""
    used = {}
    for folder in folders:
        for path in (SOURCE / folder).rglob('*.py'):
            for name in imports(path):
                top = name.partition('.')[0]
                if top not in sys.stdlib_module_names and top != 'avsol_ros':
                    used[BROUGHT.get(top, top)] = path
    return used


@pytest.fixture(scope='module')
def manifest():
    return ElementTree.parse(SOURCE / 'package.xml').getroot()


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """Build the wheel that `pip install .` installs, away from the sources."""
    # Not imported: setuptools asserts where distutils stands, which other imports may have moved.
    if importlib.util.find_spec('setuptools') is None:
        pytest.skip('setuptools is not installed')
    source = tmp_path_factory.mktemp('source')
    for name in ('avsol_ros', 'training', 'config'):
        shutil.copytree(SOURCE / name, source / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('setup.py', 'pyproject.toml', 'LICENSE', 'NOTICE'):
        shutil.copy(SOURCE / name, source)
    folder = tmp_path_factory.mktemp('wheel')
    done = subprocess.run(
        [
            sys.executable,
            '-m',
            'pip',
            'wheel',
            '--no-deps',
            '--no-index',
            '--no-build-isolation',
            '--wheel-dir',
            folder,
            source,
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(folder.glob('avsol_ros-*.whl'))) as archive:
        yield archive


def test_package_xml_declares_every_import(manifest):
    declared = {child.text for child in manifest if child.tag in ('depend', 'exec_depend')}
    for module, path in third_party('avsol_ros', 'launch', 'training').items():
        if module in WITHOUT_ROSDEP_KEY:
            assert module in (SOURCE / 'package.xml').read_text().lower(), path
        else:
            assert ROSDEP_KEYS.get(module, module) in declared, f'{module}, used by {path}'


def test_pip_declares_every_import(wheel):
    name = next(name for name in wheel.namelist() if name.endswith('/METADATA'))
    required = {
        re.split(r'[;[ <>=]', line.removeprefix('Requires-Dist: '))[0].strip().lower()
        for line in wheel.read(name).decode().splitlines()
        if line.startswith('Requires-Dist: ')
    }
    manifest = ElementTree.parse(SOURCE / 'package.xml').getroot()
    ros = {child.text for child in manifest if child.tag.endswith('depend')}
    for module, path in third_party('avsol_ros', 'training').items():
        if module not in ros:
            assert PROJECTS.get(module, module).lower() in required, f'{module}, used by {path}'


def test_what_a_missing_module_of_training_is_said_to_need_is_its_extra(wheel):
    name = next(name for name in wheel.namelist() if name.endswith('/METADATA'))
    extra = {
        match[1].lower()
        for match in re.finditer(
            r'^Requires-Dist: ([^;]+?) *; extra == .training.$', wheel.read(name).decode(), re.M
        )
    }
    assert extra == set(TRAINING.values())


def test_one_version(manifest):
    assert manifest.findtext('version') == avsol_ros.__version__


def test_wheel_holds_the_package_and_nothing_else(wheel):
    inside = set(wheel.namelist())
    expected = {
        f'avsol_ros/{path.relative_to(SOURCE / "avsol_ros")}'
        for path in (SOURCE / 'avsol_ros').rglob('*')
        if path.suffix in ('.py', '.safetensors', '.html', '.css') or path.name == 'py.typed'
    }
    assert 'avsol_ros/py.typed' in expected
    expected |= {
        f'avsol_ros/training/{path.relative_to(SOURCE / "training")}'
        for path in (SOURCE / 'training').rglob('*')
        if path.suffix in ('.py', '.html', '.css')
    }
    assert {name for name in inside if name.startswith('avsol_ros/')} == expected
    assert {name.partition('/')[0].split('-')[0] for name in inside} == {'avsol_ros'}
    for path in (SOURCE / 'config').rglob('*.*'):
        name = f'/share/avsol_ros/{path.relative_to(SOURCE)}'
        assert any(one.endswith(name) for one in inside), name
    for file in ('LICENSE', 'NOTICE'):
        assert any(name.endswith(f'/{file}') for name in inside), file


def test_wheel_brings_the_command(wheel):
    name = next(name for name in wheel.namelist() if name.endswith('/entry_points.txt'))
    assert 'avsol = avsol_ros.cli:main' in wheel.read(name).decode()


# Architecture: who may import whom.

# Rooms, lowest first: a module imports from its own room and from rooms on lines before its own.
# Rooms that share a line do not know each other. A file that lies in no folder is a room, but
# those of training/ together are its recipe. The front door avsol_ros/__init__.py has no place:
# everything may read its __version__, and it names what lies above.
ROOMS = (
    'errors',
    'checks config exit_status requirements share',
    'command',
    'files',
    'locks',
    'progress stopping workers',
    'localization',
    'messages',
    'streams',
    'media',
    'models',
    'inference',
    'drawing',
    'bags',
    'offline',
    'nodes training.annotations',
    'training.metrics',
    'training.synthetic',
    'training.datasets',
    'training.recipe training.evaluation training.convert',
    'cli',
)
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms.split()}


def module_files() -> dict[str, Path]:
    """Return the file of each module, by the name under which it is imported."""
    files = {}
    for folder, package in (('avsol_ros', 'avsol_ros'), ('training', 'avsol_ros.training')):
        for path in (SOURCE / folder).rglob('*.py'):
            parts = path.relative_to(SOURCE / folder).with_suffix('').parts
            files['.'.join([package, *parts]).removesuffix('.__init__')] = path
    return files


def import_graph() -> dict[str, set[str]]:
    """Return, for each module, those of our own that it imports, wherever in it."""
    files = module_files()
    graph = {}
    for module, path in files.items():
        found = {
            name if name in files else name.rpartition('.')[0]  # what a module defines
            for name in imports(path)
        }
        graph[module] = found & files.keys()
    del graph['avsol_ros']
    return {module: targets - {'avsol_ros'} for module, targets in graph.items()}


def room_of(module: str) -> str:
    first, *rest = module.split('.')[1:]
    if first != 'training':
        return first
    in_folder = rest and (SOURCE / 'training' / rest[0]).is_dir()
    return f'training.{rest[0]}' if in_folder else 'training.recipe'


def test_every_module_is_in_a_known_room():
    assert {room_of(module) for module in import_graph()} - FLOOR.keys() == set()


def test_no_import_runs_upward_or_sideways():
    broken = {
        (module, target)
        for module, targets in import_graph().items()
        for target in targets
        if room_of(target) != room_of(module) and FLOOR[room_of(target)] >= FLOOR[room_of(module)]
    }
    assert broken == set()


def test_no_imports_run_in_a_circle():
    graphlib.TopologicalSorter(import_graph()).prepare()  # raises CycleError, which names them


def using(paths: Iterable[Path], *modules: str) -> list[str]:
    return [
        f'{path.relative_to(SOURCE)} imports {name}'
        for path in paths
        for name in imports(path)
        for module in modules
        if f'{name}.'.startswith(f'{module}.')
    ]


def test_the_core_and_training_know_no_ros():
    core = [
        path
        for path in (SOURCE / 'avsol_ros').rglob('*.py')
        if path.parent.name not in ('nodes', 'cli') and path.name != 'to_ros.py'
    ]
    assert using(core, 'rclpy') == []
    assert using((SOURCE / 'training').rglob('*.py'), 'rclpy', 'avsol_ros.nodes') == []


def test_nodes_need_nothing_of_training():
    assert using((SOURCE / 'avsol_ros' / 'nodes').rglob('*.py'), 'lightning', 'torchmetrics') == []


# The build.


def install_prefix() -> Path:
    for prefix in [sys.prefix, *os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)]:
        if prefix and Path(prefix, 'lib', 'avsol_ros').is_dir():
            return Path(prefix)
    pytest.skip('avsol_ros is not built here')


def test_every_verb_is_an_executable_of_the_package():
    folder = install_prefix() / 'lib' / 'avsol_ros'
    assert {path.name for path in folder.iterdir() if path.is_file()} == set(VERBS)
    assert all(os.access(folder / name, os.X_OK) for name in VERBS)


def test_executables_run_the_command_line(tmp_path):
    prefix = install_prefix()
    version = subprocess.run(
        [prefix / 'bin' / 'avsol', '--version'], cwd=tmp_path, capture_output=True, text=True
    )
    assert version.stdout == f'avsol {avsol_ros.__version__}\n', version.stderr
    verb = subprocess.run(
        [prefix / 'lib' / 'avsol_ros' / 'play', '--help'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert verb.stdout.startswith('usage: avsol play'), verb.stderr


def test_the_mark_of_annotations_is_installed():
    packages = install_prefix().glob('lib/python*/site-packages/avsol_ros')
    assert [folder for folder in packages if (folder / 'py.typed').is_file()]


def test_config_and_launch_files_are_installed():
    share = install_prefix() / 'share' / 'avsol_ros'
    for folder in ('config', 'launch'):
        assert {path.relative_to(SOURCE) for path in (SOURCE / folder).rglob('*.*')} <= {
            path.relative_to(share) for path in share.rglob('*.*')
        }


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_colcon_builds_a_workspace_as_on_a_robot(tmp_path):
    prefix = install_prefix()
    colcon = shutil.which('colcon', path=f'{prefix}/bin{os.pathsep}{os.environ["PATH"]}')
    if colcon is None:
        pytest.skip('there is no colcon here')
    source = tmp_path / 'src' / 'avsol_ros'
    shutil.copytree(
        SOURCE,
        source,
        ignore=shutil.ignore_patterns(
            '.*', '__pycache__', 'build', 'install', 'log', 'out', 'runs'
        ),
    )
    underlay = os.pathsep.join(filter(None, [str(prefix), os.environ.get('AMENT_PREFIX_PATH')]))
    environment = {
        **os.environ,
        'PATH': f'{prefix}/bin{os.pathsep}{os.environ["PATH"]}',
        'AMENT_PREFIX_PATH': underlay,
        'CMAKE_PREFIX_PATH': underlay,
    }
    listed = subprocess.run(
        [colcon, 'list', '--names-only'],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert listed.stdout.split() == ['avsol_ros']
    built = subprocess.run(
        [
            colcon,
            'build',
            '--cmake-args',
            '-DBUILD_TESTING=OFF',
            f'-DPython3_EXECUTABLE={sys.executable}',
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    shutil.rmtree(source)  # what is installed must stand alone
    installed = tmp_path / 'install' / 'avsol_ros'
    assert {path.name for path in (installed / 'lib' / 'avsol_ros').iterdir()} == set(VERBS)
    assert (installed / 'share' / 'avsol_ros' / 'launch' / 'avsol.launch.py').is_file()
    site_packages = next(installed.glob('lib/python*/site-packages'))
    templates = site_packages / 'avsol_ros' / 'training' / 'evaluation' / 'templates'
    assert {path.suffix for path in templates.iterdir()} == {'.html', '.css'}
    code = (
        'import avsol_ros, avsol_ros.training; from avsol_ros.msg import SoundingObjects; '
        'print(avsol_ros.__path__[0], SoundingObjects().avc_probability)'
    )
    libraries = os.pathsep.join(
        filter(None, [f'{installed}/lib', os.environ.get('LD_LIBRARY_PATH')])
    )
    used = subprocess.run(
        [sys.executable, '-c', code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**environment, 'PYTHONPATH': str(site_packages), 'LD_LIBRARY_PATH': libraries},
    )
    assert used.stdout.split() == [str(site_packages / 'avsol_ros'), '0.0'], used.stderr


# Fields of the messages as the distributions have them: any installation must agree, else nodes
# built here and nodes built there would not hear each other.
HEADER = ('header', 'std_msgs/Header')
UPSTREAM = {
    'audio_common_msgs/AudioData': [('data', 'sequence<uint8>')],
    'audio_common_msgs/AudioDataStamped': [HEADER, ('audio', 'audio_common_msgs/AudioData')],
    'audio_common_msgs/AudioInfo': [
        ('channels', 'uint8'),
        ('sample_rate', 'uint32'),
        ('sample_format', 'string'),
        ('bitrate', 'uint32'),
        ('coding_format', 'string'),
    ],
    'vision_msgs/BoundingBox2D': [
        ('center', 'vision_msgs/Pose2D'),
        ('size_x', 'double'),
        ('size_y', 'double'),
    ],
    'vision_msgs/BoundingBox2DArray': [HEADER, ('boxes', 'sequence<vision_msgs/BoundingBox2D>')],
    'vision_msgs/BoundingBox3D': [
        ('center', 'geometry_msgs/Pose'),
        ('size', 'geometry_msgs/Vector3'),
    ],
    'vision_msgs/BoundingBox3DArray': [HEADER, ('boxes', 'sequence<vision_msgs/BoundingBox3D>')],
    'vision_msgs/Classification': [HEADER, ('results', 'sequence<vision_msgs/ObjectHypothesis>')],
    'vision_msgs/Detection2D': [
        HEADER,
        ('results', 'sequence<vision_msgs/ObjectHypothesisWithPose>'),
        ('bbox', 'vision_msgs/BoundingBox2D'),
        ('id', 'string'),
    ],
    'vision_msgs/Detection2DArray': [HEADER, ('detections', 'sequence<vision_msgs/Detection2D>')],
    'vision_msgs/Detection3D': [
        HEADER,
        ('results', 'sequence<vision_msgs/ObjectHypothesisWithPose>'),
        ('bbox', 'vision_msgs/BoundingBox3D'),
        ('id', 'string'),
    ],
    'vision_msgs/Detection3DArray': [HEADER, ('detections', 'sequence<vision_msgs/Detection3D>')],
    'vision_msgs/LabelInfo': [
        HEADER,
        ('class_map', 'sequence<vision_msgs/VisionClass>'),
        ('threshold', 'float'),
    ],
    'vision_msgs/ObjectHypothesis': [('class_id', 'string'), ('score', 'double')],
    'vision_msgs/ObjectHypothesisWithPose': [
        ('hypothesis', 'vision_msgs/ObjectHypothesis'),
        ('pose', 'geometry_msgs/PoseWithCovariance'),
    ],
    'vision_msgs/Point2D': [('x', 'double'), ('y', 'double')],
    'vision_msgs/Pose2D': [('position', 'vision_msgs/Point2D'), ('theta', 'double')],
    'vision_msgs/VisionClass': [('class_id', 'uint16'), ('class_name', 'string')],
    'vision_msgs/VisionInfo': [
        HEADER,
        ('method', 'string'),
        ('database_location', 'string'),
        ('database_version', 'int32'),
    ],
}


@pytest.mark.parametrize('name', UPSTREAM)
def test_messages_have_the_fields_that_other_nodes_send(name):
    package, message = name.split('/')
    module = pytest.importorskip(f'{package}.msg')
    assert list(getattr(module, message).get_fields_and_field_types().items()) == UPSTREAM[name]


def test_carried_messages_are_exactly_those_of_the_list():
    carried = {
        f'{path.parent.parent.name}/{path.stem}'
        for path in (SOURCE / 'env' / 'interfaces').glob('*/msg/*.msg')
    }
    assert carried == set(UPSTREAM)


def test_own_message_is_beside_the_own_code():
    pytest.importorskip('rclpy')
    message = importlib.import_module('avsol_ros.msg').SoundingObjects
    assert list(message.get_fields_and_field_types()) == [
        'header',
        'window_start',
        'window_end',
        'audio_missing',
        'avc_probability',
        'class_names',
        'class_scores',
        'detections',
    ]


def test_make_alone_lists_the_targets():
    done = subprocess.run(['make', '-s'], cwd=SOURCE, capture_output=True, text=True)
    assert done.returncode == 0
    for target in ('demo', 'test', 'test-slow', 'lint', '.venv', 'clean'):
        assert f'make {target}' in done.stdout


@pytest.mark.parametrize('clip', [None, "Bob's clip.mp4", 'a "b" c.mp4'])
def test_make_demo_takes_any_name(tmp_path, clip):
    shutil.copy(SOURCE / 'Makefile', tmp_path)
    (tmp_path / 'env').mkdir()
    (tmp_path / 'env' / 'make_venv.py').touch()
    avsol = tmp_path / '.venv' / 'bin' / 'avsol'
    avsol.parent.mkdir(parents=True)
    avsol.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    avsol.chmod(0o755)
    named = [] if clip is None else [f'CLIP={clip}']
    done = subprocess.run(
        ['make', '-s', 'demo', *named, "OUT=Ann's results"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        'demo',
        *([] if clip is None else [clip]),
        '--out',
        "Ann's results",
    ]


# The environment from nothing.


@pytest.fixture
def make_venv(tmp_path, monkeypatch):
    """Return env/make_venv.py as a module that works on an empty folder."""
    spec = importlib.util.spec_from_file_location('make_venv', SOURCE / 'env' / 'make_venv.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    venv = tmp_path / '.venv'
    for name, value in {
        'SOURCE': tmp_path,
        'VENV': venv,
        'PYTHON': venv / 'bin' / 'python',
        'STATE': venv / 'make_venv',
        'LOG': venv / 'make_venv.log',
        'BEGUN': venv / 'make_venv' / 'begun',
    }.items():
        assert hasattr(module, name)
        monkeypatch.setattr(module, name, value)
    return module


def test_missing_compiler_is_one_line(tmp_path):
    (tmp_path / 'env').mkdir()
    (tmp_path / 'empty').mkdir()
    shutil.copy(SOURCE / 'env' / 'make_venv.py', tmp_path / 'env')
    environment = {name: value for name, value in os.environ.items() if name != 'CXX'}
    done = subprocess.run(
        [sys.executable, tmp_path / 'env' / 'make_venv.py'],
        env={**environment, 'PATH': str(tmp_path / 'empty')},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ''
    assert done.stderr.count('\n') == 1
    for word in (
        'a C++ compiler',
        'make',
        'apt install g++ make python3-dev python3-venv',
        'dnf install gcc-c++ make python3-devel',
    ):
        assert word in done.stderr
    assert not (tmp_path / '.venv').exists()


def test_missing_headers_are_named(make_venv, monkeypatch, tmp_path):
    monkeypatch.setattr(make_venv.sysconfig, 'get_path', lambda name: str(tmp_path))
    assert f'the Python headers ({tmp_path}/Python.h)' in make_venv.missing_tools()
    with pytest.raises(make_venv.SetupError, match='Python headers.*python3-dev.*python3-devel'):
        make_venv.check_machine()


@pytest.mark.parametrize('version', [(3, 9), (3, 15)])
def test_python_without_ros_wheels_is_refused(make_venv, monkeypatch, version):
    monkeypatch.setattr(make_venv.sys, 'version_info', (*version, 0))
    with pytest.raises(make_venv.SetupError, match=r'wheels are for 3\.10 to 3\.14'):
        make_venv.check_machine()


def test_cmake_repair_points_here_and_is_done_once(make_venv, tmp_path):
    path = tmp_path / 'share' / 'std_msgs' / 'cmake' / 'export.cmake'
    path.parent.mkdir(parents=True)
    path.write_text(
        'set_target_properties(std_msgs PROPERTIES INTERFACE_INCLUDE_DIRECTORIES '
        '"${_IMPORT_PREFIX}/include/std_msgs;/opt/python/cp311-cp311/include/python3.11;'
        '/opt/python/cp311-cp311/lib/python3.11/site-packages/numpy/_core/include")\n'
        'set(other "/opt/python-like/include/python3.11")\n'
    )
    assert make_venv.repair_cmake(tmp_path, '/here/include', '/here/numpy') == 1
    repaired = path.read_text()
    assert '"${_IMPORT_PREFIX}/include/std_msgs;/here/include;/here/numpy"' in repaired
    assert 'set(other "/opt/python-like/include/python3.11")' in repaired
    assert make_venv.repair_cmake(tmp_path, '/here/include', '/here/numpy') == 0
    assert path.read_text() == repaired


def test_torchaudio_repair_takes_only_compiled_libraries(make_venv, tmp_path):
    folder = tmp_path / 'torchaudio' / 'lib'
    folder.mkdir(parents=True)
    (folder / 'libtorchaudio.so').touch()
    (folder / '__init__.py').touch()
    (tmp_path / 'other.so').touch()
    assert make_venv.repair_torchaudio(tmp_path) == 1
    assert sorted(path.name for path in folder.iterdir()) == ['__init__.py']
    assert (tmp_path / 'other.so').exists()
    assert make_venv.repair_torchaudio(tmp_path) == 0


def test_prune_takes_links_to_files_that_are_gone(make_venv, tmp_path):
    (tmp_path / 'source.py').touch()
    (tmp_path / 'installed' / 'nodes').mkdir(parents=True)
    (tmp_path / 'installed' / 'kept.py').symlink_to(tmp_path / 'source.py')
    (tmp_path / 'installed' / 'nodes' / 'gone.py').symlink_to(tmp_path / 'gone.py')
    assert make_venv.prune(tmp_path / 'installed') == 1
    assert [path.name for path in (tmp_path / 'installed').rglob('*.py')] == ['kept.py']


@pytest.fixture
def steps(make_venv, monkeypatch):
    """Return the log of a make_venv whose steps only write down that they ran, and its inputs."""
    ran, inputs, failing = [], {}, {}

    def step(name):
        def run():
            if name == 'environment':
                shutil.rmtree(make_venv.VENV, ignore_errors=True)
                (make_venv.VENV / 'bin').mkdir(parents=True)
                version = f'python{sys.version_info[0]}.{sys.version_info[1]}'
                (make_venv.VENV / 'lib' / version).mkdir(parents=True)
                make_venv.PYTHON.symlink_to(sys.executable)
                make_venv.STATE.mkdir()
            ran.append(name)
            if name in failing:
                raise failing.pop(name)

        inputs[name] = ['1']
        return name, f'doing {name}', run, lambda: inputs[name]

    names = ('environment', 'torch', 'wheels', 'interfaces', 'avsol_ros')
    monkeypatch.setattr(make_venv, 'STEPS', tuple(map(step, names)))
    monkeypatch.setattr(make_venv, 'check_machine', lambda: None)

    def make():
        ran.clear()
        make_venv.make()
        return list(ran)

    return make, inputs, failing, list(names)


def test_steps_run_once(steps):
    make, _, _, names = steps
    assert make() == names
    assert make() == []


@pytest.mark.parametrize('changed', range(5))
def test_changed_input_runs_its_step_and_the_later_ones(steps, changed):
    make, inputs, _, names = steps
    make()
    inputs[names[changed]] = ['2']
    assert make() == names[changed:]
    assert make() == []


@pytest.mark.parametrize('broken', range(5))
def test_failed_step_is_where_the_next_run_goes_on(steps, make_venv, broken):
    make, _, failing, names = steps
    failing[names[broken]] = make_venv.SetupError('no network')
    with pytest.raises(make_venv.SetupError):
        make()
    assert make() == (names if broken == 0 else names[broken:])
    assert make() == []


@pytest.mark.parametrize('killed', range(5))
def test_killed_install_starts_anew_and_killed_build_goes_on(steps, killed):
    make, _, failing, names = steps
    failing[names[killed]] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        make()
    assert make() == (names if killed < 3 else names[killed:])
    assert make() == []


def test_vanished_interpreter_starts_anew(steps, make_venv):
    make, _, _, names = steps
    make()
    make_venv.PYTHON.unlink()
    assert make() == names
