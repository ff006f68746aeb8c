"""Checks that several verbs share, each with one clear line when it fails."""

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
