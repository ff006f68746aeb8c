"""The words of ``avsol evaluate``, and the options that they mean."""

import argparse
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

from avsol_ros.bags import is_bag
from avsol_ros.cli.arguments import ArgumentParser, a_path
from avsol_ros.cli.node_options import add_options
from avsol_ros.config import DEFAULT_MODEL, NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.nodes.parameter_values import box_config
from avsol_ros.nodes.parameters import LOCALIZER

if TYPE_CHECKING:
    from avsol_ros.offline.evaluate_bag import EvaluateBagOptions

# The live node's parameters that mean the same for a bag: under the same name in its options, or
# joined there to a format of the sound or to settings of boxes.
_SAME_NAMES = (
    'device',
    'engine',
    'threads',
    'hop',
    'audio_latency',
    'audio_stamps',
    'stream_timeout',
)
_JOINED_NAMES = (
    'audio_sample_rate',
    'audio_channels',
    'audio_format',
    'avc_threshold',
    'box_threshold',
    'min_area',
    'max_boxes',
)
BAG_PARAMETERS = tuple(p for p in LOCALIZER if p.name in _SAME_NAMES + _JOINED_NAMES)
BAG_OPTIONS = (
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
# With recorded results there is no model to which these could go.
_MODEL_OPTIONS = ('heatmap_size', 'device', 'engine', 'threads', 'hop')
DATA_OPTIONS = ('data', 'split', 'windows', 'material')
_BAG_ENDINGS = ('.mcap', '.db3', '.zstd', '.bag')


def make_parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog='avsol evaluate',
        description='Run models over a recorded bag, as the live localizer runs them, and write '
        'what they find. Or score models on a dataset. If the truth is known, results are scored '
        'with the metrics of the paper (section 3.3) and compared with maps that do not '
        'hear: a centre prior, random maps, motion, and what a classifier of pictures is sure of.',
        epilog='Exit status with a bag: 0 when all of it was read, 3 when some of it could not '
        'be read, 1 when nothing could be done, 130 after Ctrl-C, which writes what was found so '
        'far.',
    )
    parser.add_argument(
        'sources',
        nargs='*',
        metavar='BAG|MODEL',
        help='a bag (a folder, .mcap or .db3), and models: names of shipped models or paths of '
        f'checkpoints (default: {DEFAULT_MODEL})',
    )
    parser.add_argument(
        '--annotations',
        type=a_path,
        metavar='FILE',
        help='annotations of the films, or of the bag: a file or a folder of files '
        '(see avsol annotations)',
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='seed of the scenes, the random maps and the foreign sounds (default: 0)',
    )
    parser.add_argument(
        '--out',
        type=a_path,
        metavar='FOLDER',
        help='folder for the files. With a bag: what was found (default: out/NAME, with the name '
        'of the bag; with --recorded out/NAME/recorded). With a dataset: report.html, '
        'scores.json, scores.csv and windows.csv (default: none are written)',
    )
    parser.add_argument('--json', action='store_true', help='print JSON instead of tables')
    _add_bag_options(parser)
    group = parser.add_argument_group('a dataset')
    group.add_argument(
        '--data',
        metavar='clean|hard|real|FOLDER|FILE',
        help='a preset of synthetic scenes, a folder that avsol prepare has written, or films: '
        'a file of annotated windows (see avsol annotations import-windows), or the folder of '
        'the films with the file as --annotations (default: clean)',
    )
    group.add_argument(
        '--material',
        type=Path,
        metavar='FOLDER',
        help='pictures and recordings for --data real (default: $AVSOL_MATERIAL)',
    )
    group.add_argument('--split', choices=('test', 'val', 'train'), help='(default: test)')
    group.add_argument(
        '--windows',
        type=int,
        help='most windows to score (default: 500 of a preset, all of a folder)',
    )
    return parser


