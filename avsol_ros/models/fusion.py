"""
Audio-visual similarity maps (section 4.4, Fig. 3).

Each fusion owns the sub-networks that it needs and gives two things: the audio-visual similarity
map s, (B, h, w), and the visual features that classification attends to.

Similarity here is the cosine of non-negative vectors, scaled and shifted: s = scale * cos + shift,
with both numbers learned. The paper takes plain dot products. The cosine keeps a long vector from
winning everywhere and bounds s, so that softmax cannot end in one cell; non-negative vectors keep
two disagreements, multiplied in eq. 6, from becoming an agreement. Short vectors count for less.
"""

import torch
from torch import nn
from torch.nn import functional as F

from avsol_ros.models.encoders import AudioFeatures
from avsol_ros.models.layers import NormRelu, SpaceConv, TimeConv


class VisualSubnetwork(nn.Sequential):
    """
    3D CNN over backbone features (section 4.2), factored into space and time.

    :param kernel: side of the spatial kernels. Neighbours let a cell beside an object answer for
        it, which costs localization; 1 where the backbone's field is already an object wide.
    :param time: whether to look across time; False where time is averaged away (Fig. 3a). The
        first look across time halves the number of steps.
    """

    def __init__(self, channels: int, dim: int, kernel: int, time: bool):
        layers = [SpaceConv(channels, dim, 1, bias=False), NormRelu(dim)]
        for stride in (2, 1):
            if time:
                layers += [TimeConv(dim, dim, 3, stride, bias=False), NormRelu(dim)]
            layers += [SpaceConv(dim, dim, kernel, bias=False), NormRelu(dim)]
        super().__init__(*layers)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, T, h, w) to (B, dim, T / 2 or T, h, w), non-negative."""
        return super().forward(features)


class Similarity(nn.Module):
    """Turns cosines in [0, 1] into similarity scores that sigmoid and softmax can use."""

    def __init__(self, scale: float = 12.0, shift: float = -6.0):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(float(scale)).log())
        self.shift = nn.Parameter(torch.tensor(float(shift)))

    def forward(self, cosine: torch.Tensor) -> torch.Tensor:
        return self.log_scale.exp() * cosine + self.shift


def cosine(visual: torch.Tensor, audio: torch.Tensor, damping: float = 0.0) -> torch.Tensor:
    """
    Cosine of every cell with the sound, less for cells of short vectors.

    With damping d a cell's cosine is multiplied by n / sqrt(n^2 + d D), where n is the length of
    its vector: what is weak cannot match strongly. Without it, faint features of cells beside an
    object matched as well as the object's own, and some seeds localized there for good.

    :param visual: (B, D, T, h, w) or (B, D, h, w).
    :param audio: (B, D, T) or (B, D).
    :returns: (B, T, h, w) or (B, h, w).
    """
    length = visual.square().sum(1, keepdim=True) + max(1e-12, damping * visual.shape[1])
    visual = visual * length.rsqrt()
    audio = F.normalize(audio, dim=1, eps=1e-6)
    return (visual * audio[..., None, None]).sum(1)


class StaticFusion(nn.Module):
    """
    Appearance with kind of sound, without time (Fig. 3a).

    Visual features are averaged over time after the backbone; sound is the final embedding.
    """

    def __init__(self, visual_channels: int, audio_channels: int, embedding: int, dim: int,
                 kernel: int):
        super().__init__()
        self.visual = VisualSubnetwork(visual_channels, dim, kernel, time=False)
        self.audio = nn.Sequential(nn.Linear(embedding, dim), nn.ReLU(inplace=True),
                                   nn.Linear(dim, dim), nn.ReLU())
        self.similarity = Similarity()

    def see(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, T, h, w) backbone features to (B, dim, h, w)."""
        return self.visual(features.mean(2, keepdim=True)).squeeze(2)

    def hear(self, features: AudioFeatures) -> torch.Tensor:
        """To (B, dim)."""
        return self.audio(features.embedding)

    def compare(self, visual: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        """Similarity map (B, h, w)."""
        return self.similarity(cosine(visual, audio, damping=1.0))

    def summary(self, visual: torch.Tensor) -> torch.Tensor:
        """What classification sees: (B, dim, h, w)."""
        return visual


class ConvGRU(nn.Module):
    """
    A GRU whose gates are convolutions (Ballas et al., 2016); eq. 4.

    The input's share of all gates is computed for the whole sequence at once.
    """

    def __init__(self, dim: int, kernel: int):
        super().__init__()
        self.dim = dim
        self.input = SpaceConv(dim, 3 * dim, kernel)
        self.gates = SpaceConv(dim, 2 * dim, kernel, bias=False)
        self.candidate = SpaceConv(dim, dim, kernel, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        :param x: (B, dim, T, h, w).
        :returns: the last hidden state, (B, dim, h, w), in (-1, 1).
        """
        inputs = self.input(x)
        hidden = torch.zeros_like(x[:, :, :1])
        for step in inputs.split(1, dim=2):
            from_reset, from_update, from_new = step.chunk(3, dim=1)
            reset, update = self.gates(hidden).chunk(2, dim=1)
            reset = torch.sigmoid(from_reset + reset)
            update = torch.sigmoid(from_update + update)
            new = torch.tanh(from_new + self.candidate(reset * hidden))
            hidden = new + update * (hidden - new)
        return hidden.squeeze(2)


class CombinedDynamicFusion(nn.Module):
    """
    Appearance with kind of sound, times movement with change of sound (Fig. 3b, eq. 4 to 6).

    :param steps: T, time steps of both modalities.
    """

    def __init__(self, visual_channels: int, audio_channels: int, embedding: int, dim: int,
                 kernel: int, steps: int):
        super().__init__()
        self.steps = steps
        self.visual = VisualSubnetwork(visual_channels, dim, kernel, time=True)
        self.audio = nn.Sequential(
            nn.Conv2d(audio_channels, dim, 3, 1, 1, bias=False), nn.BatchNorm2d(dim), nn.ReLU())
        self.audio_out = nn.Sequential(nn.Conv1d(dim, dim, 1), nn.ReLU())
        self.conv_gru = ConvGRU(dim, kernel)
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.visual_out = nn.Conv2d(dim, dim, 1)
        self.sound_out = nn.Linear(dim, dim)
        self.similarity = Similarity()

    def see(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Backbone features to v, (B, dim, T, h, w), and v'_T, (B, dim, h, w)."""
        v = self.visual(features)
        return v, F.relu(self.visual_out(self.conv_gru(v)))

    def hear(self, features: AudioFeatures) -> tuple[torch.Tensor, torch.Tensor]:
        """Backbone features to a, (B, dim, T), and a'_T, (B, dim)."""
        a = self.audio(features.maps).mean(3)
        a = self.audio_out(F.adaptive_avg_pool1d(a, self.steps))
        return a, F.relu(self.sound_out(self.gru(a.transpose(1, 2))[0][:, -1]))

    def compare(self, visual, audio) -> torch.Tensor:
        """Similarity map (B, h, w): the Hadamard product of both maps (eq. 6)."""
        static = cosine(visual[0], audio[0], damping=1.0).mean(1)
        dynamic = cosine(visual[1], audio[1])
        return self.similarity(static * dynamic)

    def summary(self, visual) -> torch.Tensor:
        """What classification sees: (B, dim, h, w), averaged over time."""
        return visual[0].mean(2)
