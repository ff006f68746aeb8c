"""``avsol weights``: the published encoder weights: where from, getting and checking them."""

import sys
from functools import partial
from pathlib import Path

from avsol_ros.cli.arguments import ArgumentParser, a_path
from avsol_ros.errors import AvsolError
from avsol_ros.exit_status import ExitStatus
from avsol_ros.models.published_weights import (
    PUBLISHED,
    fetch_weights,
    identify_weights,
    weights_folder,
    weights_state,
)
from avsol_ros.progress import Progress


def main(argv: list[str]) -> int:
    parser = ArgumentParser(
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
        type=a_path,
        default=None,
        help=f'where to keep them (default $AVSOL_WEIGHTS, now {weights_folder()})'.replace(
            '%', '%%'
        ),
    )
    get.add_argument(
        '--url', default=None, help='another address of the same file, or of its archive'
    )
    get.add_argument(
        '--from',
        dest='given',
        type=a_path,
        default=None,
        metavar='FILE',
        help='the file, or the archive that it is in, brought here in another way: nothing is '
        'fetched',
    )
    check = commands.add_parser(
        'check',
        help='tell which weights a file holds',
        description='Tell which published weights each file holds; the exit status is 1 when one '
        'holds none.',
    )
    check.add_argument('files', nargs='+', type=a_path, metavar='FILE')
    arguments = parser.parse_args(argv)
    if arguments.command == 'get':
        return _get(arguments.names, arguments.folder, arguments.url, arguments.given)
    if arguments.command == 'check':
        return _check(arguments.files)
    return _show()


def _show() -> int:
    for published in PUBLISHED.values():
        size = f', {published.size / 1e6:.1f} MB' if published.size else ''
        print(
            f'{published.name}: {published.file}{size}, {weights_state(published.name)}\n'
            f'  from {published.source}\n'
            f'  {published.about}'
        )
    print(f'folder: {weights_folder()} ($AVSOL_WEIGHTS sets another)')
    return ExitStatus.OK


def _get(names: list[str], folder: Path | None, url: str | None, given: Path | None) -> int:
    for option, value in (('--url', url), ('--from', given)):
        if value and len(names) > 1:
            raise AvsolError(
                f'{option} is given with {len(names)} names; expected one name with it'
            )
    if url and given:
        raise AvsolError('--url and --from are given; expected one of them')
    with Progress() as progress:
        for name in names:
            count = partial(progress.count, name, unit='B')
            fetch_weights(name, folder, url, progress.say, count, given)
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
