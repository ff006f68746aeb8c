"""
Bring a file of known SHA-256 over HTTP: resumed, and under its own name whole or not there at all.

It grows beside its place as ``FILE.part``, which a later call continues and only a right digest
renames. Of several processes that fetch the same file one does, and the others wait for it.
"""

import functools
import hashlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from avsol_ros.errors import AvsolError

CHUNK = 1 << 20  # bytes read at once
TIMEOUT = 30.0  # seconds a server may stay silent

Report = Callable[[str], object]
Progress = Callable[[int, int | None], object]


def file_digest(path: str | Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    try:
        stat = os.stat(path)
        return _digest(os.fspath(path), stat.st_ino, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise AvsolError(
            f'cannot read {path} ({error.strerror}); expected a file that is there'
        ) from None


@functools.lru_cache(maxsize=16)
def _digest(path: str, inode: int, size: int, changed: int) -> str:
    # Half a gigabyte takes a second; what a file was when it was read tells whether to read again.
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def part_of(path: Path) -> Path:
    """Where a file grows until it is whole."""
    return path.with_name(path.name + '.part')


def download(
    url: str,
    path: Path,
    sha256: str,
    size: int | None = None,
    report: Report = print,
    progress: Progress = lambda done, total: None,
) -> None:
    """
    Make a file with this digest, unless it is there.

    :param size: bytes, where known beforehand: then another file is refused before it is read.
    :param report: takes lines of text.
    :param progress: takes bytes so far and in all (None while not known).
    """
    if urllib.parse.urlsplit(url).scheme not in ('http', 'https'):
        raise AvsolError(
            f'the address is {url!r}; expected one that begins with https:// or '
            f'http:// (a file that you have: copy it to {path})'
        )
    part = part_of(path)
    try:
        if _is_there(path, sha256, report):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part, report) as file:
            if _is_there(path, sha256, report):  # brought by the process that held the lock
                part.unlink()
                return
            if path.exists():
                report(f'{path} has another SHA-256 than it should have; fetching it again')
            begun = _append(url, file, size, report, progress)
            file.flush()
            os.fsync(file.fileno())
            digest = file_digest(part)
            if digest != sha256:
                part.unlink()
                advice = (
                    'run the command again to fetch it from its beginning'
                    if begun
                    else 'give another address with --url'
                )
                raise AvsolError(
                    f'{url} gave a file with SHA-256 {digest}, expected {sha256}; '
                    f'it was removed; {advice}'
                )
            part.replace(path)
    except OSError as error:
        raise AvsolError(
            f'cannot write {part} ({error.strerror or error}); make room or choose '
            'another folder, then run the command again'
        ) from None
    report(f'{path} has the right SHA-256')


def _is_there(path: Path, sha256: str, report: Report) -> bool:
    if path.is_file() and file_digest(path) == sha256:
        report(f'{path} is there and has the right SHA-256')
        return True
    return False


@contextmanager
def _locked(part: Path, report: Report) -> Iterator[BinaryIO]:
    """Open a file to append, for one process at a time; the system frees it when that one ends."""
    import fcntl

    while True:
        with open(part, 'ab') as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                report(f'another process is fetching {part.stem}; waiting for it')
                fcntl.flock(file, fcntl.LOCK_EX)
            try:
                current = os.path.samestat(os.fstat(file.fileno()), part.stat())
            except FileNotFoundError:
                current = False
            if current:  # and not one that its last owner renamed or removed meanwhile
                yield file
                return


def _append(url: str, file: BinaryIO, size: int | None, report: Report, progress: Progress) -> int:
    """Append what is missing; return how much of it was there before."""
    there = begun = file.seek(0, os.SEEK_END)
    if size is not None and begun >= size:
        return begun
    response = _ask(url, begun)
    if response is None:
        return begun
    if begun and not response.headers.get('Content-Range', '').startswith(f'bytes {begun}-'):
        begun = 0
        if response.status == http.client.PARTIAL_CONTENT:  # some other part of it
            response.close()
            response = _ask(url, 0)
            assert response is not None  # only bytes after the last one may be missing
    done, broken = begun, ''
    with response:
        length = response.headers.get('Content-Length', '')
        total = done + int(length) if length.isdecimal() else size
        if size not in (None, total):
            raise AvsolError(
                f'{url} has {total} bytes, expected {size}: it is another file; '
                'give another address with --url'
            )
        if begun:
            report(f'continuing {url} after {begun / 1e6:.1f} MB')
        else:
            report(f'fetching {url}')
            if there:
                file.truncate(0)
        try:
            while (total is None or done < total) and (chunk := _read(response)):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
        except _Broken as error:
            broken = str(error)
    if broken or (total is not None and done < total):
        file.flush()
        raise AvsolError(
            f'the connection to {url} broke after {done} bytes '
            f'({broken or "it ended early"}); run the command again to go on '
            'from there'
        )
    return begun


class _Broken(Exception):
    """The network's fault; the disk's is an OSError, as the network's is before this."""


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(_reason(error)) from None


def _ask(url: str, start: int) -> http.client.HTTPResponse | None:
    """Ask for the bytes from ``start`` on; None when the server says that there are none."""
    headers = {'User-Agent': 'avsol_ros', **({'Range': f'bytes={start}-'} if start else {})}
    try:
        return urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT
        )
    except urllib.error.HTTPError as error:
        error.close()
        if start and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
        raise AvsolError(
            f'{url} answers {error.code} {error.reason}; expected the file; try '
            'later or give another address with --url'
        ) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise AvsolError(
            f'cannot reach {url} ({_reason(error)}); check the network and run the command again'
        ) from None


def _reason(error: Exception) -> str:
    inner = getattr(error, 'reason', error)
    return str(getattr(inner, 'strerror', None) or inner or type(inner).__name__)
