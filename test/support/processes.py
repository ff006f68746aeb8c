"""Processes of the package as a user starts them, and what they write until they end."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from waiting import PATIENCE_S

from avsol_ros.nodes.dds_settings import environment

SOURCE = Path(__file__).resolve().parents[2]
# The command `avsol` from the sources, wherever it may be installed.
AVSOL = ('-c', 'import sys; from avsol_ros.cli import main; sys.exit(main())')


def start_process(*arguments, **options):
    """Start a Python process with the settings of DDS; its output is captured as text."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        **{
            'text': True,
            'stdout': subprocess.PIPE,
            'stderr': subprocess.STDOUT,
            'env': {**os.environ, **environment(), 'OMP_NUM_THREADS': '1'},
            **options,
        },
    )


def start_avsol(*arguments, **options):
    """Start ``avsol VERB ...``; see :func:`start_process`."""
    return start_process(*AVSOL, *arguments, **options)


def run_without(modules, *arguments, cwd=SOURCE):
    """
    Run ``avsol VERB ...`` to its end where some modules, by their full names, are not installed.

    :returns: the finished process, with its output in ``stdout`` and ``stderr``.
    """
    code = f"""
import sys
class Missing:
    def find_spec(self, name, *_):
        if any(f'{{name}}.'.startswith(f'{{module}}.') for module in {tuple(modules)!r}):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Missing())
from avsol_ros.cli import main
sys.exit(main())
"""
    paths = filter(None, [str(SOURCE), os.environ.get('PYTHONPATH')])
    return subprocess.run(
        [sys.executable, '-c', code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(paths)},
    )


def read_until(process, *lines):
    """Read what a process writes until it has written all these lines."""
    missing = {f'{line}\n' for line in lines}
    while missing:
        line = process.stdout.readline()
        assert line, f'it ended without writing {missing}'
        missing.discard(line)


def finish(process, number=None, status=0):
    """
    Wait until a process has ended, and check that it ended well.

    :param number: signal to send first, if it still runs.
    :param status: its exit status, or several of which it is one.
    :returns: what it has written that was not read yet.
    """
    if number is not None and process.poll() is None:
        process.send_signal(number)
    try:
        output, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    statuses = status if isinstance(status, tuple) else (status,)
    assert process.returncode in statuses, output
    assert 'Traceback' not in output, output
    return output


def shared_memory(pid):
    """Files of Fast DDS that a process holds in shared memory."""
    lines = Path(f'/proc/{pid}/maps').read_text().splitlines()
    return {Path(line.split()[-1]) for line in lines if '/dev/shm/fastdds_' in line}


def left_in_shared_memory(held, before=()):
    """
    Those of the files that are there and that no process holds.

    :param before: files that were there before; a port that processes share is not removed again
        once any of them was killed.
    """
    held = {path for path in map(Path, held) if path.exists()} - set(before)
    for process in Path('/proc').iterdir():
        if held and process.name.isdecimal():
            with suppress(OSError):
                held -= shared_memory(process.name)
    return {path for path in held if path.exists()}