def _add_bag_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        'a bag', 'Topics are found by their types. Name them if there are several of one type.'
    )
    for name, words in (
        ('image', 'of the camera'),
        ('audio', 'of the sound'),
        ('audio-info', 'that tells the format of the sound'),
        ('truth', 'of ground truth, vision_msgs/Detection2DArray'),
    ):
        group.add_argument(f'--{name}-topic', metavar='TOPIC', help=f'topic {words}')
    group.add_argument(
        '--localizer', metavar='NODE', help='with --recorded: the node whose results are used'
    )
    group.add_argument(
        '--origin',
        metavar='SECONDS',
        help="stamp of the annotation's time 0 (default: as the bag says, else the stamp of its "
        'first image)',
    )
    group.add_argument(
        '--recorded',
        nargs='?',
        const='',
        metavar='RESULTS',
        help='run no model: use the results that a live localizer published, from the bag itself '
        'or from another bag',
    )
    group.add_argument(
        '--video',
        action=argparse.BooleanOptionalAction,
        default=None,
        help='write overlay.mp4 (default: only if there is no truth)',
    )
    group.add_argument(
        '--heatmap-size',
        metavar='model|camera|WIDTHxHEIGHT',
        help="size of the heatmaps in the bag of results (default: model, the model's own map)",
    )
    add_options(parser.add_argument_group('a bag: as the live node has them'), BAG_PARAMETERS)


def sort_sources(sources: list[str]) -> tuple[list[str], list[str]]:
    """Bags and models; a name that can only be meant for a bag must be one."""
    if '' in sources:
        raise AvsolError('the name of a bag or model is empty; expected one of either')
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


def refuse(arguments, names, why: str) -> None:
    for name in names:
        if getattr(arguments, name, None) is not None:
            raise AvsolError(f'--{name.replace("_", "-")} {why}; see avsol evaluate --help')


def bag_options(arguments, bags: list[str], models: list[str]) -> 'EvaluateBagOptions':
    """Make options of the words of a command line."""
    recorded = arguments.recorded
    if recorded is not None:
        refuse(arguments, _MODEL_OPTIONS, 'goes with a model, and --recorded runs none')
        bags = bags or ([recorded] if recorded else [])
    if len(bags) != 1:
        raise AvsolError(
            f'{len(bags)} bags are given ({", ".join(bags)}); expected one'
            if bags
            else '--recorded goes with a bag, and none is given'
        )
    from avsol_ros.messages.audio import parse_audio_format
    from avsol_ros.offline.evaluate_bag import EvaluateBagOptions

    values = {
        p.name: p.default if (given := getattr(arguments, p.name)) is None else p.check(given)
        for p in BAG_PARAMETERS
    }
    return EvaluateBagOptions(
        bag=bags[0],
        models=tuple(models),
        recorded=None if recorded is None else recorded or bags[0],
        localizer=arguments.localizer or '',
        image_topic=arguments.image_topic or '',
        audio_topic=arguments.audio_topic or '',
        audio_info_topic=arguments.audio_info_topic or '',
        truth_topic=arguments.truth_topic or '',
        annotations=arguments.annotations,
        origin_ns=None if arguments.origin is None else _nanoseconds(arguments.origin),
        seed=arguments.seed,
        out=arguments.out,
        video=arguments.video,
        heatmap_size=_heatmap_size(arguments.heatmap_size or 'model'),
        audio_format=parse_audio_format(
            values['audio_format'], values['audio_sample_rate'], values['audio_channels']
        ),
        boxes=box_config(values),
        **{name: values[name] for name in _SAME_NAMES},
    )


def _nanoseconds(text: str) -> int:
    """Seconds as nanoseconds; exact, as floats of such a size are not."""
    try:
        value = Decimal(text)
        if value.is_finite() and 0 <= value < 1 << 33:
            return int(value * NANOSECONDS)
    except InvalidOperation:
        pass
    raise AvsolError(f'--origin is {text!r}; expected a stamp in seconds, such as 1700000000.25')


def _heatmap_size(text: str) -> str | tuple[int, int]:
    """Model, camera, or width and height."""
    from avsol_ros.localization.maps import MOST_PIXELS

    if text in ('model', 'camera'):
        return text
    width, _, height = text.partition('x')
    if width.isdecimal() and height.isdecimal() and 0 < int(width) * int(height) <= MOST_PIXELS:
        return int(width), int(height)
    raise AvsolError(
        f'--heatmap-size is {text!r}; expected model, camera, or WIDTHxHEIGHT such as 112x112'
    )
