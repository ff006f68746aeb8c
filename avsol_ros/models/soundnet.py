"""
SoundNet (Aytar, Vondrick and Torralba, NeurIPS 2016), 8 layers: the sound of two million films.

It was taught to tell from a raw wave what networks for ImageNet and Places saw in the picture.
The published file is a pickle of arrays of the authors' first port; :func:`from_arrays` gives them
the names that they have here.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from avsol_ros.models.encoders import AudioEncoder, AudioFeatures, shapes_of
from avsol_ros.models.layers import fold_norm, weight_dtype
from avsol_ros.models.log_mel import resampled

RATE = 22050
_GAIN = 256.0  # of the published training
# Of each layer: channels, kernel, stride, zeros at each end, and kernel and stride of the pool.
_LAYERS = (
    (16, 64, 2, 32, (8, 8)),
    (32, 32, 2, 16, (8, 8)),
    (64, 16, 2, 8, None),
    (128, 8, 2, 4, None),
    (256, 4, 2, 2, (4, 4)),
    (512, 4, 2, 2, None),
    (1024, 4, 2, 2, None),
)
_MAPS = 5  # the layer whose results, before its pool, are the maps
_CLASSES = {'conv8': 1000, 'conv8_2': 401}  # ImageNet's objects and Places' scenes
_LAST = 8  # kernel of the classifiers


class _Layer(nn.Module):
    """Convolution, normalization and ReLU; the pool is left to who calls."""

    def __init__(self, before: int, channels: int, kernel: int, stride: int, padding: int):
        super().__init__()
        self.conv = nn.Conv1d(before, channels, kernel, stride, padding)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.norm(self.conv(x)), inplace=True)


def _layers() -> nn.ModuleDict:
    layers = nn.ModuleDict()
    before = 1
    for number, (channels, kernel, stride, padding, _) in enumerate(_LAYERS, 1):
        layers[f'conv{number}'] = _Layer(before, channels, kernel, stride, padding)
        before = channels
    return layers


def from_arrays(arrays: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """
    The published arrays under the names of this module.

    :param arrays: layer to name to array: ``weights`` as (kernel, 1, in, out), ``biases``, and of
        normalization ``gamma``, ``beta``, ``mean`` and ``var``; float32.
    """
    names = {
        'weights': 'conv.weight',
        'biases': 'conv.bias',
        'gamma': 'norm.weight',
        'beta': 'norm.bias',
        'mean': 'norm.running_mean',
        'var': 'norm.running_var',
    }
    state = {}
    for layer, parts in arrays.items():
        for part, values in parts.items():
            if part == 'weights' and values.ndim == 4:
                values = values[:, 0].transpose(2, 1, 0)
            name = names.get(part, part)
            if layer in _CLASSES:
                name = name.removeprefix('conv.')
            state[f'{layer}.{name}'] = torch.from_numpy(np.ascontiguousarray(values))
    return state


class SoundNet(AudioEncoder):
    """
    Maps of conv5, 12 steps of about 90 ms, and the embedding: conv5 to conv7, averaged over time.

    conv5 is the last layer with more steps than two in one second. The published classifiers look
    at 8 steps of conv7, more than 5 seconds; they are not kept.

    :param embedding: whether to have conv6 and conv7, which only the embedding needs.
    """

    channels = _LAYERS[_MAPS - 1][0]
    embedding = sum(layer[0] for layer in _LAYERS[_MAPS - 1 :])
    taken = 1, RATE
    published = 'soundnet'

    def __init__(self, embedding: bool = True):
        super().__init__()
        layers = _layers()
        self.kept = list(layers)[: None if embedding else _MAPS]
        for name in self.kept:
            self.add_module(name, layers[name])

    @classmethod
    def published_shapes(cls) -> dict[str, tuple[int, ...]]:
        """Names and shapes in the published file, those of the classifiers included."""
        with torch.device('meta'):
            whole = _layers()
            for name, classes in _CLASSES.items():
                whole[name] = nn.Conv1d(_LAYERS[-1][0], classes, _LAST, 2)
        return shapes_of(whole)

    def fold(self) -> None:
        """Let the weights take all normalization for good; the published names end with that."""
        for name in self.kept:
            fold_norm(self.get_submodule(name), 'conv', 'norm')

    def prepare(self, samples: torch.Tensor) -> torch.Tensor:
        """
        :param samples: (B, 16000) float32, mono, 16 kHz, -1 to 1.
        :returns: (B, 1, 22050) float32 wave at 22,050 Hz, -256 to 256.
        """
        with torch.autocast(samples.device.type, enabled=False):
            return resampled(samples.float(), RATE)[:, None] * _GAIN

    def encode(self, prepared: torch.Tensor) -> AudioFeatures:
        """
        :param prepared: (B, 1, n) float32, as :meth:`prepare` gives it; n is 22050 or more.
        :returns: maps (B, 256, 12, 1), time by one band, and embedding (B, 1792) or None; neither
            negative; in the parameters' precision, or autocast's.
        """
        x = prepared.to(weight_dtype(self))
        after = []
        for name, (*_, pool) in zip(self.kept, _LAYERS):
            x = self.get_submodule(name)(x)
            after.append(x)
            if pool:
                x = F.max_pool1d(x, *pool)
        maps = after[_MAPS - 1]
        embedding = None
        if len(after) > _MAPS:
            embedding = torch.cat([layer.mean(2) for layer in after[_MAPS - 1 :]], 1)
        return AudioFeatures(maps[..., None], embedding)
