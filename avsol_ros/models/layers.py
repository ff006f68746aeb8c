"""Layers that more than one part uses."""

import torch
from torch import nn
from torch.nn import functional as F


class ReplicateConv(nn.Module):
    """
    A convolution over time and space whose border repeats the nearest cell.

    Zero padding tells a network where the border is. With it, attention learned to encode the
    class by *position* and the classifier to read it back, without looking at the object.

    :param kernel: kernel size over time and over both sides of space, both odd.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: tuple[int, int],
                 bias: bool = True):
        super().__init__()
        time, space = kernel
        self.conv = nn.Conv3d(channels_in, channels_out, (time, space, space), bias=bias)
        self.padding = (space // 2,) * 4 + (time // 2,) * 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, T, h, w) to (B, C', T, h, w)."""
        return self.conv(F.pad(x, self.padding, mode='replicate'))
