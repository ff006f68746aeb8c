"""
Convolutions over space or over time of (B, C, T, h, w) features.

Borders repeat the nearest cell. Zero padding tells a network where the border is; with it,
attention learned to encode the class by *position* and the classifier to read it back, without
looking at the object.

Both run as 2D convolutions on views of one memory order (B, T, h, w, C): on a CPU, PyTorch's 3D
convolution is slower.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval


class SpaceConv(nn.Module):
    """A (1, k, k) convolution. :param kernel: k, odd."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, bias: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, bias=bias)
        self.padding = (kernel // 2,) * 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, T, h, w) to (B, C', T, h, w)."""
        batch = x.shape[0]
        flat = x.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        if self.padding[0]:
            flat = F.pad(flat, self.padding, mode='replicate')
        return self.conv(flat).unflatten(0, (batch, -1)).transpose(1, 2)


class TimeConv(nn.Module):
    """A (k, 1, 1) convolution. :param kernel: k, odd. :param stride: over time."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, bias: bool = True
    ):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, (kernel, 1), (stride, 1), bias=bias)
        self.padding = kernel // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, T, h, w) to (B, C', ceil(T / stride), h, w)."""
        height, width = x.shape[3:]
        x = torch.cat([x[:, :, :1]] * self.padding + [x] + [x[:, :, -1:]] * self.padding, 2)
        flat = x.flatten(3).contiguous(memory_format=torch.channels_last)
        return self.conv(flat).unflatten(3, (height, width))


class NormRelu(nn.Module):
    """
    Batch normalization and, while ``relu`` is set, ReLU over (B, C, T, h, w).

    :ivar relu: cleared in a layer whose results may be negative.
    """

    relu = True

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[3:]
        x = self.norm(x.flatten(3))
        return (F.relu(x) if self.relu else x).unflatten(3, (height, width))


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """
    Cells that TensorFlow's SAME adds before and after one axis: ceil(size / stride) come out.

    :param kernel: its extent, dilation included.
    """
    size = int(size)  # a traced size becomes a constant, as engines want padding
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


def weight_dtype(module: nn.Module) -> torch.dtype:
    """Precision of a module's first weights, in which it takes its input."""
    return next(module.parameters()).dtype


def arrange_weights(module: nn.Module, memory_format: torch.memory_format) -> None:
    """Lay the weights of convolutions out in memory, in the order that is fastest on a CPU."""
    # PyTorch's annotations of Module.to leave this argument out.
    module.to(memory_format=memory_format)  # type: ignore[call-overload]


def fold_norm(owner: nn.Module, conv: str, norm: str) -> None:
    """Let a convolution take the normalization after it, for good, by their attributes' names."""
    if not isinstance(getattr(owner, norm), nn.Identity):
        setattr(owner, conv, fuse_conv_bn_eval(getattr(owner, conv), getattr(owner, norm)))
        setattr(owner, norm, nn.Identity())
