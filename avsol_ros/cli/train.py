"""``avsol train``: the compact model on synthetic scenes, from nothing to a checkpoint."""

import argparse
import itertools
from pathlib import Path

from avsol_ros.cli.arguments import require_at_least, require_folder
from avsol_ros.errors import AvsolError


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog='avsol train',
        description='Train compact models on synthetic scenes and write their checkpoints. The '
                    'encoders are pretrained by plain classification and frozen; then the '
                    'sub-networks are trained by the chosen task. Without options this makes '
                    'the model that is shipped.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('out', type=Path,
                        help='checkpoint to write (.safetensors); a folder when several models '
                             'are asked for')
    parser.add_argument('--fusion', nargs='+', choices=('static', 'cdf'),
                        default=['static'])
    parser.add_argument('--task', nargs='+', choices=('dnm', 'avc', 'cls'), default=['dnm'])
    parser.add_argument('--seed', nargs='+', type=int, default=[0],
                        help='of weights, order and pairs')
    parser.add_argument('--windows', type=int, default=8000, help='training windows')
    parser.add_argument('--epochs', type=int, default=12)
    parser.add_argument('--encoders', metavar='CHECKPOINT', default=None,
                        help='take pretrained encoders from this checkpoint')
    parser.add_argument('--encoder-seed', type=int, default=0,
                        help='seed of the pretraining, when no --encoders are given')
    arguments = parser.parse_args(argv)
    require_at_least(arguments, 1, 'windows', 'epochs')
    require_at_least(arguments, 0, 'seed', 'encoder_seed')
    chosen = list(itertools.product(arguments.fusion, arguments.task, arguments.seed))
    if (arguments.out.suffix == '.safetensors') != (len(chosen) == 1):
        raise AvsolError(f'{arguments.out} is to hold {len(chosen)} model(s); expected a name '
                         'that ends in .safetensors for one, a folder for several')
    require_folder(arguments.out.parent if len(chosen) == 1 else arguments.out)

    from avsol_ros.training.recipe import Run, train_compact
    runs = [Run(arguments.out if len(chosen) == 1
                else arguments.out / f'{fusion}-{task}-seed{seed}.safetensors',
                fusion, task, seed) for fusion, task, seed in chosen]
    train_compact(runs, windows=arguments.windows, epochs=arguments.epochs,
                  encoders=arguments.encoders, encoder_seed=arguments.encoder_seed,
                  report=lambda line: print(line, flush=True))
    return 0
