"""``avsol build``: a named model with published encoders, ready to be trained or timed."""

from pathlib import Path

from avsol_ros.cli.arguments import ArgumentParser, a_path, require_path
from avsol_ros.cli.models import AVE_CLASSES, numbered_classes
from avsol_ros.errors import AvsolError
from avsol_ros.exit_status import ExitStatus
from avsol_ros.models.model_names import find_named


def main(argv: list[str]) -> int:
    parser = ArgumentParser(
        prog='avsol build',
        description='Write a checkpoint of a named model (avsol models): its encoders with their '
        'published weights, the rest with fresh ones. Training starts from it; '
        'before that it runs in the localizer, but what it finds means nothing.',
    )
    parser.add_argument(
        'name', help='a name that `avsol models` lists, or a YAML file like those in config/models'
    )
    parser.add_argument('out', type=a_path, help='checkpoint to write (.safetensors)')
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help=f'names of the categories (default: class 1 to {AVE_CLASSES})',
    )
    parser.add_argument(
        '--weights',
        nargs='+',
        metavar='NAME=FILE',
        default=[],
        help='take the published weights from these files, as vgg19=my.pth '
        '(default: where `avsol weights get` puts them)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the fresh weights (default 0)')
    arguments = parser.parse_args(argv)
    find_named(arguments.name)
    files = {}
    for pair in arguments.weights:
        name, equals, path = pair.partition('=')
        if not (name and equals and path):
            raise AvsolError(f'--weights {pair!r}; expected NAME=FILE, as vgg19=my.pth')
        files[name] = Path(path).expanduser()
        require_path(files[name], f'--weights {name}', 'a file of published weights')
    if arguments.out.suffix != '.safetensors':
        raise AvsolError(
            f'{arguments.out} is to hold a checkpoint; expected a name that ends in .safetensors'
        )

    import torch

    from avsol_ros.models.builder import build_model, named_config
    from avsol_ros.models.checkpoint import save_checkpoint
    from avsol_ros.models.published_weights import load_encoders

    classes = arguments.classes or numbered_classes()
    torch.manual_seed(arguments.seed)
    model = build_model(named_config(arguments.name, classes))
    load_encoders(model, files)
    print(save_checkpoint(arguments.out, model, training='none'))
    return ExitStatus.OK
