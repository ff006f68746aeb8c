"""``avsol prepare``: the films of the AVE dataset to clips that training reads."""

import argparse
import os
from collections import Counter
from pathlib import Path

from avsol_ros.cli.arguments import ArgumentParser, a_path, require_at_least
from avsol_ros.errors import AvsolError
from avsol_ros.exit_status import ExitStatus
from avsol_ros.files import require_folder
from avsol_ros.progress import Progress
from avsol_ros.stopping import on_interrupt

_EXAMPLES = 5


def main(argv: list[str]) -> int:
    cores = len(os.sched_getaffinity(0))
    parser = ArgumentParser(
        prog='avsol prepare',
        description='Prepare the AVE dataset for training: upright frames as JPEGs with their '
        'times, and sound at 16 kHz. Films that are missing, short, silent or broken '
        'are listed in OUT/manifest.json and passed over. Run it again to go on '
        'after an interruption or with films that came later; it does only what is '
        'missing.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        'ave',
        type=a_path,
        metavar='AVE_FOLDER',
        help='with Annotations.txt, trainSet.txt, valSet.txt, testSet.txt and the films in AVE/',
    )
    parser.add_argument('out', type=a_path, metavar='OUT', help='folder for the clips')
    parser.add_argument('--workers', type=int, default=cores, help='processes')
    parser.add_argument(
        '--fps',
        type=float,
        default=30,
        help='frames per second to keep at most; films with no more are kept '
        'whole, and give the windows that the live system cuts',
    )
    parser.add_argument('--size', type=int, default=256, help='short side of the frames at most')
    parser.add_argument('--quality', type=int, default=90, help='of the JPEGs')
    parser.add_argument(
        '--timeout', type=float, default=120, help='seconds after which a film counts as broken'
    )
    parser.add_argument(
        '--retry',
        action='store_true',
        help='try again films that were not ok, though they have not changed',
    )
    arguments = parser.parse_args(argv)
    require_at_least(arguments, 1, 'workers', 'timeout')

    from avsol_ros.training.datasets.ave import SPLITS, read_ave
    from avsol_ros.training.datasets.prepare import ClipSettings, prepare_ave
    from avsol_ros.training.datasets.prepared import STATUSES

    settings = ClipSettings(arguments.fps, arguments.size, arguments.quality)
    ave = read_ave(arguments.ave)
    if arguments.out.resolve() == ave.folder.resolve():
        raise AvsolError(
            f'{arguments.out} is the dataset itself; choose another folder for the clips'
        )
    require_folder(arguments.out)
    with (
        on_interrupt('interrupted; what is prepared is kept, and the same command goes on'),
        Progress() as progress,
    ):
        outcomes = prepare_ave(
            ave,
            arguments.out,
            settings,
            workers=arguments.workers,
            timeout_s=arguments.timeout,
            retry=arguments.retry,
            report=lambda outcomes, total: progress.count(
                'preparing', len(outcomes), total, 'films', _counts(outcomes, STATUSES)
            ),
        )
    _summarize(arguments.out, ave, outcomes, SPLITS)
    if not any(outcome.seconds for outcome in outcomes.values()):
        raise AvsolError(
            f'none of the {len(outcomes)} films could be prepared; expected them as '
            f'{ave.media("<VideoID>")}'
        )
    return ExitStatus.OK


def _summarize(out: Path, ave, outcomes: dict, splits: tuple[str, ...]) -> None:
    from avsol_ros.training.datasets.prepared import STATUSES

    print(
        f'{len(outcomes)} films: {_counts(outcomes, STATUSES)}; {out / "manifest.json"} tells '
        'of each'
    )
    for status in ('broken', 'silent', 'short'):
        found = (outcome for _, outcome in sorted(outcomes.items()))  # they end in any order
        reasons = [outcome.reason for outcome in found if outcome.status == status]
        for reason in reasons[:_EXAMPLES]:
            print(f'  {status}: {reason}')
        if len(reasons) > _EXAMPLES:
            print(f'  {status}: {len(reasons) - _EXAMPLES} more')
    for split in splits:
        lines = ave.split(split)
        usable = {
            line.video: len(outcomes[line.video].seconds)
            for line in lines
            if outcomes[line.video].seconds
        }
        shared = len(ave.lines[split]) - len(lines)
        print(
            f'{split}: {sum(line.video in usable for line in lines)} of {len(lines)} lines, '
            f'{sum(usable.values())} seconds'
            + (
                f'; {shared} line{"s"[: shared > 1]} left out, whose films later splits have'
                if shared
                else ''
            )
        )


def _counts(outcomes: dict, statuses: tuple[str, ...]) -> str:
    counts = Counter(outcome.status for outcome in outcomes.values())
    return ', '.join(f'{counts[status]} {status}' for status in statuses)
