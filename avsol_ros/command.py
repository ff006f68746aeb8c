"""A command as a shell sees it: an exit status, one line for an error, no traceback."""

import os
import sys
from collections.abc import Callable

from avsol_ros.errors import AvsolError, UsageError
from avsol_ros.exit_status import ExitStatus
from avsol_ros.requirements import explain_missing


def run_command(name: str, run: Callable[[], int | None]) -> int:
    """
    Run a command and return its exit status.

    :param name: of the command, before its errors.
    :param run: gives the exit status, or None for 0; ends early with SystemExit, which argparse
        raises after ``--help`` and for wrong words.
    """
    try:
        try:
            return _status(name, run)
        finally:
            if sys.stdout is not None:  # as it is where a shell has closed it
                sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (`avsol ... | head`). Python flushes stdout once more at exit, so
        # that must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.FAILED


def _status(name: str, run: Callable[[], int | None]) -> int:
    try:
        return int(run() or ExitStatus.OK)
    except KeyboardInterrupt as error:  # it may say what is kept
        if str(error):
            print(f'{name}: {error}', file=sys.stderr)
        return ExitStatus.INTERRUPTED
    except UsageError as error:
        return fail(name, str(error), ExitStatus.USAGE)
    except AvsolError as error:
        return fail(name, str(error))
    except ModuleNotFoundError as error:
        return fail(name, explain_missing(error.name or str(error)))


def fail(name: str, text: str, status: int = ExitStatus.FAILED) -> int:
    """Print an error as one line on stderr; give the exit status."""
    print(f'{name}: error: {text}', file=sys.stderr)
    return status
