"""
I3D, RGB stream (Carreira and Zisserman, "Quo Vadis, Action Recognition?", 2017), to Mixed_4f.

Parameters bear the names of the file ``rgb_imagenet.pt`` of the PyTorch port, trained on ImageNet
and Kinetics (section 5.1). The network was trained in TensorFlow, whose SAME padding is computed
from the input's size and puts the odd cell at the end.

Everything stays in one memory order, (B, T, H, W, C), in which PyTorch's 3D convolutions and
pools are fastest on a CPU.
"""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

from avsol_ros.models.encoders import VisualEncoder
from avsol_ros.models.layers import arrange_weights, same_padding, weight_dtype

# Channels in; out of b0, b1a, b1b, b2a, b2b, b3b. None is the pool between two stages.
_BLOCKS = {
    'Mixed_3b': (192, (64, 96, 128, 16, 32, 32)),
    'Mixed_3c': (256, (128, 128, 192, 32, 96, 64)),
    'MaxPool3d_4a_3x3': None,
    'Mixed_4b': (480, (192, 96, 208, 16, 48, 64)),
    'Mixed_4c': (512, (160, 112, 224, 24, 64, 64)),
    'Mixed_4d': (512, (128, 128, 256, 24, 64, 64)),
    'Mixed_4e': (512, (112, 144, 288, 32, 64, 64)),
    'Mixed_4f': (528, (256, 160, 320, 32, 128, 128)),
}
_BLOCKS_NOT_KEPT = {
    'Mixed_5b': (832, (256, 160, 320, 32, 128, 128)),
    'Mixed_5c': (832, (384, 192, 384, 48, 128, 128)),
}
_KINETICS_CLASSES = 400


def _slow_in_3d(x: torch.Tensor) -> bool:
    """
    Whether PyTorch would leave oneDNN's convolution, which is faster.

    It does on a CPU for a single sample in float32 with few values, its last axis not counted.
    """
    if x.device.type != 'cpu' or x.dtype != torch.float32 or torch.jit.is_tracing():
        return False
    batch, channels, time, height, _ = x.shape
    return batch == 1 and channels * time * height <= 20480


def _conv_in_2d(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """3x3x3 convolution with SAME padding, as 2D convolution of three steps side by side."""
    batch, _, time = x.shape[:3]
    x = F.pad(x, (0, 0, 0, 0, 1, 1))
    x = torch.cat([x[:, :, start : start + time] for start in range(3)], 1)
    weight = weight.transpose(1, 2).flatten(1, 2)  # (C', 3 C, 3, 3), the first step's C first
    x = F.conv2d(x.transpose(1, 2).flatten(0, 1), weight, bias, padding=1)
    return x.unflatten(0, (batch, time)).transpose(1, 2)


class FrozenNorm(nn.Module):
    """Batch normalization by its running statistics alone: the encoder is never trained."""

    EPSILON = 0.001
    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer('running_mean', torch.zeros(channels))
        self.register_buffer('running_var', torch.ones(channels))

    def scale_and_shift(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalization as x * scale + shift: two (C,) float32."""
        scale = self.weight.float() * (self.running_var.float() + self.EPSILON).rsqrt()
        return scale, self.bias.float() - self.running_mean.float() * scale


class Unit(nn.Module):
    """
    Convolution with SAME padding, normalization, ReLU.

    Weights are few and features many: the weights take the normalization.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1):
        super().__init__()
        self.conv3d = nn.Conv3d(channels_in, channels_out, kernel, stride, bias=False)
        self.bn: FrozenNorm | None = FrozenNorm(channels_out)

    def fold(self) -> None:
        """Let the weights take the normalization for good, which ends the published names."""
        weight, bias = self.normalized()
        self.conv3d.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.conv3d.bias = nn.Parameter(bias.detach(), requires_grad=False)
        self.bn = None

    def normalized(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias of the convolution, normalization included."""
        weight = self.conv3d.weight
        if self.bn is None:
            assert self.conv3d.bias is not None  # fold() has set it
            return weight, self.conv3d.bias
        scale, shift = self.bn.scale_and_shift()
        scaled = weight.float() * scale.view(-1, 1, 1, 1, 1)
        return scaled.to(weight.dtype), shift.to(weight.dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, T, H, W) to (B, C', T / stride, H / stride, W / stride), rounded up."""
        weight, bias = self.normalized()
        kernel, stride = self.conv3d.kernel_size, self.conv3d.stride
        pads = [same_padding(*axis) for axis in zip(x.shape[2:], kernel, stride)]
        if any(before != after for before, after in pads):
            x = F.pad(x, [pad for axis in reversed(pads) for pad in axis])
            pads = [(0, 0)] * 3
        if kernel[0] == 3 and _slow_in_3d(x):
            x = _conv_in_2d(x, weight, bias)
        else:
            x = F.conv3d(x, weight, bias, stride, [pad for pad, _ in pads])
        return F.relu(x, inplace=True)


class MaxPool(nn.Module):
    """
    Max pooling with SAME padding of features that are not negative.

    The original pads with nothing, the port with zeros: after a ReLU both are one. Over space and
    then over time is the same as over both at once, and faster.

    :param time: kernel over time; over space it is 3.
    """

    def __init__(self, time: int, time_stride: int, space_stride: int):
        super().__init__()
        self.time, self.time_stride, self.space_stride = time, time_stride, space_stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, T, H, W) to (B, C, T / time_stride, H / space_stride, W / space_stride)."""
        height, width = (same_padding(size, 3, self.space_stride)[0] for size in x.shape[3:])
        # With ceil_mode windows may hang over the end, as much as SAME pads there.
        x = F.max_pool3d(
            x,
            (1, 3, 3),
            (1, self.space_stride, self.space_stride),
            (0, height, width),
            ceil_mode=True,
        )
        return x if self.time == 1 else self._over_time(x)

    def _over_time(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x, (0, 0, 0, 0, *same_padding(x.shape[2], self.time, self.time_stride)))
        last = x.shape[2] - self.time
        steps = [
            x[:, :, start : last + start + 1 : self.time_stride] for start in range(self.time)
        ]
        result = steps[0]
        for step in steps[1:]:
            result = torch.maximum(result, step)
        return result


class Mixed(nn.Module):
    """An Inception block: four branches side by side."""

    def __init__(self, channels: int, widths: tuple[int, ...]):
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        self.b0 = Unit(channels, b0, 1)
        self.b1a = Unit(channels, b1a, 1)
        self.b1b = Unit(b1a, b1b, 3)
        self.b2a = Unit(channels, b2a, 1)
        self.b2b = Unit(b2a, b2b, 3)
        self.b3a = MaxPool(3, 1, 1)
        self.b3b = Unit(channels, b3b, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, T, H, W) to (B, b0 + b1b + b2b + b3b, T, H, W)."""
        return torch.cat(
            [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))],
            dim=1,
        )


