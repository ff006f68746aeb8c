"""
Writing files and folders so that their places hold the old content or the new, never a part of it.

What is written goes to a name beside its place, is synchronized to the disk and then renamed; at
last the folder is synchronized, which holds the name. So neither an error nor a kill nor a power
cut leaves half a file. The name beside is that of the place with a dot before and the process id
and ``.part`` behind: ``.model.safetensors.1234.part``. An error removes it; a kill leaves it for
:func:`remove_leftovers`.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType

from avsol_ros.errors import AvsolError

ADVICE = 'make room or choose another folder'

# Of file systems that cannot synchronize, or not folders.
_NO_FSYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
_PART = re.compile(r'\.(?P<name>.+)\.(?P<process>\d+)\.part')


class CannotWrite(AvsolError):
    """A file or folder cannot be written: the disk is full, read-only, or access is denied."""


@contextmanager
def writing(
    what: str | Path, advice: str = ADVICE, errors: tuple[type[Exception], ...] = (OSError,)
) -> Iterator[None]:
    """
    Turn errors of the block into CannotWrite: ``cannot write WHAT (REASON); ADVICE``.

    :param errors: those that a library raises where a file cannot be written.
    """
    try:
        yield
    except errors as error:
        raise CannotWrite(
            f'cannot write {what} ({getattr(error, "strerror", None) or error}); {advice}'
        ) from None


class AtomicPath:
    """
    A file or folder that is written beside its place and then put there.

    In a ``with`` block it gives the path to write to; at the end that takes its place, and an
    exception leaves nothing behind. Writers that live longer call :meth:`begin` and then
    :meth:`commit` or :meth:`discard`. The mode is what the umask says.

    :param path: where it goes. Its folder is made. A symbolic link stays one: what it points to
        is replaced.
    :param advice: what to do when it cannot be written, the end of the error's line.
    :param errors: those that a library raises where the file cannot be written.
    :ivar part: the path beside.
    :raises CannotWrite: for such an error in the block, or while the file takes its place.
    """

    def __init__(
        self,
        path: str | Path,
        advice: str = ADVICE,
        errors: tuple[type[Exception], ...] = (OSError,),
    ):
        self.path = Path(path)
        self._advice, self._errors = advice, errors
        self._place = Path(os.path.realpath(path))
        self.part = self._place.with_name(f'.{self._place.name}.{os.getpid()}.part')

    def __enter__(self) -> Path:
        return self.begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.commit()
            return
        self.discard()
        if isinstance(error, self._errors):
            with self.writing():
                raise error

    def begin(self) -> Path:
        """Make the folder; the path beside does not exist then."""
        with self.writing():
            make_folder(self.part.parent)
        _remove(self.part)
        return self.part

    def commit(self, source: Path | None = None) -> None:
        """
        Put what was written in its place.

        :param source: what to put there, where that is a file or folder in ``part``.
        """
        source = source or self.part
        try:
            with self.writing():
                replace(source, self._place)
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what is beside. This never raises: what went wrong before is what counts."""
        _remove(self.part)

    def writing(self) -> AbstractContextManager:
        """Turn errors of the block into CannotWrite."""
        return writing(self.path, self._advice, self._errors)


def replace(source: Path, place: Path) -> None:
    """Put a file or folder that is written in its place, durably; raises OSError."""
    fsync(source)
    os.replace(source, place)
    fsync_folder(place.parent)


def write_bytes(
    path: str | Path, data: bytes | memoryview, advice: str = ADVICE, *, keep_same: bool = False
) -> Path:
    """
    Write a whole file, as :class:`AtomicPath` does.

    :param keep_same: leave a file alone that holds the same already, with its modification time.
    :returns: the path.
    """
    path = Path(path)
    if keep_same:
        with suppress(OSError):
            if path.read_bytes() == data:
                return path
    with AtomicPath(path, advice) as part:
        part.write_bytes(data)
    return path


def write_text(
    path: str | Path, text: str, advice: str = ADVICE, *, keep_same: bool = False
) -> Path:
    """Write a whole text file in UTF-8; see :func:`write_bytes`."""
    return write_bytes(path, text.encode(), advice, keep_same=keep_same)


