"""Which files and folders are bags, by their names alone."""

from pathlib import Path

METADATA = 'metadata.yaml'
_STORAGES = {'.mcap': 'mcap', '.db3': 'sqlite3'}
#: Compression of whole files, added to the name of the storage.
ZSTD = '.zstd'


def storage_of(path: Path) -> str | None:
    """Return the storage of a file by its name, 'mcap' or 'sqlite3'; None for any other file."""
    name = path.name[: -len(ZSTD)] if path.name.endswith(ZSTD) else path.name
    return _STORAGES.get(Path(name).suffix)


def storage_files(folder: Path) -> list[Path]:
    """List the storage files of a folder: first by number of the part, then by name."""
    found = [
        p for p in folder.iterdir() if storage_of(p) and not p.name.startswith('.') and p.is_file()
    ]
    return sorted(found, key=_part)


def _part(path: Path) -> tuple[int, str]:
    # Recorders call the parts name_0.mcap ... name_10.mcap.
    number = path.name.partition('.')[0].rpartition('_')[2]
    return (int(number) if number.isdecimal() else -1, path.name)


def is_bag(path: str | Path) -> bool:
    """
    Tell by its name whether a path is a bag: a folder of one, or a storage file; never raises.

    A folder is a bag if it holds a metadata.yaml or a storage file.
    """
    try:
        path = Path(path)
        if path.is_dir():
            return (path / METADATA).exists() or bool(storage_files(path))
        return storage_of(path) is not None and path.exists()
    except (OSError, TypeError, ValueError):
        return False
