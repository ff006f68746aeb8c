"""
Audio-visual similarity maps (section 4.4, Fig. 3).

Each fusion owns the sub-networks that it needs and gives two things: the audio-visual similarity
map s, (B, h, w), and the visual features that classification attends to; see :class:`Fusion`.

What compares a cell with the sound is a choice of the configuration: the paper's dot product, or
the damped cosine that the compact models take.
"""

import torch
from torch import nn
from torch.nn import functional as F

from avsol_ros.models.encoders import AudioFeatures
from avsol_ros.models.layers import NormRelu, SpaceConv, TimeConv

Parts = tuple[torch.Tensor, ...]  # of one modality, what a fusion compares


class VisualSubnetwork(nn.Sequential):
    """
    3D CNN over backbone features (section 4.2), factored into space and time.

    :param kernel: side of the spatial kernels. Neighbours let a cell beside an object answer for
        it, which costs localization; 1 where the backbone's field is already an object wide.
    :param time_stride: stride of the first look across time; None where time is averaged away
        (Fig. 3a) and there is nothing to look across.
    :param signed: whether the features may be negative; else a ReLU ends the network.
    """

    def __init__(
        self, channels: int, dim: int, kernel: int, time_stride: int | None, signed: bool
    ):
        last = NormRelu(dim)
        layers: list[nn.Module] = [SpaceConv(channels, dim, 1, bias=False), last]
        for stride in (time_stride, time_stride and 1):
            if stride:
                layers += [TimeConv(dim, dim, 3, stride, bias=False), NormRelu(dim)]
            last = NormRelu(dim)
            layers += [SpaceConv(dim, dim, kernel, bias=False), last]
        last.relu = not signed
        super().__init__(*layers)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, T, h, w) to (B, dim, ceil(T / time_stride), h, w)."""
        return super().forward(features)


class Similarity(nn.Module):
    """
    How a cell is compared with the sound: :meth:`match`, then the module itself.

    :ivar signed: whether the features that it compares may be negative.
    """

    signed: bool

    def match(self, visual: torch.Tensor, audio: torch.Tensor, weak: bool = False) -> torch.Tensor:
        """
        :param visual: (B, D, T, h, w) or (B, D, h, w).
        :param audio: (B, D, T) or (B, D).
        :param weak: whether short vectors of cells count for less.
        :returns: (B, T, h, w) or (B, h, w).
        """
        raise NotImplementedError

    def forward(self, matched: torch.Tensor) -> torch.Tensor:
        """Similarity scores s from what :meth:`match` gives, or a product of such."""
        raise NotImplementedError


class DotSimilarity(Similarity):
    """
    The paper's dot product, over the square root of D.

    The root only sets where training starts: the layers before can scale as they like, and
    without it s would begin so large that sigmoid and softmax have no gradient.
    """

    signed = True

    def match(self, visual: torch.Tensor, audio: torch.Tensor, weak: bool = False) -> torch.Tensor:
        """See :meth:`Similarity.match`; ``weak`` makes no difference."""
        return (visual * audio[..., None, None]).sum(1) / visual.shape[1] ** 0.5

    def forward(self, matched: torch.Tensor) -> torch.Tensor:
        """Return what is given: dot products are scores."""
        return matched


class CosineSimilarity(Similarity):
    """
    The cosine of non-negative vectors, scaled and shifted: s = scale * cos + shift, both learned.

    The cosine keeps a long vector from winning everywhere and bounds s, so that softmax cannot
    end in one cell; non-negative vectors keep two disagreements, multiplied in eq. 6, from
    becoming an agreement.
    """

    signed = False

    def __init__(self, scale: float = 12.0, shift: float = -6.0):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(float(scale)).log())
        self.shift = nn.Parameter(torch.tensor(float(shift)))

    def match(self, visual: torch.Tensor, audio: torch.Tensor, weak: bool = False) -> torch.Tensor:
        """See :meth:`Similarity.match`, and :func:`cosine` for ``weak``."""
        return cosine(visual, audio, damping=1.0 if weak else 0.0)

    def forward(self, matched: torch.Tensor) -> torch.Tensor:
        """Similarity scores s that sigmoid and softmax can use, from cosines in [0, 1]."""
        return self.log_scale.exp() * matched + self.shift


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


SIMILARITIES: dict[str, type[Similarity]] = {'dot': DotSimilarity, 'cosine': CosineSimilarity}


def _end(similarity: Similarity) -> nn.Module:
    """How features end that this similarity compares."""
    return nn.Identity() if similarity.signed else nn.ReLU()


class Fusion(nn.Module):
    """
    The sub-networks of both modalities (sections 4.2 and 4.3), and the map that compares them.

    :ivar steps: T, time steps that are compared; 1 where time is averaged away.
    """

    steps = 1

    def see(self, features: torch.Tensor) -> Parts:
        """Backbone features (B, C, T', h, w) to what :meth:`compare` takes of them."""
        raise NotImplementedError

    def hear(self, features: AudioFeatures) -> Parts:
        """Backbone features to what :meth:`compare` takes of them."""
        raise NotImplementedError

    def compare(self, visual: Parts, audio: Parts) -> torch.Tensor:
        """Similarity map (B, h, w)."""
        raise NotImplementedError

    def summary(self, visual: Parts) -> torch.Tensor:
        """What classification sees: (B, dim, h, w)."""
        raise NotImplementedError


class StaticFusion(Fusion):
    """
    Appearance with kind of sound, without time (Fig. 3a).

    Visual features are averaged over time after the backbone; sound is the final embedding.
    """

    def __init__(
        self, visual_channels: int, embedding: int, dim: int, kernel: int, similarity: Similarity
    ):
        super().__init__()
        self.visual = VisualSubnetwork(visual_channels, dim, kernel, None, similarity.signed)
        self.audio = nn.Sequential(
            nn.Linear(embedding, dim), nn.ReLU(inplace=True), nn.Linear(dim, dim), _end(similarity)
        )
        self.similarity = similarity

    def see(self, features: torch.Tensor) -> Parts:
        """To appearance, (B, dim, h, w)."""
        return (self.visual(features.mean(2, keepdim=True)).squeeze(2),)

    def hear(self, features: AudioFeatures) -> Parts:
        """To the kind of sound, (B, dim)."""
        return (self.audio(features.embedding),)

    def compare(self, visual: Parts, audio: Parts) -> torch.Tensor:
        """Similarity map (B, h, w)."""
        return self.similarity(self.similarity.match(visual[0], audio[0], weak=True))

    def summary(self, visual: Parts) -> torch.Tensor:
        """What classification sees: (B, dim, h, w)."""
        return visual[0]


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


class CombinedDynamicFusion(Fusion):
    """
    Appearance with kind of sound, times movement with change of sound (Fig. 3b, eq. 4 to 6).

    :param steps: time steps of the visual features; T is that over ``time_stride``, for both
        modalities. Sound, its bands averaged after the 2D CNN, is averaged or stretched to T.
    """

    def __init__(
        self,
        visual_channels: int,
        audio_channels: int,
        dim: int,
        kernel: int,
        steps: int,
        time_stride: int,
        similarity: Similarity,
    ):
        super().__init__()
        self.steps = -(-steps // time_stride)
        self.visual = VisualSubnetwork(
            visual_channels, dim, kernel, time_stride, similarity.signed
        )
        self.audio = nn.Sequential(
            nn.Conv2d(audio_channels, dim, 3, 1, 1, bias=False), nn.BatchNorm2d(dim), nn.ReLU()
        )
        self.audio_out = nn.Sequential(nn.Conv1d(dim, dim, 1), _end(similarity))
        self.conv_gru = ConvGRU(dim, kernel)
        self.gru = nn.GRU(dim, dim, batch_first=True)
        # What a GRU gives lies in (-1, 1), as dot products take it; the cosine takes it through
        # one more layer, to be non-negative.
        self.visual_out = nn.Identity() if similarity.signed else nn.Conv2d(dim, dim, 1)
        self.sound_out = nn.Identity() if similarity.signed else nn.Linear(dim, dim)
        self.end = _end(similarity)
        self.similarity = similarity

    def see(self, features: torch.Tensor) -> Parts:
        """Backbone features to v, (B, dim, T, h, w), and v'_T, (B, dim, h, w); eq. 4."""
        v = self.visual(features)
        return v, self.end(self.visual_out(self.conv_gru(v)))

    def hear(self, features: AudioFeatures) -> Parts:
        """Backbone features to a, (B, dim, T), and a'_T, (B, dim); eq. 5."""
        a = self.audio(features.maps).mean(3)
        a = self.audio_out(F.adaptive_avg_pool1d(a, self.steps))
        return a, self.end(self.sound_out(self.gru(a.transpose(1, 2))[0][:, -1]))

    def compare(self, visual: Parts, audio: Parts) -> torch.Tensor:
        """Similarity map (B, h, w): the Hadamard product of both maps (eq. 6)."""
        static = self.similarity.match(visual[0], audio[0], weak=True).mean(1)
        dynamic = self.similarity.match(visual[1], audio[1])
        return self.similarity(static * dynamic)

    def summary(self, visual: Parts) -> torch.Tensor:
        """What classification sees: (B, dim, h, w), averaged over time."""
        return visual[0].mean(2)
