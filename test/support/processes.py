"""Processes of the package as a user starts them, and what they write until they end."""

import os
import subprocess
import sys

from waiting import PATIENCE_S

from avsol_ros.nodes.dds_settings import environment

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
