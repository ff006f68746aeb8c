"""``avsol weights``: the published encoder weights: where from, getting and checking them."""

import argparse
import sys
import time
from pathlib import Path

from avsol_ros.errors import AvsolError
from avsol_ros.exit_status import ExitStatus
from avsol_ros.models.published_weights import (
    PUBLISHED,
    fetch_weights,
    identify_weights,
    weights_folder,
    weights_state,
)

INTERVAL = 0.2  # seconds between two drawings of the progress line


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog='avsol weights',
        description='The published weights of the encoders. Without a command: what there is, '
        'where it comes from and whether it is here.',
    )
    commands = parser.add_subparsers(dest='command', metavar='{get,check}')
    get = commands.add_parser(
        'get',
        help='fetch and verify',
        description='Fetch published weights, or go on with a fetch that broke off, and verify '
        'their SHA-256.',
    )
    get.add_argument(
        'names', nargs='+', metavar='NAME', choices=PUBLISHED, help=', '.join(PUBLISHED)
    )
    get.add_argument(
        '--folder',
        type=Path,
        default=None,
        help=f'where to keep them (default $AVSOL_WEIGHTS, now {weights_folder()})'.replace(
            '%', '%%'
        ),
    )
    get.add_argument('--url', default=None, help='another address of the same file')
    check = commands.add_parser(
        'check',
        help='tell which weights a file holds',
        description='Tell which published weights each file holds; the exit status is 1 when one '
        'holds none.',
    )
    check.add_argument('files', nargs='+', type=Path, metavar='FILE')
    arguments = parser.parse_args(argv)
    if arguments.command == 'get':
        return _get(arguments.names, arguments.folder, arguments.url)
    if arguments.command == 'check':
        return _check(arguments.files)
    return _show()


def _show() -> int:
    for published in PUBLISHED.values():
        size = f', {published.size / 1e6:.1f} MB' if published.size else ''
        print(
            f'{published.name}: {published.file}{size}, {weights_state(published.name)}\n'
            f'  from {published.url}\n'
            f'  {published.about}'
        )
    print(f'folder: {weights_folder()} ($AVSOL_WEIGHTS sets another)')
    return ExitStatus.OK


def _get(names: list[str], folder: Path | None, url: str | None) -> int:
    if url and len(names) > 1:
        raise AvsolError(f'--url is given with {len(names)} names; expected one name with it')
    for name in names:
        line = _ProgressLine(sys.stdout)
        try:
            fetch_weights(name, folder, url, line.report, line.progress)
        finally:
            line.end()
    if folder and folder.expanduser().resolve() != weights_folder().resolve():
        print(f'avsol looks for weights in $AVSOL_WEIGHTS: export AVSOL_WEIGHTS={folder}')
    return ExitStatus.OK


def _check(files: list[Path]) -> int:
    status = ExitStatus.OK
    for path in files:
        try:
            name, exact = identify_weights(path)
            print(
                f'{path}: {name}, '
                + (
                    'the published file (SHA-256)'
                    if exact
                    else 'by its keys and shapes; its SHA-256 is not that of the published file'
                )
            )
        except AvsolError as error:
            status = ExitStatus.FAILED
            print(f'avsol weights: error: {error}', file=sys.stderr)
    return status


class _ProgressLine:
    """One line that is drawn over and over on a terminal; elsewhere only the reports."""

    def __init__(self, stream):
        self._stream = stream
        self._drawn = 0.0
        self._first = None
        self._open = False

    def report(self, text: str) -> None:
        self.end()
        print(text, file=self._stream, flush=True)

    def progress(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        self._first = self._first or (now, done)
        if not self._stream.isatty() or now - self._drawn < INTERVAL and done != total:
            return
        self._drawn, self._open = now, True
        start, before = self._first
        speed = (done - before) / 1e6 / max(now - start, 1e-3)
        of = f' of {total / 1e6:.1f}' if total else ''
        print(
            f'\r  {done / 1e6:.1f}{of} MB, {speed:.1f} MB/s\033[K',
            end='',
            flush=True,
            file=self._stream,
        )

    def end(self) -> None:
        """Leave the line, so that what follows begins on its own."""
        if self._open:
            print(file=self._stream, flush=True)
        self._open = False