class StagedFolder:
    """
    Files that belong together: all are written beside before the first is put in its place.

    In its ``with`` block they are written into ``part``; :meth:`commit` moves them. What was not
    moved is removed at the end.

    :param folder: where they go; it is made. Other files in it stay.
    :ivar part: the folder to write into.
    :raises CannotWrite: for an OSError in the block.
    """

    def __init__(self, folder: str | Path, advice: str = ADVICE):
        self.folder = Path(folder)
        self._advice = advice
        self.part = self.folder / f'.staged.{os.getpid()}.part'

    def __enter__(self) -> 'StagedFolder':
        _remove(self.part)
        with self._writing():
            self.part.mkdir(parents=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _remove(self.part)
        if isinstance(error, OSError):
            with self._writing():
                raise error

    def commit(self, names: Iterable[str] | None = None) -> list[Path]:
        """
        Move what was written to its places, over files and folders of the same names.

        :param names: in this order; by default all, sorted.
        :returns: their paths.
        """
        with self._writing():
            fsync(self.part)
            names = sorted(os.listdir(self.part)) if names is None else names
            placed = [self._move(name) for name in names]
            fsync_folder(self.folder)
        return placed

    def _move(self, name: str) -> Path:
        place, old = self.folder / name, None
        if place.is_dir() and not place.is_symlink():  # os.replace takes no folder with content
            old = place.rename(self.part / f'.old.{name}')
        try:
            os.replace(self.part / name, place)
        except OSError:
            if old is not None:
                old.rename(place)
            raise
        return place

    def _writing(self) -> AbstractContextManager:
        return writing(f'into {self.folder}', self._advice)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing; raises OSError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # which says little of what is wrong
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None


def require_folder(folder: Path) -> None:
    """Make a folder where it is missing and see that files can be written there, before work."""
    try:
        make_folder(folder)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        raise AvsolError(
            f'cannot make the folder {folder} ({error.strerror}); choose another'
        ) from None
    if not writable:
        raise AvsolError(f'cannot write into the folder {folder}; choose another')


@contextmanager
def required_folder(folder: Path) -> Iterator[None]:
    """
    Have a folder to write into for the block, as :func:`require_folder` does.

    Folders that were made for it and are empty at the end are removed.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        require_folder(folder)
        yield
    finally:
        with suppress(OSError):  # of the first that is not empty: nor are those above it
            for path in made:
                path.rmdir()


def remove_folder(path: Path) -> None:
    """Remove a folder with all that is in it; a kill leaves it whole or without its name."""
    hidden = AtomicPath(path).begin()
    path.rename(hidden)
    _remove(hidden)


def remove_leftovers(folder: Path, name: str | None = None, *, locked: bool = False) -> None:
    """
    Remove what processes that were killed left beside.

    :param name: of the file or folder that was to be written; None for any.
    :param locked: nobody else writes into the folder, so everything goes. By default what belongs
        to a process that still runs stays.
    """
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if is_part(path, name) and (locked or not _is_running(_process_of(path))):
                _remove(path)


def is_part(path: Path, name: str | None = None) -> bool:
    """
    Tell whether a path is one beside, that is or was being written.

    :param name: of the file or folder that is to be written; None for any.
    """
    found = _PART.fullmatch(path.name)
    return found is not None and name in (None, found['name'])


def _process_of(part: Path) -> int:
    return int(part.suffixes[-2][1:])


def fsync(path: Path) -> None:
    """Synchronize a file, or a folder with all that is in it, to the disk."""
    if path.is_dir():
        for inner in path.iterdir():
            if not inner.is_symlink():
                fsync(inner)
        fsync_folder(path)
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _fsync_descriptor(descriptor)
    finally:
        os.close(descriptor)


def fsync_folder(path: Path) -> None:
    """Synchronize the names in a folder to the disk, where the folder may be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return
    try:
        _fsync_descriptor(descriptor)
    finally:
        os.close(descriptor)


def _fsync_descriptor(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # of another user
    return True
