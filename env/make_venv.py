#!/usr/bin/env python3
"""
Make .venv: ROS 2 Kilted, torch, the message packages and avsol_ros itself, from nothing.

Needs Python 3.10 to 3.14 on x86-64 Linux, a C++ compiler, make and the Python headers; no ROS
installation. Every step leaves a stamp made from its inputs, so a second run does only what
has changed, mostly nothing. What the tools say goes to .venv/make_venv.log.
"""

import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
VENV = SOURCE / '.venv'
PYTHON = VENV / 'bin' / 'python'
STATE = VENV / 'make_venv'
LOG = VENV / 'make_venv.log'
BEGUN = STATE / 'begun'
REQUIREMENTS = SOURCE / 'env' / 'requirements.txt'
INTERFACES = SOURCE / 'env' / 'interfaces'

TORCH = '2.13.0'
TORCHAUDIO = '2.11.0'  # the newest that runs beside this torch

OLDEST, NEWEST = (3, 10), (3, 14)  # Pythons for which there are ROS wheels
LOG_TAIL = 15  # lines shown when a step fails


class SetupError(Exception):
    """.venv cannot be made; the text is one line for the user."""


class StepError(SetupError):
    """A step failed; the end of the log tells more."""


def missing_tools() -> list[str]:
    """Return what the machine lacks for building message packages."""
    header = Path(sysconfig.get_path('include'), 'Python.h')
    checks = {
        'a C++ compiler': any(map(shutil.which, (os.environ.get('CXX', 'g++'), 'g++', 'c++'))),
        'make': shutil.which('make'),
        f'the Python headers ({header})': header.exists(),
        'the Python module venv': all(map(importlib.util.find_spec, ('venv', 'ensurepip'))),
    }
    return [name for name, found in checks.items() if not found]


def check_machine() -> None:
    """Stop with one line where .venv cannot be made."""
    version = sys.version_info[:2]
    if not OLDEST <= version <= NEWEST:
        raise SetupError(
            f'this is Python {version[0]}.{version[1]}; the ROS wheels are for 3.{OLDEST[1]} to '
            f'3.{NEWEST[1]}; run make PYTHON=python3.12, or another of these'
        )
    if (platform.system(), platform.machine()) != ('Linux', 'x86_64'):
        raise SetupError(
            f'this is {platform.system()} on {platform.machine()}; the ROS wheels '
            'are for x86-64 Linux; elsewhere use a ROS 2 installation and colcon'
        )
    missing = missing_tools()
    if missing:
        raise SetupError(
            f'missing: {", ".join(missing)}; on Debian or Ubuntu: '
            'apt install g++ make python3-dev python3-venv; on Fedora: '
            'dnf install gcc-c++ make python3-devel'
        )


def repair_cmake(prefix: Path, python_include: str, numpy_include: str) -> int:
    """
    Point the wheels' CMake files at this machine's headers; return how many files changed.

    The exports of every message package name the Python and numpy folders of the machine that
    built the wheels.
    """
    builder = re.compile(
        r'/opt/python/[^/;"]+/'
        r'(?:(?P<python>include/python3\.\d+)'
        r'|lib/python3\.\d+/site-packages/numpy/_?core/include)'
    )
    changed = 0
    for path in (prefix / 'share').rglob('*.cmake'):
        text = path.read_text(encoding='utf-8')
        repaired = builder.sub(
            lambda found: python_include if found['python'] else numpy_include, text
        )
        if repaired != text:
            _write(path, repaired)
            changed += 1
    return changed


def repair_torchaudio(site_packages: Path) -> int:
    """
    Take away torchaudio's compiled libraries; return how many there were.

    They are built for CUDA and fail to load beside a CPU-only torch. The filter bank and the
    spectrogram, all that avsol_ros uses of it, are pure PyTorch and work without them.
    """
    libraries = list((site_packages / 'torchaudio').rglob('*.so'))
    for library in libraries:
        library.unlink()
    return len(libraries)


def prune(folder: Path) -> int:
    """Remove links to files that are gone from the sources; return how many there were."""
    dangling = [path for path in folder.rglob('*') if path.is_symlink() and not path.exists()]
    for path in dangling:
        path.unlink()
    return len(dangling)


def _write(path: Path, text: str) -> None:
    """Write a file beside and rename it, so that a kill leaves the old or the new one."""
    beside = path.with_name(path.name + '.new')
    beside.write_text(text, encoding='utf-8')
    beside.replace(path)


