"""Where the weights of the frozen encoders of a model in training come from."""

import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from avsol_ros.checkpoint import load_checkpoint
from avsol_ros.errors import AvsolError
from avsol_ros.models.builder import AUDIO_ENCODERS
from avsol_ros.models.network import LocalizationModel
from avsol_ros.training.pretrain import pretrain_encoders
from avsol_ros.weights import find_weights, load_published

SHIPPED = 'compact'


def fill_encoders(model: LocalizationModel, source: str, seed: int = 0,
                  cache: Path | None = None, report=print) -> None:
    """
    Load a model's encoders.

    :param source: a checkpoint, by name or path, whose encoders are taken where they are of the
        same kind; ``pretrain``, which trains compact ones by plain classification of synthetic
        pictures and sounds; or ``random``, which leaves all encoders untrained, to try things
        out. Encoders that others published and the checkpoint lacks are read by ``weights``.
    :param seed: of the pretraining.
    :param cache: folder in which pretrained encoders are kept.
    """
    if source == 'random':
        return
    encoders = {name: encoder for name, encoder in (('visual', model.visual_encoder),
                                                    ('audio', model.audio_encoder))
                if encoder is not None}
    given = None
    if source != 'pretrain' and (source != SHIPPED or any(
            encoder.published is None for encoder in encoders.values())):
        given = load_checkpoint(source)
    trained = None
    for name, encoder in encoders.items():
        theirs = getattr(given, f'{name}_encoder', None)
        if type(theirs) is type(encoder) and (
                encoder.published is None
                or theirs.state_dict().keys() >= encoder.state_dict().keys()):
            encoder.load_state_dict({key: theirs.state_dict()[key]
                                     for key in encoder.state_dict()})
        elif encoder.published is not None:
            load_published(encoder, find_weights(encoder.published))
        elif source == 'pretrain':
            trained = trained or _pretrained(seed, cache, report)
            encoder.load_state_dict(trained[name])
        else:
            raise AvsolError(f'encoders is {source!r}, whose {name} encoder is '
                             f'{type(theirs).__name__}; expected a checkpoint with a '
                             f'{type(encoder).__name__}')


def listener(model: LocalizationModel) -> nn.Module | None:
    """
    Give a model's audio encoder, with an embedding though the model takes only maps.

    One pass then makes features for all compact models. Published encoders stay as they are:
    their embeddings have weights of their own.
    """
    encoder = model.audio_encoder
    if encoder is None or encoder.published is not None:
        return encoder
    full = AUDIO_ENCODERS[model.config.audio](embedding=True)
    full.load_state_dict(encoder.state_dict())
    return full.eval()


def _pretrained(seed: int, cache: Path | None, report) -> dict[str, dict[str, torch.Tensor]]:
    path = None if cache is None else cache / f'compact-encoders-{seed}.safetensors'
    if path is None or not path.is_file():
        visual, audio = pretrain_encoders(seed, report=report)
        states = {'visual': visual.state_dict(), 'audio': audio.state_dict()}
        if path is None:
            return states
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f'.{path.name}.{os.getpid()}.part')
        save_file({f'{name}.{key}': value.contiguous() for name, state in states.items()
                   for key, value in state.items()}, part)
        part.replace(path)
    tensors = load_file(path)
    return {name: {key.removeprefix(f'{name}.'): value for key, value in tensors.items()
                   if key.startswith(f'{name}.')} for name in ('visual', 'audio')}
