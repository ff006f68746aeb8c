"""Checks that several verbs share, each with one clear line when it fails."""

import os
from pathlib import Path

from avsol_ros.errors import AvsolError


def require_at_least(arguments, least: float, *names: str) -> None:
    """Check numbers, or lists of numbers, of a parsed command line."""
    for name in names:
        given = getattr(arguments, name)
        for value in given if isinstance(given, list) else [given]:
            if not value >= least:
                raise AvsolError(
                    f'--{name.replace("_", "-")} is {value}; expected at least {least}'
                )


def require_folder(folder: Path) -> None:
    """Make a folder where it is missing and see that files can be written there, before work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        raise AvsolError(
            f'cannot make the folder {folder} ({error.strerror}); choose another'
        ) from None
    if not writable:
        raise AvsolError(f'cannot write into the folder {folder}; choose another')
