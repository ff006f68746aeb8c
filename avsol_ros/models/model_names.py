"""
Names of models and the files that they stand for, found without PyTorch.

There are two kinds. A checkpoint is a trained model: the shipped ones have names, all others are
paths. A named model is a row of config/models, which is built or trained.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path

from avsol_ros.errors import AvsolError
from avsol_ros.share import share_folder

_SHIPPED = Path(__file__).parent.parent / 'checkpoints'
_TABLE_2 = ('cam', 'tian', 'vgg19', 'i3d', 'static', 'cdf', 'sync', 'cls', 'avc', 'dnm')
#: What ``avsol train`` leaves in the folder of a run.
MODEL_FILE = 'model.safetensors'


def shipped_models() -> dict[str, Path]:
    """Names of the models that come with the package, and their files."""
    return {path.stem: path for path in sorted(_SHIPPED.glob('*.safetensors'))}


def named_models() -> dict[str, Path]:
    """
    Names of the models in config/models and their files.

    :returns: in Table 2's order: on the paper's encoders, then ``lite``, then ``compact``.
    """

    def place(path: Path) -> tuple[int, list[int], list[str]]:
        words = path.stem.split('-')
        family = ('lite' in words) + 2 * ('compact' in words)
        return (family, [_TABLE_2.index(w) for w in words if w in _TABLE_2], words)

    folder = share_folder() / 'config' / 'models'
    return {path.stem: path for path in sorted(folder.glob('*.yaml'), key=place)}


def find_named(name: str | Path) -> Path:
    """
    Find the settings of a named model, or a YAML file like those in config/models.

    :raises AvsolError: where it is neither.
    """
    known = named_models()
    path = known.get(str(name)) or Path(name)
    if not path.is_file():
        raise AvsolError(
            f'no model {str(name)!r}; expected a YAML file or one of {", ".join(known)}'
            f'{_near(name, known)}'
        )
    return path


def find_checkpoint(name: str | Path) -> Path:
    """
    A shipped model's name, or a path, to an existing file.

    :raises AvsolError: where it is neither.
    """
    shipped = shipped_models()
    if str(name) in shipped:
        return shipped[str(name)]
    path = Path(name).expanduser()
    if not path.is_file():
        advice = _near(name, shipped)
        if str(name) in named_models():
            advice = (
                f'; of that row `avsol build {name} {name}.safetensors` writes a file, untrained'
            )
        elif (path / MODEL_FILE).is_file():
            advice = f'; in this folder there is {path / MODEL_FILE}'
        raise AvsolError(
            f'no model {str(name)!r}: it is neither a file nor a shipped model '
            f'({", ".join(shipped) or "none here"}){advice}'
        )
    return path


def is_row(name: str | Path) -> bool:
    """Whether a name means settings of a model, not a checkpoint."""
    return str(name) in named_models() or Path(name).suffix in ('.yaml', '.yml')


def _near(name: str | Path, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=3)
    return f'; did you mean {" or ".join(near)}?' if near else ''
