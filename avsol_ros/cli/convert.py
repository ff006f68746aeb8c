"""``avsol convert``: bags to a dataset of clips; datasets and films to bags."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avsol_ros.cli.arguments import ArgumentParser, a_path, require_at_least, require_path
from avsol_ros.errors import AvsolError
from avsol_ros.exit_status import ExitStatus
from avsol_ros.files import required_folder
from avsol_ros.locks import claim_folder, lock
from avsol_ros.media.film_names import FILM_SUFFIXES
from avsol_ros.progress import Progress
from avsol_ros.stopping import on_interrupt

_SPLITS = ('train', 'val', 'test')


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    if len(arguments.paths) < 2:
        raise AvsolError('only one path is given; expected SOURCE and DEST')
    *sources, dest = arguments.paths
    for source in sources:
        if not source.exists():
            raise AvsolError(f'{source} does not exist; expected a bag, a film or a dataset')
    require_at_least(arguments, 0, 'seed', 'crf')
    require_path(arguments.annotations, '--annotations', 'a file of annotations, or a folder')
    from avsol_ros.training.convert.to_dataset import bags_in, parts_of

    bags = [bags_in(source) for source in sources]
    for source, found in zip(sources, bags):
        if found == [source] and source.is_dir() and (parts := len(parts_of(source))) > 1:
            print(
                f'{source}: its {parts} files are taken for one recording, since each begins '
                'where the one before ends',
                file=sys.stderr,
            )
    mixed = any(bags) and not all(bags)
    if mixed:
        raise AvsolError(
            f'{sources[[not b for b in bags].index(True)]} holds no bags, unlike '
            'other sources; convert them by themselves'
        )
    with (
        on_interrupt('interrupted; what is converted is kept, and the same command goes on'),
        Progress() as progress,
    ):
        if any(bags):
            every = [bag for found in bags for bag in found]
            return _to_dataset(every, dest, arguments, progress)
        return _to_bags(sources, dest, arguments, progress)


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog='avsol convert',
        description='Convert recorded bags to a dataset in the layout of AVE: clips of ten '
        'seconds with sound, labels and boxes. Or the other way: such a dataset, a '
        'folder of films or one film to bags. What was converted one way comes back '
        'the other: stamps, JPEGs, samples and boxes are the same. Run it again to '
        'go on after an interruption; it does only what is missing or has changed. '
        'The exit status is 3 if something could not be converted.',
    )
    parser.add_argument(
        'paths',
        nargs='+',
        type=a_path,
        metavar='PATH',
        help='SOURCE ... DEST: bags, or a folder of bags, and the folder of the '
        'dataset, to which later bags may be added; or a dataset or folder '
        'of films and the folder for their bags; or a film and its bag',
    )
    parser.add_argument(
        '--annotations',
        type=a_path,
        metavar='FILE',
        help='boxes by seconds from the beginning of the bag or film, a file or '
        'a folder of files (see avsol annotations), in place of those in '
        'the bag or beside the films',
    )
    bags = parser.add_argument_group('bags to a dataset')
    bags.add_argument(
        '--split',
        default='',
        metavar='NAME|SHARES',
        help='train, val or test; or shares of the bags in these three, as '
        '0.8,0.1,0.1 (default: as they were, new ones test)',
    )
    bags.add_argument('--seed', type=int, default=0, help='deals bags out by shares (default 0)')
    bags.add_argument(
        '--category',
        default='',
        metavar='NAME',
        help='what sounds in view all the time, in bags whose truth nothing tells',
    )
    bags.add_argument(
        '--lossless',
        action='store_true',
        help='keep every pixel of raw images (PNG, large); else H.264. JPEGs are '
        'kept as they are anyway',
    )
    bags.add_argument(
        '--crf',
        type=int,
        default=16,
        help='rate factor of H.264: lower is better and bigger (default 16)',
    )
    bags.add_argument('--image-topic', default='', metavar='TOPIC')
    bags.add_argument('--audio-topic', default='', metavar='TOPIC')
    bags.add_argument('--audio-info-topic', default='', metavar='TOPIC')
    bags.add_argument('--truth-topic', default='', metavar='TOPIC')
    bags.add_argument(
        '--audio-latency',
        type=float,
        default=0.0,
        metavar='SECONDS',
        help='by which the stamps of the audio are later than the sound was',
    )
    bags.add_argument('--audio-sample-rate', type=int, default=0, metavar='HZ')
    bags.add_argument('--audio-channels', type=int, default=0, metavar='N')
    bags.add_argument(
        '--audio-format',
        default='',
        metavar='FORMAT',
        help='as S16LE or mp3, where the bag does not tell',
    )
    films = parser.add_argument_group('films to bags')
    films.add_argument(
        '--image',
        choices=('auto', 'raw', 'jpeg', 'png'),
        default='auto',
        help='auto: as it was in the bag, or what the film holds if that is JPEG '
        'or PNG, else jpeg',
    )
    films.add_argument('--quality', type=int, default=95, help='of JPEGs (default 95)')
    films.add_argument('--storage', choices=('mcap', 'sqlite3'), default='mcap')
    films.add_argument(
        '--compression',
        choices=('none', 'message', 'file', 'chunk'),
        default='none',
        help='with zstd; chunk is for mcap',
    )
    films.add_argument(
        '--start-time',
        type=float,
        default=1_700_000_000.0,
        metavar='SECONDS',
        help='stamp of the beginning of films that do not tell theirs',
    )
    films.add_argument(
        '--separate',
        action='store_true',
        help='a bag for each clip, also of clips that are from one bag',
    )
    return parser


def _to_dataset(bags: list[Path], dest: Path, arguments, progress) -> int:
    from avsol_ros.training.convert.from_bag import BagOptions
    from avsol_ros.training.convert.to_dataset import Labels, convert_bags

    options = BagOptions(
        arguments.image_topic,
        arguments.audio_topic,
        arguments.audio_info_topic,
        arguments.truth_topic,
        arguments.audio_latency,
        arguments.audio_sample_rate,
        arguments.audio_channels,
        arguments.audio_format,
        arguments.lossless,
        arguments.crf,
    )
    bags = list(dict.fromkeys(bag.resolve() for bag in bags))
    if dest.suffix.lower() in FILM_SUFFIXES:
        raise AvsolError(
            f'{dest} has the name of a film; bags become a dataset of clips: '
            'expected the name of a folder'
        )
    outcome = convert_bags(
        bags,
        dest,
        options,
        Labels(arguments.annotations, arguments.category),
        _shares(arguments.split),
        arguments.seed,
        progress.share,
    )
    progress.close()
    if not outcome.clips:
        raise AvsolError(_first(outcome.failed))
    clips = sum(outcome.clips.values())
    print(
        f'{dest}: {_many(clips, "clip")} of {_many(len(outcome.clips), "bag")}'
        + _reused(len(outcome.reused))
    )
    if outcome.lines:
        print(
            f'{_many(outcome.lines, "line")} in Annotations.txt; avsol prepare {dest} OUT reads '
            'them'
        )
    else:
        print(
            'no lines in Annotations.txt: nothing tells what sounds; give --annotations FILE, '
            'or --category NAME of what sounds all the time'
        )
    return _end(outcome)


def _to_bags(sources: list[Path], dest: Path, arguments, progress) -> int:
    from avsol_ros.config import NANOSECONDS
    from avsol_ros.training.convert.jobs import find_jobs
    from avsol_ros.training.convert.media_messages import MediaOptions
    from avsol_ros.training.convert.to_bags import convert_films

    if not 1 <= arguments.quality <= 100:
        raise AvsolError(f'--quality is {arguments.quality}; expected 1 to 100')
    if not 0 <= arguments.start_time < 2**31:
        raise AvsolError(f'--start-time is {arguments.start_time}; expected 0 to {2**31 - 1}')
    options = MediaOptions(
        arguments.image,
        arguments.quality,
        arguments.storage,
        arguments.compression,
        round(arguments.start_time * NANOSECONDS),
        not arguments.separate,
    )
    jobs, problems = [], []
    for source in sources:
        found, wrong = find_jobs(source, arguments.annotations, options.join)
        jobs += found
        problems += wrong
    names = [job.name for job in jobs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise AvsolError(f'there are several films {twice!r}; convert them by themselves')
    single = len(sources) == 1 and not sources[0].is_dir()
    if dest.exists() and not dest.is_dir():
        raise AvsolError(f'{dest} is a file; give a folder')
    with _claim_bag(dest) if single else claim_folder(dest):
        outcome = convert_films(
            jobs, lambda job: dest if single else dest / job.name, options, progress.share
        )
    outcome.problems = problems + outcome.problems
    progress.close()
    if not outcome.bags:
        raise AvsolError(_first(outcome.failed) if outcome.failed else problems[0])
    shown = dest if single else f'{_many(len(outcome.bags), "bag")} in {dest}'
    print(f'{shown}{_reused(len(outcome.reused))}')
    return _end(outcome)


@contextmanager
def _claim_bag(bag: Path) -> Iterator[None]:
    """Be the only one that writes a bag. It becomes whole at once, so its lock lies beside it."""
    path = bag.parent / f'.{bag.name}.lock'  # a bag called '.' has no name
    with required_folder(bag.parent), lock(path, f'is writing {bag}'):
        yield


def _shares(text: str) -> dict[str, float] | None:
    if not text:
        return None
    if text in _SPLITS:
        return {text: 1.0}
    try:
        values = [float(part) for part in text.split(',')]
    except ValueError:
        values = []
    if len(values) != 3 or not all(0 <= value < 1e6 for value in values) or not sum(values):
        raise AvsolError(
            f'--split is {text!r}; expected {", ".join(_SPLITS)} or three shares, as 0.8,0.1,0.1'
        )
    return dict(zip(_SPLITS, values))


def _many(count: int, what: str) -> str:
    return f'{count} {what}{"s" * (count != 1)}'


def _reused(count: int) -> str:
    return f' ({count} {"was" if count == 1 else "were"} there already)' if count else ''


def _first(failed: dict[str, str]) -> str:
    more = f' (and {len(failed) - 1} more)' if len(failed) > 1 else ''
    return next(iter(failed.values())) + more


def _end(outcome) -> int:
    for line in outcome.problems:
        print(f'  {line}', file=sys.stderr)
    for name, reason in outcome.failed.items():
        print(f'  {name} was not converted: {reason}', file=sys.stderr)
    return ExitStatus.PARTLY if outcome.problems or outcome.failed else ExitStatus.OK
