"""The one place that knows sizes: a model from its configuration."""

from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path

import yaml
from torch import nn

from avsol_ros.errors import AvsolError
from avsol_ros.models.baselines import AudioGuidedAttentionModel, CamModel
from avsol_ros.models.encoders import VisualEncoder
from avsol_ros.models.fusion import SIMILARITIES, CombinedDynamicFusion, Fusion, StaticFusion
from avsol_ros.models.heads import ClassificationHead, CorrespondenceHead, DualNormalizationHead
from avsol_ros.models.model_config import AUDIO_ENCODERS, VISUAL_ENCODERS, ModelConfig
from avsol_ros.models.model_names import find_named
from avsol_ros.models.network import LocalizationModel, SoundingObjectModel
from avsol_ros.models.synchrony import SynchronyFusion


def build_model(config: ModelConfig) -> LocalizationModel:
    """Build a model with fresh weights."""
    model = _BUILDERS[config.method](config)
    model.config = config
    return model


def _visual_encoder(config: ModelConfig) -> VisualEncoder:
    return VISUAL_ENCODERS[config.visual](config.frames)


def _build_avsm(config: ModelConfig) -> SoundingObjectModel:
    visual = _visual_encoder(config)
    # CDF hears maps of a middle layer; the layers after it stay away.
    audio = AUDIO_ENCODERS[config.audio](embedding=config.fusion != 'cdf')
    similarity = SIMILARITIES[config.similarity]()
    fusion: Fusion
    if config.fusion == 'static':
        fusion = StaticFusion(
            visual.channels, audio.embedding, config.dim, config.kernel, similarity
        )
    elif config.fusion == 'cdf':
        fusion = CombinedDynamicFusion(
            visual.channels,
            audio.channels,
            config.dim,
            config.kernel,
            visual.steps,
            config.time_stride,
            similarity,
        )
    else:
        fusion = SynchronyFusion(
            visual.channels,
            audio.channels,
            audio.embedding,
            config.dim,
            config.kernel,
            visual.steps,
            similarity,
        )
    head: nn.Module
    if config.task == 'avc':
        head = CorrespondenceHead()
    else:
        kind = DualNormalizationHead if config.task == 'dnm' else ClassificationHead
        head = kind(config.dim, len(config.classes))
    return SoundingObjectModel(visual, audio, fusion, head)


def _build_cam(config: ModelConfig) -> CamModel:
    return CamModel(_visual_encoder(config), config.dim, config.kernel, len(config.classes))


def _build_tian(config: ModelConfig) -> AudioGuidedAttentionModel:
    return AudioGuidedAttentionModel(
        _visual_encoder(config), AUDIO_ENCODERS[config.audio](embedding=True), len(config.classes)
    )


_BUILDERS: dict[str, Callable[[ModelConfig], LocalizationModel]] = {
    'avsm': _build_avsm,
    'cam': _build_cam,
    'tian': _build_tian,
}


def named_config(name: str | Path, classes: Iterable[str]) -> ModelConfig:
    """
    The configuration of a named model, or of a YAML file like those in config/models.

    :param classes: names of the categories, which the files leave open.
    """
    path = find_named(name)
    try:
        values = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise AvsolError(
            f'cannot read {path} ({error.strerror}); expected settings as in config/models'
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AvsolError(
            f'{path} is not YAML ({str(error).splitlines()[0]}); '
            'expected settings as in config/models'
        ) from None
    settings = {field.name for field in fields(ModelConfig)} - {'classes'}
    if not isinstance(values, dict) or not values.keys() <= settings:
        wrong = (
            ', '.join(map(str, values.keys() - settings))
            if isinstance(values, dict)
            else repr(values)
        )
        raise AvsolError(
            f'{path} says {wrong}; expected settings among {", ".join(sorted(settings))}'
        )
    try:
        return ModelConfig(tuple(classes), **values)
    except AvsolError as error:
        raise AvsolError(f'{path}: {error}') from None
