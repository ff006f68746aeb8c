"""
Checkpoints: safetensors files that hold the weights and, as JSON, the model's configuration.

Reading one runs no code. A file rebuilds its own model, so a name or a path is all anyone needs.
"""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from avsol_ros.errors import AvsolError
from avsol_ros.files import write_bytes
from avsol_ros.models.builder import build_model, named_models
from avsol_ros.models.model_config import ModelConfig
from avsol_ros.models.network import LocalizationModel

FORMAT = 'avsol_ros 1'
_SHIPPED = Path(__file__).parent.parent / 'checkpoints'


def shipped_models() -> dict[str, Path]:
    """Names of the models that come with the package, and their files."""
    return {path.stem: path for path in sorted(_SHIPPED.glob('*.safetensors'))}


def find_checkpoint(name: str | Path) -> Path:
    """A shipped model's name, or a path, to an existing file."""
    shipped = shipped_models()
    if str(name) in shipped:
        return shipped[str(name)]
    path = Path(name).expanduser()
    if not path.is_file():
        advice = ''
        if str(name) in named_models():
            advice = (
                f'; of that row `avsol build {name} {name}.safetensors` writes a file, untrained'
            )
        raise AvsolError(
            f'no model {str(name)!r}: it is neither a file nor a shipped model '
            f'({", ".join(shipped) or "none here"}){advice}'
        )
    return path


def save_checkpoint(path: str | Path, model: LocalizationModel, **notes: str) -> Path:
    """
    Write a model to a file, which is whole or not there.

    :param notes: what else to remember, as text (how it was trained, on what).
    """
    metadata = {'format': FORMAT, 'model': json.dumps(model.config.as_dict()), **notes}
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    # Not save_file, whose files nobody else may read.
    return write_bytes(path, save(tensors, metadata))


def load_checkpoint(name: str | Path) -> LocalizationModel:
    """Rebuild a model, in eval mode on the CPU, from a shipped name or a path."""
    path = find_checkpoint(name)
    try:
        with safe_open(path, framework='pt') as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise AvsolError(
            f'{path} is not a whole safetensors file ({error}); '
            'expected a checkpoint written by avsol train or build'
        ) from error
    if metadata.get('format') != FORMAT:
        raise AvsolError(
            f'{path} has format {metadata.get("format")!r}; expected {FORMAT!r}: '
            'a checkpoint written by avsol train or build'
        )
    try:
        config = ModelConfig(**json.loads(metadata['model']))
        model = build_model(config)
        model.load_state_dict(tensors)
    except (AvsolError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise AvsolError(
            f'{path} does not fit its own configuration ({reason}); '
            'it is damaged or from another version'
        ) from error
    return model.eval()


def read_notes(name: str | Path) -> dict[str, str]:
    """What a checkpoint, one that loads, remembers besides its weights."""
    with safe_open(find_checkpoint(name), framework='pt') as file:
        return dict(file.metadata() or {})
