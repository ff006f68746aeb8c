"""Fig. 2 of the paper, top to bottom: encoders, fusion, dual normalization."""

import torch
from torch import nn

from avsol_ros.models.encoders import AudioEncoder, AudioFeatures, VisualEncoder
from avsol_ros.models.fusion import Fusion, Parts
from avsol_ros.models.heads import ModelOutput
from avsol_ros.models.model_config import ModelConfig


class LocalizationModel(nn.Module):
    """
    What every row of Table 2 is: frozen encoders, and something trained that says where.

    :ivar visual_encoder: see ``encoders``.
    :ivar audio_encoder: the same; None in a model that does not hear.
    :ivar context: seconds of the past, this one included, that the model can make use of.
    :ivar config: what it was built from; set by the builder.
    """

    context = 1
    config: ModelConfig

    def __init__(self, visual_encoder: VisualEncoder, audio_encoder: AudioEncoder | None):
        super().__init__()
        self.visual_encoder = visual_encoder
        self.audio_encoder = audio_encoder

    def forward(self, frames: torch.Tensor, samples: torch.Tensor) -> ModelOutput:
        """
        :param frames: (B, T, 3, S, S) float32, RGB, 0 to 1.
        :param samples: (B, 16000) float32, mono, 16 kHz, -1 to 1.
        """
        heard = None if self.audio_encoder is None else self.audio_encoder(samples)
        return self.fuse(self.visual_encoder(frames), heard)

    def fuse(
        self, visual: torch.Tensor, audio: AudioFeatures | None, past: torch.Tensor | None = None
    ) -> ModelOutput:
        """
        Everything after the frozen encoders.

        :param visual: (B, C, T, h, w).
        :param audio: None only for a model that does not hear.
        :param past: (B, n, M) the ``moment`` of the n seconds before, the oldest first, in
            models with context.
        """
        raise NotImplementedError

    def trained(self) -> list[nn.Module]:
        """The parts that training changes: all but the encoders."""
        return [
            part
            for name, part in self.named_children()
            if name not in ('visual_encoder', 'audio_encoder')
        ]

    def freeze_encoders(self) -> None:
        """Fix both backbones (section 5.1)."""
        for encoder in (self.visual_encoder, self.audio_encoder):
            if encoder is not None:
                encoder.requires_grad_(False).eval()

    def heatmap(self, output: ModelOutput) -> torch.Tensor:
        """
        What localizes (section 5.2): the localization map; without AVC the attention.

        :returns: (B, h, w), 0 to 1.
        """
        found = output.attention if output.localization is None else output.localization
        assert found is not None  # every task has one of them
        return found

    def class_scores(self, output: ModelOutput) -> torch.Tensor | None:
        """(B, C), 0 to 1; None in a model without classes."""
        return None if output.class_logits is None else output.class_logits.sigmoid()


class SoundingObjectModel(LocalizationModel):
    """
    The paper's own: a similarity map by static fusion or CDF, normalized for its tasks.

    :param head: see ``heads``.
    """

    audio_encoder: AudioEncoder

    def __init__(
        self,
        visual_encoder: VisualEncoder,
        audio_encoder: AudioEncoder,
        fusion: Fusion,
        head: nn.Module,
    ):
        super().__init__(visual_encoder, audio_encoder)
        self.fusion = fusion
        self.head = head

    def fuse(
        self, visual: torch.Tensor, audio: AudioFeatures | None, past: torch.Tensor | None = None
    ) -> ModelOutput:
        """Sub-networks (section 4.2, 4.3), then :meth:`relate`."""
        if audio is None:
            raise TypeError('audio is None; expected features: this model hears')
        return self.relate(self.fusion.see(visual), self.fusion.hear(audio))

    def relate(self, seen: Parts, heard: Parts) -> ModelOutput:
        """Everything after the sub-networks; a picture may be related to several sounds."""
        return self.head(self.fusion.compare(seen, heard), self.fusion.summary(seen))
