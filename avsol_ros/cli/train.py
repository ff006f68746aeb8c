"""``avsol train``: the compact model on synthetic scenes, from nothing to a checkpoint."""

import argparse
from pathlib import Path

from avsol_ros.errors import AvsolError


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog='avsol train',
        description='Train a compact model on synthetic scenes and write its checkpoint. The '
                    'encoders are pretrained by plain classification and frozen; then the '
                    'sub-networks are trained by the chosen task. Without options this makes '
                    'the model that is shipped.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('out', type=Path, help='checkpoint to write (.safetensors)')
    parser.add_argument('--fusion', choices=('static', 'cdf'), default='cdf')
    parser.add_argument('--task', choices=('dnm', 'avc', 'cls'), default='dnm')
    parser.add_argument('--seed', type=int, default=0, help='weights, order and pairs')
    parser.add_argument('--windows', type=int, default=6000, help='training windows')
    parser.add_argument('--epochs', type=int, default=12)
    parser.add_argument('--encoders', metavar='CHECKPOINT', default=None,
                        help='take pretrained encoders from this checkpoint')
    parser.add_argument('--encoder-seed', type=int, default=0,
                        help='seed of the pretraining, when no --encoders are given')
    arguments = parser.parse_args(argv)
    if arguments.out.suffix != '.safetensors':
        raise AvsolError(f'the checkpoint is {arguments.out.name!r}; expected a name that ends '
                         'in .safetensors')
    for name in ('windows', 'epochs'):
        if getattr(arguments, name) < 1:
            raise AvsolError(f'--{name} is {getattr(arguments, name)}; expected at least 1')

    from avsol_ros.training.recipe import train_compact
    train_compact(arguments.out, fusion=arguments.fusion, task=arguments.task,
                  seed=arguments.seed, windows=arguments.windows, epochs=arguments.epochs,
                  encoders=arguments.encoders, encoder_seed=arguments.encoder_seed,
                  report=lambda line: print(line, flush=True))
    print(arguments.out)
    return 0
