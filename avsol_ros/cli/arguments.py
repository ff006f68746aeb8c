"""What the command lines of all verbs share: how options are read, and checks of their values."""

import argparse
from pathlib import Path

from avsol_ros.errors import AvsolError


class ArgumentParser(argparse.ArgumentParser):
    """
    Options by their whole names only, also those of commands within a verb.

    An abbreviation means something else, or nothing, as soon as there is another option.
    """

    def __init__(self, *args, allow_abbrev: bool = False, **settings):
        super().__init__(*args, allow_abbrev=allow_abbrev, **settings)


def a_path(text: str) -> Path:
    """
    Read a path, as the ``type`` of an option.

    An empty name, as ``--out "$UNSET"`` gives it, would mean the folder where one is.
    """
    if not text:
        raise argparse.ArgumentTypeError('the name is empty; expected a file or folder')
    return Path(text)


def require_at_least(arguments, least: float, *names: str) -> None:
    """Check numbers, or lists of numbers, of a parsed command line."""
    for name in names:
        given = getattr(arguments, name)
        for value in given if isinstance(given, list) else [given]:
            if not value >= least:
                raise AvsolError(
                    f'--{name.replace("_", "-")} is {value}; expected at least {least}'
                )


def require_path(path: Path | None, what: str, expected: str) -> None:
    """
    Check that a file or folder of a command line is there.

    :param path: None where it is not given.
    :param what: the option, or another name for it.
    """
    if path is not None and not path.exists():
        raise AvsolError(f'{what} is {str(path)!r}, which does not exist; expected {expected}')
