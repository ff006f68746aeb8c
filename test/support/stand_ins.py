"""Files that stand in for published weights, which tests do not fetch."""

import math
from pathlib import Path

import torch

from avsol_ros.models.i3d import I3D
from avsol_ros.models.vgg19 import VGG19
from avsol_ros.models.vggish import VGGish

ENCODERS = {'vgg19': VGG19, 'i3d': I3D, 'vggish': VGGish}


def stand_in(name: str, folder: Path) -> Path:
    """
    Write a file with the published keys and shapes, each tensor of the size of one value.

    Layers average what they see, so that signals stay as strong as they came.
    """

    def value(key, shape):
        if len(shape) > 1:
            return 1 / math.prod(shape[1:])
        return float(key.endswith(('bn.weight', 'running_var')))

    tensors = {
        key: torch.full((1,), value(key, shape)).expand(shape)
        for key, shape in ENCODERS[name].published_shapes().items()
    }
    path = folder / f'{name}.pth'
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    return path
