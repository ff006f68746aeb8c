"""
The records of a conversion, beside the films: everything that a film cannot hold.

``conversion.json`` has an entry for each bag: where it was, how it was converted, its topics, its
times. ``conversion/<clip>.json`` has, for each clip, the stamps of every picture and the chunks
that its sound came in. With these a dataset becomes bags again. They also tell a second run what
is done.

A record is written after the film that it is about, so that a film without one is not finished.
"""

import json
from pathlib import Path

from avsol_ros.errors import AvsolError
from avsol_ros.files import write_text

MANIFEST = 'conversion.json'
FORMAT = 'avsol_ros conversion 1'


def write_record(path: Path, values: dict) -> None:
    """Write a dict of plain values, one line for each key."""
    lines = ',\n'.join(
        f' {json.dumps(key)}: {json.dumps(value, allow_nan=False)}'
        for key, value in values.items()
    )
    write_text(path, f'{{\n{lines}\n}}\n', keep_same=True)


def read_record(path: Path) -> dict | None:
    """Return what ``write_record`` wrote; None if there is no such file, or another."""
    try:
        values = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def read_manifest(folder: Path) -> dict[str, dict]:
    """
    Return the entries of ``conversion.json`` by name; none where there is no such file.

    :raises AvsolError: if the file is of another version, or damaged.
    """
    path = folder / MANIFEST
    if not path.exists():
        return {}
    values = read_record(path)
    if (
        values is None
        or values.get('format') != FORMAT
        or not isinstance(values.get('sources'), dict)
    ):
        raise AvsolError(
            f'{path} is no record of a conversion by this version; choose another '
            'folder, or remove it and convert again'
        )
    return values['sources']


def write_manifest(folder: Path, sources: dict[str, dict]) -> None:
    entries = ',\n'.join(
        f'  {json.dumps(name)}: {json.dumps(sources[name])}' for name in sorted(sources)
    )
    write_text(
        folder / MANIFEST,
        f'{{"format": {json.dumps(FORMAT)},\n "sources": {{\n{entries}\n }}\n}}\n',
        keep_same=True,
    )


def clip_record(folder: Path, clip: str) -> Path:
    return folder / 'conversion' / f'{clip}.json'


def fingerprint(path: Path) -> list:
    """Size and modification time of a file, or of all files in a folder, to notice changes."""
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    return [
        [p.name, p.stat().st_size, p.stat().st_mtime_ns]
        for p in files
        if not p.name.startswith('.')
    ]
