"""One writer in a folder at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avsol_ros.errors import AvsolError


@contextmanager
def alone(folder: Path, verb: str) -> Iterator[None]:
    """
    Keep a second run out of the folder; the lock goes with the process, however that ends.

    :param folder: exists.
    :param verb: of ``avsol``, for people.
    """
    try:
        with open(folder / '.lock', 'w') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AvsolError(
                    f'another avsol {verb} is writing into {folder}; wait for it or '
                    'choose another folder'
                ) from None
            yield
    except OSError as error:
        raise AvsolError(
            f'cannot write into {folder} ({error}); make room or choose another folder'
        ) from None
