"""
What every encoder promises: the base classes of backbones.

Both kinds are trained elsewhere and stay frozen (section 5.1). Their parameters bear the names of
the published file, so that it loads key for key.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn

LOG_MEL_SHAPE = 1, 96, 64  # of one second, as VGGish takes it: one channel, time, mel


@dataclass(frozen=True, eq=False)
class AudioFeatures:
    """
    :param maps: (B, C, T, M) features of a middle layer, time by mel kept, for CDF.
    :param embedding: (B, E) output of the last layer, for static fusion (Fig. 3a); None from an
        encoder made without.
    """

    maps: torch.Tensor
    embedding: torch.Tensor | None


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of what a module holds, but for counters of batch normalization."""
    return {
        name: tuple(value.shape)
        for name, value in module.state_dict().items()
        if not name.endswith('num_batches_tracked')
    }


@runtime_checkable
class Foldable(Protocol):
    """A part of an encoder that can get ready to run, and for nothing else any more."""

    def fold(self) -> None:
        """Do it; engines call this on a copy of their own, before they round weights."""


class Encoder(nn.Module):
    """
    A frozen backbone.

    :ivar published: the entry of ``published_weights.PUBLISHED`` that it takes; None of one whose
        weights come with our own checkpoints.
    :ivar bears_bfloat16: whether bfloat16 costs its features about a hundredth or less; where it
        costs more, engines compute in float32 in its place.
    """

    published: str | None = None
    bears_bfloat16 = True

    @classmethod
    def published_shapes(cls) -> dict[str, tuple[int, ...]]:
        """Names and shapes of everything in the published file, also of what is not kept."""
        raise NotImplementedError(f'{cls.__name__} takes no published weights')

    def published_parts(self) -> 'list[Encoder]':
        """What takes a file of published weights each: itself, encoders in it, or none."""
        return [part for part in self.modules() if isinstance(part, Encoder) and part.published]


class VisualEncoder(Encoder):
    """
    Frames (B, T, 3, S, S), RGB from 0 to 1, to features (B, C, T', h, w).

    It is made with the number of frames of a window, or its own default.

    :ivar channels: C, features per cell.
    :ivar image_size: S, side of the square input, pixels.
    :ivar frames: frames of a window.
    :ivar steps: T', time steps of the features of a window.
    :ivar grid: h = w, side of the square feature map.
    :ivar first_centre: middle of what the first cell sees, as a share of the image's side.
    :ivar per_frame: whether each frame is looked at by itself, so that its features serve every
        window that it is in.
    """

    channels: int
    image_size: int
    frames: int
    steps: int
    grid: int
    first_centre: float
    per_frame: bool


class AudioEncoder(Encoder):
    """
    Samples (B, 16000), mono, 16 kHz, -1 to 1, to ``AudioFeatures``.

    It is made with or without what makes the embedding. Its two halves can be had by themselves:
    ``prepare`` keeps to float32, ``encode`` may run in an engine.

    :ivar channels: C, features per cell of the maps.
    :ivar embedding: E, size of the final, time-less vector.
    :ivar taken: shape of what ``encode`` takes of one second, without the batch.
    """

    channels: int
    embedding: int
    taken: tuple[int, ...] = LOG_MEL_SHAPE

    def prepare(self, samples: torch.Tensor) -> torch.Tensor:
        """
        :param samples: (B, 16000) float32, mono, 16 kHz, -1 to 1.
        :returns: (B, ...) float32: a spectrogram, time by band, or a wave.
        """
        raise NotImplementedError

    def encode(self, prepared: torch.Tensor) -> AudioFeatures:
        """:param prepared: (B, ...) float32, as :meth:`prepare` gives it."""
        raise NotImplementedError

    def forward(self, samples: torch.Tensor) -> AudioFeatures:
        """(B, 16000) float32, mono, 16 kHz, -1 to 1, to what :meth:`encode` gives."""
        return self.encode(self.prepare(samples))
