"""
Locks between processes: one at a time writes into a folder, computes features, fetches a file.

A lock is an flock on a small file, which the system frees when its process ends, however that
ends. The file tells who holds it, and is removed with the lock. What a kill leaves of it locks
nothing.
"""

import errno
import fcntl
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from avsol_ros.errors import AvsolError
from avsol_ros.files import ADVICE, make_folder, required_folder, writing

LOCK_NAME = '.lock'  # in a folder that is locked as a whole
_LONGEST = 200  # characters of a command line
# Of file systems that have no locks: what is written there is not guarded.
_NO_FLOCK = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)


@contextmanager
def lock(
    path: Path,
    doing: str,
    *,
    wait: Callable[[str], object] | None = None,
    advice: str = ADVICE,
) -> Iterator[None]:
    """
    Hold a lock for the block.

    :param path: of its file; the folder is made.
    :param doing: what the holder does, as 'is writing into out', to follow its name in a line.
    :param wait: where another process holds the lock, told so in a line before waiting for it;
        without, that is an error.
    :param advice: what to do when the file cannot be written.
    :raises AvsolError: with that line, or if the file cannot be written.
    """
    with writing(path, advice):
        file = _open_locked(path, doing, wait)
    try:
        _write_holder(file)
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        file.close()


@contextmanager
def claim_folder(folder: Path) -> Iterator[None]:
    """
    Be the only one that writes into a folder for the block.

    The folder is made. If nothing is in it at the end, it is removed again.

    :raises AvsolError: naming who else writes there, or if nothing can be written there.
    """
    with required_folder(folder), lock(folder / LOCK_NAME, f'is writing into {folder}'):
        yield


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """
    Claim a folder, as :func:`claim_folder` does, for a block that does little but write there.

    :raises AvsolError: also in place of an OSError of the block.
    """
    with claim_folder(folder), writing(f'into {folder}'):
        yield


def _open_locked(path: Path, doing: str, wait: Callable[[str], object] | None) -> BinaryIO:
    told = False
    while True:
        make_folder(path.parent)
        try:
            file = open(path, 'a+b')
        except FileNotFoundError:
            if path.parent.is_dir():
                raise
            continue  # its last holder has removed the folder meanwhile
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _NO_FLOCK:
                    return file
                if not isinstance(error, BlockingIOError):
                    raise
                line = f'{_read_holder(file)} {doing}'
                if wait is None:
                    raise AvsolError(f'{line}; wait for it, or choose another folder') from None
                if not told:
                    wait(f'{line}; waiting for it')
                    told = True
                fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # its last holder has removed it meanwhile


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _write_holder(file: BinaryIO) -> None:
    command = shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]])
    lines = [
        socket.gethostname(),
        str(os.getpid()),
        time.strftime('%Y-%m-%d %H:%M:%S'),
        ' '.join(command.split())[:_LONGEST],
    ]
    with suppress(OSError):  # on a full disk it is a lock without a name
        file.truncate(0)
        file.write('\n'.join(lines).encode(errors='backslashreplace'))
        file.flush()


def _read_holder(file: BinaryIO) -> str:
    file.seek(0)
    lines = file.read().decode(errors='replace').split('\n')
    if len(lines) != 4:
        return 'another process'
    host, process, since, command = lines
    where = '' if host == socket.gethostname() else f' on {host}'
    return f'process {process}{where} ({command}; since {since})'
