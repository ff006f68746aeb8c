"""``avsol train``: any model of config/models, on rendered scenes or on AVE."""

import re
from argparse import ArgumentTypeError
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from avsol_ros.cli.arguments import a_path
from avsol_ros.errors import AvsolError, UsageError
from avsol_ros.exit_status import ExitStatus
from avsol_ros.files import required_folder
from avsol_ros.models.model_names import find_checkpoint, find_named
from avsol_ros.progress import Progress
from avsol_ros.requirements import is_installed, require_modules
from avsol_ros.share import share_folder
from avsol_ros.training.datasets.named_data import check_data, check_material

if TYPE_CHECKING:
    from avsol_ros.training.settings import TrainSettings

_KINDS = {'int': 'a whole number', 'float': 'a number', 'bool': 'true or false', 'str': 'text'}

DESCRIPTION = """Train a model and leave the best of its epochs in OUT/model.safetensors, beside
last.ckpt, metrics.csv, TensorBoard events and maps of a few validation windows. The same command
goes on after an interruption. Settings come from config/training/<model>.yaml, then from --config,
then from the command line. On several GPUs or machines: torchrun --nproc-per-node N $(which avsol)
train ..."""


def make_parser():
    """The command line, made from the settings' types and descriptions."""
    from jsonargparse import ActionConfigFile, ArgumentParser

    from avsol_ros.training.settings import TrainSettings

    parser = ArgumentParser(
        prog='avsol train', description=DESCRIPTION, exit_on_error=False, allow_abbrev=False
    )
    parser.add_argument(
        'model',
        help='a name that `avsol models` lists, or a YAML file like those in config/models',
    )
    parser.add_argument(
        '--out',
        type=str,
        required=True,
        help='folder of the run; of several seeds, one folder for each in it',
    )
    parser.add_argument(
        '--seed', nargs='+', type=int, default=[0], help='of weights, order, pairs and crops'
    )
    parser.add_argument('--config', action=ActionConfigFile, help='YAML file with settings')
    parser.add_class_arguments(TrainSettings, skip={'model'}, fail_untyped=True)
    return parser


def parse(argv: list[str]) -> tuple:
    """
    Read a command line.

    :returns: the settings, the seeds and the folder.
    """
    from jsonargparse import ArgumentError

    from avsol_ros.training.settings import TrainSettings

    parser = make_parser()
    argv = [_with_underscores(word) for word in argv]
    try:
        found = parser.parse_args(argv)
        ours = share_folder() / 'config' / 'training' / f'{Path(found.model).stem}.yaml'
        if ours.is_file():
            found = parser.parse_args(['--config', str(ours), *argv])
        out = a_path(found.out)
    except ArgumentTypeError as error:
        raise UsageError(f'--out: {error}') from None
    except ArgumentError as error:
        raise UsageError(f'{_reason(error)}; see avsol train --help') from None
    values = {
        key: value
        for key, value in found.as_dict().items()
        if key not in ('config', 'out', 'seed')
    }
    if wrong := [seed for seed in found.seed if seed < 0]:
        raise AvsolError(f'--seed is {wrong[0]}; expected at least 0')
    return TrainSettings(**values), list(dict.fromkeys(found.seed)), out


def _with_underscores(word: str) -> str:
    """Options of other verbs have ``-`` where the settings here have ``_``."""
    name, equals, value = word.partition('=')
    return (
        name.replace('-', '_').replace('__', '--', 1) + equals + value
        if word[:2] == '--'
        else word
    )


def _reason(error: Exception) -> str:
    """What jsonargparse says, with the names that options have."""
    reason = ' '.join(str(error).split())
    reason = re.sub(r'(are required: .*)\bout\b', r'\1--out', reason)
    reason = re.sub(r'^Parser key "(\w+)"( element \d+)?: ', r'--\1: ', reason)
    reason = re.sub(
        r"Expected a (?:<class '(\w+)'>|typing\.Literal\[(.*?)\])\. Got value: (.*)",
        lambda found: f'{found[3]!r}; expected {_KINDS.get(found[1], found[1] or found[2])}',
        reason,
    )
    return re.sub(
        r'Does not validate .* Given value: (.*)',
        lambda found: f'{found[1]!r} is none of the values that it takes',
        reason,
    )


def _check_names(settings: 'TrainSettings') -> None:
    """Raise AvsolError for a model, data or encoders that are not there, before any work."""
    find_named(settings.model)
    check_data(settings.data)
    check_material(settings.data, settings.material)
    if settings.encoders not in ('pretrain', 'random'):
        find_checkpoint(settings.encoders)


def _require_all() -> None:
    # Lightning takes either of the two for its log.
    log = 'tensorboardX' if is_installed('tensorboardX') else 'tensorboard'
    require_modules('lightning', 'scipy', 'torchmetrics', log)


def main(argv: list[str]) -> int:
    settings, seeds, out = parse(argv)
    _check_names(settings)
    _require_all()
    folders = {seed: out if len(seeds) == 1 else out / f'seed{seed}' for seed in seeds}
    with ExitStack() as stack:
        for folder in folders.values():
            stack.enter_context(required_folder(folder))
        from avsol_ros.training.fit import train_run

        progress = stack.enter_context(Progress())
        for seed, folder in folders.items():
            train_run(settings, seed, folder, progress.say, progress.count)
    return ExitStatus.OK