def _environment() -> dict[str, str]:
    """Return the environment of the build: .venv alone, whatever the user's shell has sourced."""
    leave_out = re.compile(
        r'(PYTHON|COLCON_|AMENT_|CMAKE_|ROS_|_ROS_|LD_LIBRARY_PATH$|MAKEFLAGS$'
        r'|MFLAGS$|MAKELEVEL$|MAKEOVERRIDES$|PIP_(USER|TARGET|PREFIX)$)'
    )
    kept = {name: value for name, value in os.environ.items() if not leave_out.match(name)}
    return {
        **kept,
        'PATH': f'{VENV / "bin"}{os.pathsep}{kept.get("PATH", os.defpath)}',
        'VIRTUAL_ENV': str(VENV),
        'AMENT_PREFIX_PATH': str(VENV),
        'CMAKE_PREFIX_PATH': str(VENV),
        'PIP_DISABLE_PIP_VERSION_CHECK': '1',
    }


def _try(*command: str | Path) -> bool:
    """Run a command with its output in the log; return whether it succeeded."""
    with open(LOG, 'a', encoding='utf-8') as log:
        print(f'\n$ {" ".join(map(str, command))}', file=log, flush=True)
        return (
            subprocess.run(
                list(map(str, command)),
                cwd=SOURCE,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            ).returncode
            == 0
        )


def _run(*command: str | Path) -> None:
    if not _try(*command):
        raise StepError(f'{Path(command[0]).name} failed; all it said is in {LOG}')


