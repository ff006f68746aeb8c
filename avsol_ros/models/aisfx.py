"""
aiSFX (Ma and Lerch, "Representation Learning for the Automatic Indexing of Sound Effects
Libraries", ISMIR 2022): a CNN taught with nine libraries of sound effects and their categories.

Parameters bear the names of the published file. The spectrogram is that of the library Essentia,
from which the weights were trained.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from avsol_ros.models.encoders import AudioEncoder, AudioFeatures, shapes_of
from avsol_ros.models.layers import arrange_weights, fold_norm, weight_dtype
from avsol_ros.models.log_mel import resampled

RATE = 44100
_FFT, _HOP = 2048, 1024
_BANDS = 96
_FRAMES = 1 + RATE // _HOP  # of one second: the first is centred on the first sample
_LARGEST = 9.457798957824707  # in the spectrograms of the published training
_CHANNELS = (64, 128, 256, 512)
_CLASSES = (78, 79, 69, 81, 10, 27, 3, 23, 8)  # of the nine libraries


def _mel_bank() -> torch.Tensor:
    """
    Essentia's weights of the bins in the bands, (1025, 96) float32; those of a band sum to 1.

    Triangles on HTK's mel axis, from 0 Hz to half the rate.
    """
    bins = torch.linspace(0, RATE / 2, _FFT // 2 + 1, dtype=torch.float64, device='cpu')
    edges = torch.linspace(
        0, math.log1p(RATE / 2 / 700), _BANDS + 2, dtype=torch.float64, device='cpu'
    )
    places = torch.log1p(bins / 700)[:, None]
    rise = (places - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - places) / (edges[2:] - edges[1:-1])
    weights = torch.minimum(rise, fall).clamp_min(0)
    return (weights / weights.sum(0)).float()


class _Block(nn.Module):
    """Two convolutions, each with normalization and ReLU, and a pool. :param pool: its side."""

    def __init__(self, channels_in: int, channels_out: int, pool: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.pool = pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        return F.max_pool2d(x, self.pool) if self.pool > 1 else x


def _blocks() -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            f'conv_block{number}': _Block(before, after, 2 if number < len(_CHANNELS) else 1)
            for number, (before, after) in enumerate(zip((1, *_CHANNELS), _CHANNELS), 1)
        }
    )


class AiSfx(AudioEncoder):
    """
    Maps after the last convolution, 5 steps of 186 ms by 12 bands, and the embedding of 512.

    The embedding is the published one: the mean of the bands, then the largest over time. The
    published network takes two seconds at once; here it takes the one that a window has.

    :param embedding: whether to pool the maps to the embedding too.
    """

    channels = _CHANNELS[-1]
    embedding = _CHANNELS[-1]
    taken = 1, _FRAMES, _BANDS
    published = 'aisfx'
    window: torch.Tensor
    mel: torch.Tensor

    def __init__(self, embedding: bool = True):
        super().__init__()
        # Constants of the definition, the same on every device: no part of a checkpoint.
        self.register_buffer('window', _window(), persistent=False)
        self.register_buffer('mel', _mel_bank(), persistent=False)
        self.embedding_net = _blocks()
        self.embeds = embedding
        arrange_weights(self.embedding_net, torch.channels_last)

    @classmethod
    def published_shapes(cls) -> dict[str, tuple[int, ...]]:
        """Names and shapes in the published file, those of the classifiers included."""
        last = _CHANNELS[-1]
        with torch.device('meta'):
            heads = [
                nn.Sequential(
                    nn.Linear(last, last // 2),
                    nn.ReLU(),
                    nn.Linear(last // 2, last // 4),
                    nn.ReLU(),
                    nn.Linear(last // 4, classes),
                )
                for classes in _CLASSES
            ]
            whole = nn.ModuleDict({'embedding_net': _blocks(), 'fc': nn.ModuleList(heads)})
        return shapes_of(whole)

    def fold(self) -> None:
        """Let the weights take all normalization for good; the published names end with that."""
        for block in self.embedding_net.values():
            fold_norm(block, 'conv1', 'bn1')
            fold_norm(block, 'conv2', 'bn2')

    def prepare(self, samples: torch.Tensor) -> torch.Tensor:
        """
        :param samples: (B, 16000) float32, mono, 16 kHz, -1 to 1.
        :returns: (B, 1, 44, 96) float32 spectrogram, about 0 to 1: time by band. Bands above
            8 kHz hold nothing.
        """
        with torch.autocast(samples.device.type, enabled=False):
            return self.spectrogram(resampled(samples.float(), RATE))[:, None]

    def spectrogram(self, samples: torch.Tensor) -> torch.Tensor:
        """
        :param samples: (B, n) float32, mono, 44.1 kHz, -1 to 1.
        :returns: (B, 1 + n // 1024, 96) float32: log10(1 + 10000 p), p the power of a band,
            over the largest value of the published training.
        """
        spectrum = torch.stft(
            samples,
            _FFT,
            _HOP,
            window=self.window.float(),
            center=True,
            pad_mode='constant',
            return_complex=True,
        )
        power = torch.view_as_real(spectrum).square().sum(-1)
        bands = power.transpose(-1, -2) @ self.mel.float()
        return torch.log10(1 + 1e4 * bands) / _LARGEST

    def encode(self, prepared: torch.Tensor) -> AudioFeatures:
        """
        :param prepared: (B, 1, 44, 96) float32.
        :returns: maps (B, 512, 5, 12), time by band, and embedding (B, 512) or None; neither
            negative; in the parameters' precision, or autocast's.
        """
        x = prepared.to(weight_dtype(self), memory_format=torch.channels_last)
        for block in self.embedding_net.values():
            x = block(x)
        return AudioFeatures(x, x.mean(3).amax(2) if self.embeds else None)


def _window() -> torch.Tensor:
    """Essentia's Hann window, (2048,) float32: its last value is zero, as its first."""
    return torch.hann_window(_FFT, periodic=False, dtype=torch.float64, device='cpu').float()
