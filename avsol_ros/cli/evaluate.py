"""``avsol evaluate``: what models find in a bag, and how right they are where truth is known."""

import argparse
import sys
from functools import partial
from pathlib import Path

from avsol_ros.bags import is_bag
from avsol_ros.cli.arguments import require_at_least, require_folder
from avsol_ros.config import DEFAULT_MODEL
from avsol_ros.errors import AvsolError
from avsol_ros.exit_status import ExitStatus
from avsol_ros.nodes.parameters import LOCALIZER, add_options
from avsol_ros.progress import Progress

# The live node's parameters that mean the same for a bag.
BAG_PARAMETERS = tuple(
    p
    for p in LOCALIZER
    if p.name
    in (
        'device',
        'engine',
        'threads',
        'hop',
        'audio_sample_rate',
        'audio_channels',
        'audio_format',
        'audio_latency',
        'audio_stamps',
        'stream_timeout',
        'avc_threshold',
        'box_threshold',
        'min_area',
        'max_boxes',
    )
)
_BAG_OPTIONS = (
    'image_topic',
    'audio_topic',
    'audio_info_topic',
    'truth_topic',
    'localizer',
    'origin',
    'recorded',
    'video',
    'heatmap_size',
    *(p.name for p in BAG_PARAMETERS),
)
_DATA_OPTIONS = ('data', 'split', 'windows')
_BAG_ENDINGS = ('.mcap', '.db3', '.zstd', '.bag')


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    bags, models = _sort(arguments.sources)
    if bags or arguments.recorded is not None:
        _refuse(arguments, _DATA_OPTIONS, 'does not go with a bag')
        from avsol_ros.cli.evaluate_bag import evaluate_bag

        return evaluate_bag(arguments, bags, models)
    _refuse(arguments, _BAG_OPTIONS, 'goes with a bag, and none is given')
    return _evaluate_data(arguments, models or [DEFAULT_MODEL])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='avsol evaluate',
        description='Run models over a recorded bag as they run live, and write down what they '
        'find; or score models on a dataset. Where the truth is known, with the '
        'metrics of the paper (section 3.3), beside a centre prior and random maps, '
        'which know nothing.',
        epilog='Exit status with a bag: 0 when all of it was read, 3 when some of it could not '
        'be, 1 when nothing could be done.',
    )
    parser.add_argument(
        'sources',
        nargs='*',
        metavar='BAG|MODEL',
        help='a bag (a folder, .mcap or .db3), and shipped names or checkpoints '
        f'of models (default: {DEFAULT_MODEL})',
    )
    parser.add_argument(
        '--annotations',
        type=Path,
        metavar='FILE',
        help='boxes of the films, or of the bag; a file or a folder of files '
        '(see avsol annotations)',
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='of the scenes, the random maps and the foreign sounds (default 0)',
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FOLDER',
        help='of a bag: where its files go (default: out/NAME OF THE BAG, with '
        '--recorded out/NAME/recorded); of data: write '
        'report.html, scores.json, scores.csv and windows.csv there',
    )
    parser.add_argument('--json', action='store_true', help='print JSON instead of tables')
    _add_bag_options(parser)
    group = parser.add_argument_group('a dataset')
    group.add_argument(
        '--data',
        metavar='clean|hard|FOLDER',
        help='a preset of synthetic scenes, or a folder that avsol prepare has '
        'written (default: clean)',
    )
    group.add_argument('--split', choices=('test', 'val', 'train'), help='(default: test)')
    group.add_argument(
        '--windows',
        type=int,
        help='how many at most (default: 500 synthetic ones, all of a folder)',
    )
    return parser


def _add_bag_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        'a bag', 'Topics are found by their types; name them where that is not enough.'
    )
    for name, words in (
        ('image', 'of the camera'),
        ('audio', 'of the sound'),
        ('audio-info', 'that tells the format of the sound'),
        ('truth', 'of ground truth, vision_msgs/Detection2DArray'),
    ):
        group.add_argument(f'--{name}-topic', metavar='TOPIC', help=f'topic {words}')
    group.add_argument(
        '--localizer', metavar='NODE', help='with --recorded: the node whose results are meant'
    )
    group.add_argument(
        '--origin',
        metavar='SECONDS',
        help="stamp of the annotation's time 0 (default: what the bag says, else "
        'the stamp of its first image)',
    )
    group.add_argument(
        '--recorded',
        nargs='?',
        const='',
        metavar='RESULTS',
        help='run no model: take what a localizer found live, from the bag itself '
        'or from another bag',
    )
    group.add_argument(
        '--video',
        action=argparse.BooleanOptionalAction,
        default=None,
        help='write overlay.mp4 (default: where there is no truth)',
    )
    group.add_argument(
        '--heatmap-size',
        metavar='model|camera|WIDTHxHEIGHT',
        help="size of the heatmaps in the bag of results (default: model, the model's own map)",
    )
    add_options(parser.add_argument_group('a bag: as the live node has them'), BAG_PARAMETERS)


def _sort(sources: list[str]) -> tuple[list[str], list[str]]:
    """Bags and models; a name that can only be meant for a bag must be one."""
    bags = [name for name in sources if is_bag(name)]
    models = [name for name in sources if name not in bags]
    for name in models:
        path = Path(name)
        if path.is_dir():
            raise AvsolError(
                f'{name} is a folder without metadata.yaml, .mcap or .db3; expected '
                'a bag, the name of a model or a checkpoint'
            )
        if path.suffix in _BAG_ENDINGS:
            raise AvsolError(
                f'there is no bag {name}'
                if not path.exists()
                else f'{name} is no bag of ROS 2; expected .mcap or .db3, or a folder with them'
            )
    return bags, models


def _refuse(arguments, names, why: str) -> None:
    for name in names:
        if getattr(arguments, name, None) is not None:
            raise AvsolError(f'--{name.replace("_", "-")} {why}; see avsol evaluate --help')


def _evaluate_data(arguments, models: list[str]) -> int:
    data, split = arguments.data or 'clean', arguments.split or 'test'
    if arguments.windows is not None:
        require_at_least(arguments, 1, 'windows')
    require_at_least(arguments, 0, 'seed')
    if arguments.out is not None:
        require_folder(arguments.out)

    from avsol_ros.training.evaluation.open_source import open_source
    from avsol_ros.training.evaluation.report import describe, write_report
    from avsol_ros.training.evaluation.report_tables import HARDER, format_table, table_rows
    from avsol_ros.training.evaluation.score_files import as_json
    from avsol_ros.training.evaluation.score_notes import explain
    from avsol_ros.training.evaluation.scoring import evaluate

    source = open_source(data, arguments.annotations, split, arguments.windows, arguments.seed)
    with Progress() as progress:
        count = partial(progress.count, unit='windows')
        evaluation = evaluate(models, source, arguments.seed, count, progress.warn)
    rows = table_rows(evaluation)
    about = {
        'data': data,
        'annotations': None if arguments.annotations is None else str(arguments.annotations),
        'split': split,
        'windows': len(evaluation.runs[0].samples),
        'seed': arguments.seed,
        'about': describe(evaluation),
    }
    if arguments.json:
        print(as_json(evaluation, rows, about))
    else:
        for table in (format_table(rows), format_table(rows, HARDER)):
            if table:
                print(table, end='\n\n')
        print(*explain(evaluation), sep='\n')
    if arguments.out is not None:
        for path in write_report(arguments.out, evaluation, rows, about):
            print(path, file=sys.stderr)
    return ExitStatus.OK
