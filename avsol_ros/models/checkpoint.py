"""
Checkpoints: safetensors files that hold the weights and, as JSON, the model's configuration.

Loading never executes code from a file. A file rebuilds its own model, so a name or a path is all
anyone needs.
"""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from avsol_ros.errors import AvsolError
from avsol_ros.files import write_bytes
from avsol_ros.models.builder import build_model
from avsol_ros.models.model_config import ModelConfig
from avsol_ros.models.model_names import find_checkpoint
from avsol_ros.models.network import LocalizationModel

FORMAT = 'avsol_ros 1'


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
