"""``avsol synthesize``: films of scenes whose sounding objects are known."""

import argparse
from functools import partial

from avsol_ros.cli.arguments import ArgumentParser, a_path, require_at_least
from avsol_ros.exit_status import ExitStatus
from avsol_ros.locks import claim_folder
from avsol_ros.progress import Progress
from avsol_ros.requirements import require_modules
from avsol_ros.training.datasets.named_data import check_material
from avsol_ros.training.synthetic.preset_names import PRESET_NAMES


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split('x'))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'{text!r}; expected WIDTHxHEIGHT, e.g. 640x480'
        ) from None
    if not (64 <= width <= 4096 and 64 <= height <= 4096):
        raise argparse.ArgumentTypeError(f'{text!r}; expected sides from 64 to 4096')
    return width, height


def main(argv: list[str]) -> int:
    parser = ArgumentParser(
        prog='avsol synthesize',
        description='Render synthetic scenes: films with sound and, beside each, its truth as '
        'JSON (boxes at 10 per second with the tags sounding and out-of-view).',
    )
    parser.add_argument(
        'folder', type=a_path, help='where to write scene_0000.mp4, scene_0000.json …'
    )
    parser.add_argument('--count', type=int, default=4, help='how many films (default 4)')
    parser.add_argument('--seed', type=int, default=0, help='another seed, other scenes')
    parser.add_argument('--seconds', type=int, default=10, help='length of each (default 10)')
    parser.add_argument('--size', type=_size, default=(640, 480), help='default 640x480')
    parser.add_argument('--rate', type=float, default=25, help='frames per second (default 25)')
    parser.add_argument(
        '--preset',
        choices=PRESET_NAMES,
        default='clean',
        help='hard: look-alikes, ambient sound, several sounds at once; real: photographs and '
        'recordings of --material (default clean)',
    )
    parser.add_argument(
        '--material',
        type=a_path,
        metavar='FOLDER',
        help='pictures and recordings for --preset real (default $AVSOL_MATERIAL)',
    )
    arguments = parser.parse_args(argv)
    require_at_least(arguments, 1, 'count', 'seconds', 'rate')
    require_at_least(arguments, 0, 'seed')
    check_material(arguments.preset, arguments.material, '--preset')
    require_modules('scipy')
    from avsol_ros.training.synthetic.scene_films import render_films

    with claim_folder(arguments.folder), Progress() as progress:
        paths = render_films(
            arguments.folder,
            arguments.count,
            arguments.seed,
            arguments.seconds,
            *arguments.size,
            arguments.rate,
            partial(progress.share, 'rendering films'),
            arguments.preset,
            arguments.material,
        )
    print(*paths, sep='\n')
    return ExitStatus.OK