def _layers(blocks: dict) -> OrderedDict[str, nn.Module]:
    layers = OrderedDict(
        Conv3d_1a_7x7=Unit(3, 64, 7, 2),
        MaxPool3d_2a_3x3=MaxPool(1, 1, 2),
        Conv3d_2b_1x1=Unit(64, 64, 1),
        Conv3d_2c_3x3=Unit(64, 192, 3),
        MaxPool3d_3a_3x3=MaxPool(1, 1, 2),
    )
    for name, sizes in blocks.items():
        layers[name] = Mixed(*sizes) if sizes else MaxPool(3, 2, 2)
    return layers


class I3D(nn.Sequential, VisualEncoder):
    """
    The RGB stream up to Mixed_4f: stride 16 in space, 4 in time.

    Kinetics was trained at 25 frames a second; 24 in one second are nearest to it that give whole
    steps.

    Each stride of 2 looks from the corner on, for SAME puts the odd cell at the end: kernels of 7
    or 3 on even sizes have their middle one cell after the start. The first convolution's is pixel
    1, and those of the three pools after it lie 2, 4 and 8 pixels further: 15.
    """

    channels = 832
    image_size = 224
    grid = 14
    first_centre = 15.5 / 224
    per_frame = False  # convolutions see neighbouring frames
    published = 'i3d'

    def __init__(self, frames: int | None = None):
        super().__init__(_layers(_BLOCKS))
        self.frames = 24 if frames is None else frames
        self.steps = -(-self.frames // 4)
        arrange_weights(self, torch.channels_last_3d)

    @classmethod
    def published_shapes(cls) -> dict[str, tuple[int, ...]]:
        """Names and shapes in the published file, those of the layers not kept included."""
        with torch.device('meta'):
            whole = nn.Sequential(_layers(_BLOCKS | _BLOCKS_NOT_KEPT))
            whole.add_module(
                'logits',
                nn.ModuleDict({'conv3d': nn.Conv3d(cls.channels + 192, _KINETICS_CLASSES, 1)}),
            )
        return {name: tuple(value.shape) for name, value in whole.state_dict().items()}

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """
        :param frames: (B, T, 3, S, S) float32, RGB, 0 to 1; any T.
        :returns: (B, 832, T / 4, S / 16, S / 16), rounded up, not negative; in the parameters'
            precision, or autocast's.
        """
        x = (frames * 2 - 1).transpose(1, 2).to(weight_dtype(self))
        return super().forward(x.contiguous(memory_format=torch.channels_last_3d))