def _ask(code: str) -> str:
    """Return what a line of Python prints in .venv."""
    done = subprocess.run(
        [PYTHON, '-c', code], env=_environment(), capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _pip(*arguments: str) -> bool:
    return _try(PYTHON, '-m', 'pip', 'install', '--no-input', *arguments)


def make_environment() -> None:
    """Make an empty virtual environment."""
    shutil.rmtree(VENV, ignore_errors=True)
    VENV.mkdir()
    _run(sys.executable, '-m', 'venv', VENV)
    STATE.mkdir()


def has_gpu() -> bool:
    """Return whether an NVIDIA GPU answers."""
    try:
        return (
            subprocess.run(
                ['nvidia-smi', '--list-gpus'], capture_output=True, timeout=60
            ).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def install_torch() -> None:
    """Install torch for the GPU where there is one, else the smaller build for the CPU."""
    if has_gpu():
        installed = _pip(f'torch=={TORCH}')
    else:
        installed = _pip(f'torch=={TORCH}+cpu')
        if not installed and _pip('uv'):
            # uv knows by itself where the CPU builds are.
            installed = _try(
                VENV / 'bin' / 'uv',
                'pip',
                'install',
                '--python',
                PYTHON,
                '--torch-backend=cpu',
                f'torch=={TORCH}',
            )
        if not installed:
            _say('no CPU build of torch to be had; taking the one for CUDA, several GB')
            installed = _pip(f'torch=={TORCH}')
    if not installed:
        raise StepError(f'torch {TORCH} could not be installed; all that was tried is in {LOG}')


def install_wheels() -> None:
    """Install everything else and repair what the wheels need repaired."""
    _run(PYTHON, '-m', 'pip', 'install', '--no-input', '-r', REQUIREMENTS)
    _run(PYTHON, '-m', 'pip', 'install', '--no-input', '--no-deps', f'torchaudio=={TORCHAUDIO}')
    include, numpy_include, site_packages = _ask(
        'import sysconfig, numpy; print(sysconfig.get_path("include"), numpy.get_include(), '
        'sysconfig.get_path("purelib"), sep="\\n")'
    ).splitlines()
    repair_cmake(VENV, include, numpy_include)
    if not _try(PYTHON, '-c', 'import torchaudio'):
        repair_torchaudio(Path(site_packages))
        _run(PYTHON, '-c', 'import torchaudio')


def _colcon(base_path: Path, step: str) -> None:
    """Build packages straight into .venv, so that nothing has to be sourced."""
    _run(
        VENV / 'bin' / 'colcon',
        '--log-base',
        STATE / 'colcon',
        'build',
        '--merge-install',
        '--symlink-install',
        '--install-base',
        VENV,
        '--build-base',
        STATE / step,
        '--base-paths',
        base_path,
        '--event-handlers',
        'console_direct+',
        'console_cohesion-',
        'desktop_notification-',
        '--cmake-args',
        '-DBUILD_TESTING=OFF',
        f'-DPython3_EXECUTABLE={PYTHON}',
    )


def build_interfaces() -> None:
    """Build the message packages that have no wheels."""
    _colcon(INTERFACES, 'interfaces')


def build_avsol_ros() -> None:
    """Build avsol_ros; its Python files are linked, so that editing them needs no build."""
    _colcon(SOURCE, 'avsol_ros')
    for folder in (*VENV.glob('lib/python*/site-packages'), VENV / 'lib', VENV / 'share'):
        prune(folder / 'avsol_ros')


def _files(*patterns: str) -> list[Path]:
    return sorted(
        path
        for pattern in patterns
        for path in SOURCE.glob(pattern)
        if path.is_file() and '__pycache__' not in path.parts
    )


def _contents(*patterns: str) -> list[str]:
    return [
        f'{path.relative_to(SOURCE)} {hashlib.sha256(path.read_bytes()).hexdigest()}'
        for path in _files(*patterns)
    ]


def _names(*patterns: str) -> list[str]:
    return [str(path.relative_to(SOURCE)) for path in _files(*patterns)]


# Name, what to say, function, inputs. A step runs when its inputs or a step before it changed.
STEPS = (
    ('environment', 'making .venv', make_environment, lambda: [str(VENV)]),
    ('torch', 'installing torch', install_torch, lambda: [TORCH]),
    (
        'wheels',
        'installing ROS 2 and the other wheels',
        install_wheels,
        lambda: [TORCHAUDIO, *_contents('env/*.txt')],
    ),
    (
        'interfaces',
        'building the message packages that have no wheels',
        build_interfaces,
        lambda: _contents('env/interfaces/**/*'),
    ),
    (
        'avsol_ros',
        'building avsol_ros',
        build_avsol_ros,
        lambda: [
            *_contents(
                'CMakeLists.txt', 'package.xml', 'bin/*', 'msg/*', 'avsol_ros/cli/__init__.py'
            ),
            *_names('avsol_ros/**/*', 'training/**/*', 'config/**/*', 'launch/**/*'),
        ],
    ),
)


def _say(text: str) -> None:
    print(f'[.venv] {text}', flush=True)


def _interrupted() -> str:
    """Return the name of the step in whose middle the last run was killed, if any."""
    return BEGUN.read_text() if BEGUN.exists() else ''


def _usable() -> bool:
    """Return whether the interpreter of .venv is the one that its packages were installed for."""
    if _interrupted() in ('torch', 'wheels'):
        return False  # half a package may lie there
    try:
        version = 'import sys; print("%d.%d" % sys.version_info[:2])'
        found = subprocess.run(
            [PYTHON, '-ISc', version], capture_output=True, text=True
        ).stdout.strip()
    except OSError:
        return False
    return bool(found) and (VENV / 'lib' / f'python{found}').is_dir()


def pending() -> list[tuple]:
    """Return the steps that have to run, each with the stamp that it leaves."""
    waiting = []
    usable = _usable()
    key = ''
    for name, title, step, inputs in STEPS:
        key = hashlib.sha256('\n'.join([key, *inputs()]).encode()).hexdigest()
        stamp = STATE / f'{name}.stamp'
        done = usable and stamp.exists() and stamp.read_text() == key
        if not done or waiting:
            waiting.append((name, stamp, key, title, step))
    return waiting


def make() -> None:
    """Bring .venv up to date."""
    steps = pending()
    if not steps:
        return
    check_machine()
    if _interrupted():
        shutil.rmtree(STATE / _interrupted(), ignore_errors=True)
    for name, stamp, key, title, step in steps:
        _say(title)
        began = time.monotonic()
        if STATE.exists():
            _write(BEGUN, name)
        try:
            step()
        except SetupError:
            # The tool ended by itself and cleaned up; the next run goes on from here.
            BEGUN.unlink(missing_ok=True)
            raise
        _write(stamp, key)
        BEGUN.unlink(missing_ok=True)
        _say(f'  done in {time.monotonic() - began:.0f} s')
    _say('ready')


def main() -> int:
    """Make .venv, one run at a time."""
    if Path(sys.prefix) == VENV:
        # Run by the very environment that may have to be made anew.
        os.execv(sys._base_executable, [sys._base_executable, *sys.argv])
    folder = os.open(SOURCE / 'env', os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say('waiting for another run to end')
        fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        make()
    except SetupError as error:
        if isinstance(error, StepError):
            print(
                *LOG.read_text(errors='replace').splitlines()[-LOG_TAIL:],
                sep='\n',
                file=sys.stderr,
            )
        print(f'[.venv] error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        os.close(folder)
    return 0


if __name__ == '__main__':
    sys.exit(main())
