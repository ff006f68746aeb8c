"""The one place that knows sizes: a model from its configuration."""

from dataclasses import asdict, dataclass

import torch
from torch import nn

from avsol_ros.errors import AvsolError
from avsol_ros.models.compact import CompactAudioEncoder, CompactVisualEncoder
from avsol_ros.models.encoders import AudioFeatures
from avsol_ros.models.fusion import CombinedDynamicFusion, StaticFusion
from avsol_ros.models.heads import DualNormalizationHead, ModelOutput

VISUAL_ENCODERS = {'compact': CompactVisualEncoder}
AUDIO_ENCODERS = {'compact': CompactAudioEncoder}
FUSIONS = ('static', 'cdf')
TASKS = ('dnm', 'avc', 'cls')


@dataclass(frozen=True)
class ModelConfig:
    """
    Everything needed to build a model again.

    :param visual: name of the visual encoder.
    :param audio: name of the audio encoder.
    :param fusion: ``static`` (Fig. 3a) or ``cdf`` (Fig. 3b).
    :param task: what it is trained on: ``dnm`` (both), ``avc`` or ``cls`` alone.
    :param dim: D, size of the feature vectors that are compared.
    :param kernel: side, in cells, of the spatial kernels after the visual encoder; odd.
    :param classes: names of the categories, in the order of the outputs.
    """

    classes: tuple[str, ...]
    visual: str = 'compact'
    audio: str = 'compact'
    fusion: str = 'cdf'
    task: str = 'dnm'
    dim: int = 64
    kernel: int = 1

    def __post_init__(self):
        for name, known in (('visual', VISUAL_ENCODERS), ('audio', AUDIO_ENCODERS),
                            ('fusion', FUSIONS), ('task', TASKS)):
            value = getattr(self, name)
            if value not in known:
                raise AvsolError(f'{name} is {value!r}; expected one of {", ".join(known)}')
        if not isinstance(self.dim, int) or self.dim < 1:
            raise AvsolError(f'dim is {self.dim!r}; expected a positive integer')
        if not isinstance(self.kernel, int) or self.kernel < 1 or self.kernel % 2 == 0:
            raise AvsolError(f'kernel is {self.kernel!r}; expected an odd positive integer')
        object.__setattr__(self, 'classes', tuple(self.classes))
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise AvsolError(f'classes are {self.classes}; expected at least one, all different')

    def as_dict(self) -> dict:
        """Plain values, for a checkpoint."""
        return {**asdict(self), 'classes': list(self.classes)}


class SoundingObjectModel(nn.Module):
    """
    Fig. 2 of the paper, top to bottom: encoders, fusion, dual normalization.

    :ivar config: the ``ModelConfig`` it was built from.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.visual_encoder = VISUAL_ENCODERS[config.visual]()
        self.audio_encoder = AUDIO_ENCODERS[config.audio]()
        sizes = (self.visual_encoder.channels, self.audio_encoder.channels,
                 self.audio_encoder.embedding, config.dim, config.kernel)
        self.fusion = (StaticFusion(*sizes) if config.fusion == 'static'
                       else CombinedDynamicFusion(*sizes, steps=self.visual_encoder.frames // 2))
        self.head = DualNormalizationHead(config.dim, len(config.classes))

    def forward(self, frames: torch.Tensor, samples: torch.Tensor) -> ModelOutput:
        """
        :param frames: (B, T, 3, S, S) float32, RGB, 0 to 1.
        :param samples: (B, 16000) float32, mono, 16 kHz, -1 to 1.
        """
        return self.fuse(self.visual_encoder(frames), self.audio_encoder(samples))

    def fuse(self, visual: torch.Tensor, audio: AudioFeatures) -> ModelOutput:
        """Everything after the frozen encoders."""
        return self.relate(self.fusion.see(visual), self.fusion.hear(audio))

    def relate(self, seen, heard) -> ModelOutput:
        """Everything after the sub-networks; a picture may be related to several sounds."""
        return self.head(self.fusion.compare(seen, heard), self.fusion.summary(seen))

    def freeze_encoders(self) -> None:
        """Fix both backbones (section 5.1)."""
        for encoder in (self.visual_encoder, self.audio_encoder):
            encoder.requires_grad_(False).eval()

    def heatmap(self, output: ModelOutput) -> torch.Tensor:
        """What localizes (section 5.2): the localization map; the attention when only cls."""
        return output.attention if self.config.task == 'cls' else output.localization


def build_model(config: ModelConfig) -> SoundingObjectModel:
    """Build a model with fresh weights."""
    return SoundingObjectModel(config)
