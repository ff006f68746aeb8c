"""
EfficientNet-Lite (Liu, "Higher accuracy on vision models with EfficientNet-Lite", 2020).

EfficientNet (Tan and Le, 2019) without squeeze-and-excitation and with ReLU6 for Swish, trained
on ImageNet-1k. Parameters bear the names of the PyTorch port's files. The networks were trained
in TensorFlow: SAME padding with zeros puts the odd pixel at the end.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from avsol_ros.models.encoders import VisualEncoder, shapes_of
from avsol_ros.models.layers import arrange_weights, fold_norm, same_padding, weight_dtype

# Of each stage: expansion, channels, blocks, kernel, stride of its first block.
_STAGES = (
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)
_STEM = 32
_HEAD = 1280
_MIDDLE = 5  # stages to the last one of stride 16
_EPSILON = 1e-3  # of normalization, as in TensorFlow
IMAGENET_CLASSES = 1000


def _rounded(channels: int, width: float) -> int:
    """Channels of a wider network: the nearest multiple of 8, at most a tenth less."""
    wider = channels * width
    nearest = max(8, int(wider + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * wider else nearest


class _Norm(nn.BatchNorm2d):
    """Batch normalization by its running statistics alone: the encoder is never trained."""

    def __init__(self, channels: int):
        super().__init__(channels, eps=_EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.running_mean is not None and self.running_var is not None
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


class _Conv(nn.Conv2d):
    """Convolution without bias, with SAME padding."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
    ):
        super().__init__(
            channels_in,
            channels_out,
            kernel,
            stride,
            dilation=dilation,
            groups=groups,
            bias=False,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        field = self.dilation[0] * (self.kernel_size[0] - 1) + 1
        rows, columns = (same_padding(size, field, self.stride[0]) for size in x.shape[2:])
        if rows[0] == rows[1] and columns[0] == columns[1]:
            pads = (rows[0], columns[0])
        else:
            x, pads = F.pad(x, (*columns, *rows)), (0, 0)
        return F.conv2d(x, self.weight, self.bias, self.stride, pads, self.dilation, self.groups)


class _Block(nn.Module):
    """Inverted bottleneck: expand, look around in each channel, project; plus what came in."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        expansion: int,
        kernel: int,
        stride: int,
        dilation: int,
    ):
        super().__init__()
        wide = channels_in * expansion
        self.expands = expansion != 1
        self.adds = stride == 1 and channels_in == channels_out
        if self.expands:
            self._expand_conv = _Conv(channels_in, wide, 1)
            self._bn0 = _Norm(wide)
        self._depthwise_conv = _Conv(wide, wide, kernel, stride, wide, dilation)
        self._bn1 = _Norm(wide)
        self._project_conv = _Conv(wide, channels_out, 1)
        self._bn2 = _Norm(channels_out)

    def fold(self) -> None:
        """See :meth:`EfficientNetLite.fold`."""
        if self.expands:
            fold_norm(self, '_expand_conv', '_bn0')
        fold_norm(self, '_depthwise_conv', '_bn1')
        fold_norm(self, '_project_conv', '_bn2')

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        x = given
        if self.expands:
            x = F.relu6(self._bn0(self._expand_conv(x)), inplace=True)
        x = F.relu6(self._bn1(self._depthwise_conv(x)), inplace=True)
        x = self._bn2(self._project_conv(x))
        return x + given if self.adds else x


class EfficientNetLite(VisualEncoder):
    """
    EfficientNet-Lite to its head, each frame by itself, as 14 x 14 cells of 224 x 224 pixels.

    Published, the last stages have a stride of 2 and 7 x 7 cells. Here that stride is left out and
    what comes after it looks at every other cell (dilation of 2). Of the cells, those in odd rows
    and odd columns are the published network's own, from zero counted, to the last bit but
    rounding; the others are what it would give of a picture moved by 16 pixels.

    :param frames: of a window; by default 8, as the compact encoder takes.
    """

    channels = _HEAD
    image_size = 224
    grid = 14
    # SAME puts the odd pixel at the end, so a cell's field is centred at 15.5 pixels. But training
    # has put the weight of the fields further up and left. What the classifier's answer hangs on,
    # by its squared gradient over 16 composed pictures, is centred at 5.2 and 8.3 pixels (y, x),
    # and maps lie over the objects of such pictures best when they are drawn so.
    first_centre = 7 / 224
    # It costs 7 % of the features' length, on photographs; float16 costs 0.9 %.
    bears_bfloat16 = False
    per_frame = True
    width = 1.0
    depth = 1.0
    to_head = True

    def __init__(self, frames: int | None = None):
        super().__init__()
        self.frames = self.steps = 8 if frames is None else frames
        self._conv_stem = _Conv(3, _STEM, 3, 2)
        self._bn0 = _Norm(_STEM)
        self._blocks = self._all_blocks(None if self.to_head else _MIDDLE)
        if self.to_head:
            self._conv_head = _Conv(self._widths()[-1], _HEAD, 1)
            self._bn1 = _Norm(_HEAD)
            self._fc = nn.Linear(_HEAD, IMAGENET_CLASSES)
        arrange_weights(self, torch.channels_last)

    @classmethod
    def _widths(cls) -> list[int]:
        return [_rounded(stage[1], cls.width) for stage in _STAGES]

    @classmethod
    def _all_blocks(cls, stages: int | None = None) -> nn.ModuleList:
        """Blocks of the first stages, or of all."""
        blocks = nn.ModuleList()
        before = _STEM
        for number, (stage, channels) in enumerate(zip(_STAGES[:stages], cls._widths())):
            expansion, _, count, kernel, stride = stage
            if 0 < number < len(_STAGES) - 1:  # the first and the last stage are not scaled
                count = math.ceil(count * cls.depth)
            for index in range(count):
                blocks.append(
                    _Block(
                        before,
                        channels,
                        expansion,
                        kernel,
                        stride if index == 0 and number < _MIDDLE else 1,
                        2 if number > _MIDDLE or number == _MIDDLE and index else 1,
                    )
                )
                before = channels
        return blocks

    @classmethod
    def published_shapes(cls) -> dict[str, tuple[int, ...]]:
        """Names and shapes in the published file, those of the layers not kept included."""
        with torch.device('meta'):
            whole = nn.ModuleDict(
                {
                    '_conv_stem': _Conv(3, _STEM, 3, 2),
                    '_bn0': _Norm(_STEM),
                    '_blocks': cls._all_blocks(),
                    '_conv_head': _Conv(cls._widths()[-1], _HEAD, 1),
                    '_bn1': _Norm(_HEAD),
                    '_fc': nn.Linear(_HEAD, IMAGENET_CLASSES),
                }
            )
        return shapes_of(whole)

    def fold(self) -> None:
        """Let the weights take all normalization for good; the published names end with that."""
        fold_norm(self, '_conv_stem', '_bn0')
        for block in self._blocks:
            assert isinstance(block, _Block)
            block.fold()
        if self.to_head:
            fold_norm(self, '_conv_head', '_bn1')

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """
        :param frames: (B, T, 3, S, S) float32, RGB, 0 to 1; any T.
        :returns: (B, C, T, S / 16, S / 16): of the head, 0 to 6; of a stage, of either sign; in
            the parameters' precision, or autocast's.
        """
        batch, time = frames.shape[:2]
        x = (frames.flatten(0, 1) * 255 - 127) / 128
        x = x.to(weight_dtype(self), memory_format=torch.channels_last)
        x = F.relu6(self._bn0(self._conv_stem(x)), inplace=True)
        for block in self._blocks:
            x = block(x)
        if self.to_head:
            x = F.relu6(self._bn1(self._conv_head(x)), inplace=True)
        return x.unflatten(0, (batch, time)).transpose(1, 2)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """
        What the classifier says of each cell; of an encoder to the head.

        The mean over the cells in odd rows and odd columns is the published network's answer.

        :param features: (B, 1280, T, h, w), from :meth:`forward`.
        :returns: (B, 1000, T, h, w), of ImageNet's classes.
        """
        return self._fc(features.movedim(1, -1)).movedim(-1, 1)


class EfficientNetLite0(EfficientNetLite):
    """Lite0: 4.7 million parameters."""

    published = 'efficientnet-lite0'


class EfficientNetLite1(EfficientNetLite):
    """Lite1: deeper; 5.4 million parameters. It was trained at 240 x 240 pixels."""

    published = 'efficientnet-lite1'
    depth = 1.1


class EfficientNetLite2(EfficientNetLite):
    """Lite2: deeper and wider; 6.1 million parameters. It was trained at 260 x 260 pixels."""

    published = 'efficientnet-lite2'
    first_centre = 12 / 224  # measured as Lite0's: 11.2 and 13.1 pixels
    width = 1.1
    depth = 1.2


class EfficientNetLite0Stage5(EfficientNetLite0):
    """Lite0 to its fifth stage, the last one of stride 16 as published: 112 channels."""

    channels = 112
    first_centre = 9.5 / 224  # measured by the features' own strength: 9.5 and 9.4 pixels
    to_head = False
