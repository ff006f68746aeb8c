"""
VGG19 (Simonyan and Zisserman, 2015), to its last convolution or to the pool after it.

Parameters bear the names of the file ``vgg19-dcbb9e9d.pth`` of torchvision, trained on ImageNet
(section 5.1).
"""

from collections.abc import Iterable

import torch
from torch import nn

from avsol_ros.models.encoders import VisualEncoder
from avsol_ros.models.layers import arrange_weights, weight_dtype

_PLAN = (
    64,
    64,
    'pool',
    128,
    128,
    'pool',
    256,
    256,
    256,
    256,
    'pool',
    512,
    512,
    512,
    512,
    'pool',
    512,
    512,
    512,
    512,
    'pool',
)
_IMAGENET_CLASSES = 1000


def vgg_features(channels: int, plan: Iterable[int | str]) -> list[nn.Module]:
    """
    Layers of a VGG: 3x3 convolutions with ReLU, and pools that halve the sides.

    :param channels: of the input.
    :param plan: channels of each convolution, and ``pool``.
    """
    layers: list[nn.Module] = []
    for width in plan:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
    return layers


class VGG19(VisualEncoder):
    """
    VGG19 to conv5_4 and its ReLU: stride 16, each frame by itself.

    Convolutions pad both sides alike and pools take 2 x 2 cells, so that a cell looks at the
    middle of the pixels that it stands for: the first at half a cell.

    :param frames: of a window; by default 16, what Tian et al. take of a second.
    """

    channels = 512
    image_size = 224
    grid = 14
    first_centre = 0.5 / 14
    per_frame = True
    published = 'vgg19'
    mean: torch.Tensor
    deviation: torch.Tensor
    depth = 36  # of the published file's ``features``, how many are kept

    def __init__(self, frames: int | None = None):
        super().__init__()
        self.frames = self.steps = 16 if frames is None else frames
        self.features = nn.Sequential(*vgg_features(3, _PLAN)[: self.depth])
        # Of ImageNet's RGB, in thousandths: a cast to half precision leaves integers as they are.
        self._thousandths('mean', 485, 456, 406)
        self._thousandths('deviation', 229, 224, 225)
        arrange_weights(self, torch.channels_last)

    def _thousandths(self, name: str, *values: int) -> None:
        self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    @classmethod
    def published_shapes(cls) -> dict[str, tuple[int, ...]]:
        """Names and shapes in the published file, those of the layers not kept included."""
        with torch.device('meta'):
            whole = nn.ModuleDict(
                {
                    'features': nn.Sequential(*vgg_features(3, _PLAN)),
                    'classifier': nn.Sequential(
                        nn.Linear(512 * 7 * 7, 4096),
                        nn.ReLU(),
                        nn.Dropout(),
                        nn.Linear(4096, 4096),
                        nn.ReLU(),
                        nn.Dropout(),
                        nn.Linear(4096, _IMAGENET_CLASSES),
                    ),
                }
            )
        return {name: tuple(value.shape) for name, value in whole.state_dict().items()}

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """
        :param frames: (B, T, 3, S, S) float32, RGB, 0 to 1; any T.
        :returns: (B, 512, T, S / 16, S / 16), not negative; in the parameters' precision, or
            autocast's.
        """
        batch, time = frames.shape[:2]
        x = (frames.flatten(0, 1) - self.mean / 1000) / (self.deviation / 1000)
        x = x.to(weight_dtype(self), memory_format=torch.channels_last)
        return self.features(x).unflatten(0, (batch, time)).transpose(1, 2)


class VGG19Pool5(VGG19):
    """VGG19 to pool5: stride 32, 7 x 7 cells, as Tian et al. take it."""

    grid = 7
    first_centre = 0.5 / 7
    depth = 37
