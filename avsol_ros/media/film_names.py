"""Which files are films, by their names alone."""

from pathlib import Path

#: Endings of the names of films, in lower case.
FILM_SUFFIXES = (
    '.mp4',
    '.m4v',
    '.mov',
    '.mkv',
    '.webm',
    '.avi',
    '.mpg',
    '.mpeg',
    '.ts',
    '.mts',
    '.m2ts',
    '.3gp',
    '.ogv',
    '.flv',
    '.wmv',
)


def is_film_name(path: Path) -> bool:
    """Tell whether a file has the name of a film and is not hidden."""
    return path.suffix.lower() in FILM_SUFFIXES and not path.name.startswith('.')
