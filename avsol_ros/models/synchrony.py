"""
Synchrony: what moves as the sound goes. An extension; not in the paper.

The paper's CDF leaves it to two recurrent networks to find out that an object moves in time with a
sound. On scenes where only that tells two objects of one category apart they did not find out
(docs/results.md has the numbers). Here it is written down: a correlation over time.
"""

import torch
from torch import nn
from torch.nn import functional as F

from avsol_ros.models.encoders import AudioFeatures
from avsol_ros.models.fusion import Parts, Similarity, StaticFusion
from avsol_ros.models.layers import NormRelu, SpaceConv

DAMPING = 0.1  # a cell that hardly moves correlates with nothing


class SynchronyFusion(StaticFusion):
    """
    Static fusion (Fig. 3a) plus the correlation of movement with sound.

    s = match + weight * synchrony, where ``match`` is the static similarity. Synchrony is, for
    each cell, the correlation over time between what a small network makes of the cell's
    deviation from its mean over the window and what another makes of the sound's maps, summed
    over their channels. ``weight`` is learned.

    :param steps: T, time steps of the visual features; the sound's are averaged to them.
    """

    def __init__(
        self,
        visual_channels: int,
        audio_channels: int,
        embedding: int,
        dim: int,
        kernel: int,
        steps: int,
        similarity: Similarity,
    ):
        super().__init__(visual_channels, embedding, dim, kernel, similarity)
        self.steps = steps
        channels = max(1, dim // 2)
        self.movement = nn.Sequential(
            SpaceConv(visual_channels, dim, 1, bias=False),
            NormRelu(dim),
            SpaceConv(dim, channels, 1),
        )
        self.rhythm = nn.Sequential(
            nn.Conv2d(audio_channels, dim, 3, 1, 1, bias=False), nn.BatchNorm2d(dim), nn.ReLU()
        )
        self.rhythm_out = nn.Conv1d(dim, channels, 1)
        self.weight = nn.Parameter(torch.tensor(2.0))

    def see(self, features: torch.Tensor) -> Parts:
        """(B, C, T, h, w) to appearance (B, dim, h, w) and movement (B, dim / 2, T, h, w)."""
        deviation = (features - features.mean(2, keepdim=True)).abs()
        return *super().see(features), centred(self.movement(deviation))

    def hear(self, features: AudioFeatures) -> Parts:
        """To the kind of sound (B, dim) and its rhythm (B, dim / 2, T)."""
        rhythm = F.adaptive_avg_pool1d(self.rhythm(features.maps).mean(3), self.steps)
        return *super().hear(features), centred(self.rhythm_out(rhythm))

    def compare(self, visual: Parts, audio: Parts) -> torch.Tensor:
        """Similarity map (B, h, w)."""
        return super().compare(visual, audio) + self.weight * synchrony(visual[1], audio[1])


def centred(x: torch.Tensor) -> torch.Tensor:
    """Less its mean over time. :param x: (B, C, T, ...)."""
    x = x.float()
    return x - x.mean(2, keepdim=True)


def synchrony(movement: torch.Tensor, rhythm: torch.Tensor) -> torch.Tensor:
    """
    Correlation over time and channels of every cell with the sound, less for still cells.

    :param movement: (B, K, T, h, w) float32, centred over T.
    :param rhythm: (B, K, T) float32, centred over T.
    :returns: (B, h, w), -1 to 1.
    """
    product = (movement * rhythm[..., None, None]).sum((1, 2))
    moved = movement.square().sum((1, 2)) + DAMPING * movement.shape[1]
    sounded = rhythm.square().sum((1, 2)) + 1e-3
    return product * moved.rsqrt() * sounded.rsqrt()[:, None, None]
