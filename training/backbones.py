"""Where the weights of the frozen encoders of a model in training come from."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file, save
from torch import nn

from avsol_ros.errors import AvsolError
from avsol_ros.files import remove_folder, write_bytes
from avsol_ros.locks import lock
from avsol_ros.models import compact
from avsol_ros.models.checkpoint import load_checkpoint
from avsol_ros.models.model_config import AUDIO_ENCODERS
from avsol_ros.models.network import LocalizationModel
from avsol_ros.models.published_weights import find_weights, load_published
from avsol_ros.progress import OnCount, count_nothing
from avsol_ros.training import pretrain
from avsol_ros.training.datasets.segments import drawing_code

SHIPPED = 'compact'


def fill_encoders(
    model: LocalizationModel,
    source: str,
    seed: int,
    preset: str,
    cache: Path,
    report=print,
    progress: OnCount = count_nothing,
) -> None:
    """
    Load a model's encoders.

    :param source: a checkpoint, by name or path, whose encoders are taken where they are of the
        same kind; ``pretrain``, which trains compact ones by plain classification of synthetic
        pictures and sounds; or ``random``, which leaves all encoders untrained, to try things
        out. Encoders that others published and the checkpoint lacks are read by ``weights``.
    :param seed: of the pretraining; ``preset`` of the scenes it is done on.
    :param cache: folder in which pretrained encoders are kept, also those that are half trained.
    :param progress: told how far the pretraining is.
    """
    if source == 'random':
        return
    encoders = {
        name: encoder
        for name, encoder in (('visual', model.visual_encoder), ('audio', model.audio_encoder))
        if encoder is not None
    }
    given = None
    if source != 'pretrain' and (
        source != SHIPPED or any(not encoder.published_parts() for encoder in encoders.values())
    ):
        given = load_checkpoint(source)
    trained = None
    for name, encoder in encoders.items():
        theirs = getattr(given, f'{name}_encoder', None)
        if type(theirs) is type(encoder) and (
            not encoder.published_parts()
            or theirs.state_dict().keys() >= encoder.state_dict().keys()
        ):
            encoder.load_state_dict(
                {key: theirs.state_dict()[key] for key in encoder.state_dict()}
            )
        elif parts := encoder.published_parts():
            for part in parts:
                load_published(part, find_weights(part.published))
        elif source == 'pretrain':
            trained = trained or _pretrained(seed, preset, cache, report, progress)
            encoder.load_state_dict(trained[name])
        else:
            raise AvsolError(
                f'encoders is {source!r}, whose {name} encoder is '
                f'{type(theirs).__name__}; expected a checkpoint with a '
                f'{type(encoder).__name__}'
            )


def listener(model: LocalizationModel) -> nn.Module | None:
    """
    Give a model's audio encoder, with an embedding though the model takes only maps.

    One pass then makes features for all compact models. Published encoders stay as they are:
    their embeddings have weights of their own.
    """
    encoder = model.audio_encoder
    if encoder is None or encoder.published_parts():
        return encoder
    full = AUDIO_ENCODERS[model.config.audio](embedding=True)
    full.load_state_dict(encoder.state_dict())
    return full.eval()


def _pretrained(
    seed: int, preset: str, cache: Path, report: Callable[[str], object], progress: OnCount
) -> dict[str, dict]:
    code = hashlib.sha256(
        drawing_code()
        + b''.join(Path(module.__file__).read_bytes() for module in (pretrain, compact))
    ).hexdigest()
    path = cache / f'compact-encoders-{preset}-{seed}-{code[:16]}.safetensors'
    with lock(path.with_suffix('.lock'), 'is pretraining the same encoders', wait=report):
        if not path.is_file():
            begun = path.with_suffix('.begun')
            trained = pretrain.pretrain_encoders(
                seed, preset=preset, report=report, progress=progress, keep=begun
            )
            encoders = zip(('visual', 'audio'), trained)
            tensors = {
                f'{name}.{key}': value.contiguous()
                for name, encoder in encoders
                for key, value in encoder.state_dict().items()
            }
            write_bytes(path, save(tensors))
            if begun.exists():
                remove_folder(begun)
    tensors = load_file(path)
    return {
        name: {
            key.removeprefix(f'{name}.'): value
            for key, value in tensors.items()
            if key.startswith(f'{name}.')
        }
        for name in ('visual', 'audio')
    }
