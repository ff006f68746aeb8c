"""
Fetch a file of known SHA-256 over HTTP: resumed, and under its own name whole or not there at all.

It grows beside its place as ``FILE.part``, which a later call continues and only a right digest
renames. Of several processes that fetch the same file one does, and the others wait for it.

The library pooch does not do this: after a broken connection it fetches half a gigabyte again
from its beginning, and processes that fetch the same file do not know of each other.
"""

import functools
import hashlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from avsol_ros.errors import AvsolError
from avsol_ros.files import replace, writing
from avsol_ros.locks import lock

CHUNK = 1 << 20  # bytes read at once
TIMEOUT = 30.0  # seconds a server may stay silent
_ADVICE = 'make room or choose another folder, then run the command again'

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
    if is_there(path, sha256, report):
        return
    part = part_of(path)
    with (
        lock(
            path.with_name(f'.{path.name}.lock'),
            f'is fetching {path.name}',
            wait=report,
            advice=_ADVICE,
        ),
        writing(part, _ADVICE),
    ):
        if is_there(path, sha256, report):  # brought by the process that held the lock
            return
        if path.exists():
            report(f'{path} has another SHA-256 than it should have; fetching it again')
        try:
            begun = _append_rest(url, part, size, report, progress)
        except BaseException:
            if part.is_file() and not part.is_symlink() and not part.stat().st_size:
                part.unlink()  # nothing has come
            raise
        _check_digest(part, sha256, url, begun > 0)
        replace(part, path)
    report(f'{path} has the right SHA-256')


def is_there(path: Path, sha256: str, report: Report) -> bool:
    """Whether a file with this digest is in its place; then the report is told."""
    if path.is_file() and file_digest(path) == sha256:
        report(f'{path} is there and has the right SHA-256')
        return True
    return False


def _check_digest(part: Path, sha256: str, url: str, continued: bool) -> None:
    """Remove a file with another digest, and raise AvsolError."""
    digest = file_digest(part)
    if digest == sha256:
        return
    part.unlink()
    advice = (
        'run the command again to fetch it from its beginning'
        if continued
        else 'give another address with --url'
    )
    raise AvsolError(
        f'{url} gave a file with SHA-256 {digest}, expected {sha256}; it was removed; {advice}'
    )


def _append_rest(
    url: str, part: Path, size: int | None, report: Report, progress: Progress
) -> int:
    """Append what is missing; return how many bytes of what was there before are kept."""
    with open(part, 'ab') as file:
        there = file.seek(0, os.SEEK_END)
        if size is not None and there >= size:
            return there
        response, begun = _request_rest(url, there)
        if response is None:
            return there
        with response:
            total = _total_size(response, begun) or size
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
            _copy(response, file, begun, total, url, progress)
    return begun


def _request_rest(url: str, there: int) -> tuple[http.client.HTTPResponse | None, int]:
    """
    Ask for the bytes that follow on those that are there.

    :returns: the response and with which byte it begins, 0 where the server sends the whole file;
        None for a response where there are no more bytes.
    """
    response = _request(url, there)
    if response is None:
        return None, there
    if there and response.headers.get('Content-Range', '').startswith(f'bytes {there}-'):
        return response, there
    if response.status == http.client.PARTIAL_CONTENT:  # some other part of it
        response.close()
        response = _request(url, 0)
        assert response is not None  # only bytes after the last one may be missing
    return response, 0


def _total_size(response: http.client.HTTPResponse, begun: int) -> int | None:
    length = response.headers.get('Content-Length', '')
    return begun + int(length) if length.isdecimal() else None


def _copy(
    response: http.client.HTTPResponse,
    file: BinaryIO,
    done: int,
    total: int | None,
    url: str,
    progress: Progress,
) -> None:
    try:
        while (total is None or done < total) and (chunk := _read(response)):
            file.write(chunk)
            done += len(chunk)
            progress(done, total)
        if total is not None and done < total:
            raise _Broken('it ended early')
    except _Broken as error:
        raise AvsolError(
            f'the connection to {url} broke after {done} bytes ({error}); run the command again '
            'to go on from there'
        ) from None


class _Broken(Exception):
    """The network's fault; the disk's is an OSError, as the network's is before this."""


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(_reason(error)) from None


def _request(url: str, start: int) -> http.client.HTTPResponse | None:
    """Ask for the bytes from ``start`` on; None where the server says that there are none."""
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
