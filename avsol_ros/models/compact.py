"""
The compact encoders: small enough for 2 CPU cores, made for synthetic scenes and small robots.

Both are pretrained by plain classification and then frozen, as the paper freezes VGG19, I3D and
VGGish (section 5.1).
"""

import torch
from torch import nn

from avsol_ros.models.encoders import AudioEncoder, AudioFeatures, VisualEncoder
from avsol_ros.models.layers import weight_dtype
from avsol_ros.models.log_mel import LogMel


def _conv(channels_in: int, channels_out: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    # Borders repeat the nearest pixel: zeros would tell the features where they are.
    return nn.Sequential(
        nn.Conv2d(
            channels_in,
            channels_out,
            kernel,
            stride,
            kernel // 2,
            bias=False,
            padding_mode='replicate',
        ),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class CompactVisualEncoder(VisualEncoder):
    """
    Eight convolutions, per frame, with stride 8.

    A cell sees 51 of 112 pixels, about one object. With a field of 83 pixels, cells beside an
    object knew of it as well as those on it, and localization put its peaks there.
    """

    channels = 96
    image_size = 112
    grid = 14
    first_centre = 0.5 / 112  # each stride of 2 with padding 1 keeps to the first pixel
    per_frame = True

    def __init__(self, frames: int | None = None):
        super().__init__()
        self.frames = self.steps = 8 if frames is None else frames
        self.layers = nn.Sequential(
            _conv(3, 24, 2),
            _conv(24, 24),
            _conv(24, 48, 2),
            _conv(48, 48),
            _conv(48, 48),
            _conv(48, 96, 2),
            _conv(96, 96),
            _conv(96, self.channels, kernel=1),
        )

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """
        :param frames: (B, T, 3, S, S) float32, RGB, 0 to 1.
        :returns: (B, channels, T, S / 8, S / 8) float32, non-negative.
        """
        batch, time = frames.shape[:2]
        x = (frames.flatten(0, 1) - 0.45) / 0.25
        x = self.layers(x.to(weight_dtype(self), memory_format=torch.channels_last))
        return x.unflatten(0, (batch, time)).transpose(1, 2)


class CompactAudioEncoder(AudioEncoder):
    """
    Log-mel as VGGish takes it, and five convolutions.

    :param embedding: whether to pool the maps to the embedding too.
    """

    channels = 128
    embedding = 128

    def __init__(self, embedding: bool = True):
        super().__init__()
        self.log_mel = LogMel()
        self.layers = nn.Sequential(
            _conv(1, 24),
            nn.MaxPool2d(2),
            _conv(24, 48),
            nn.MaxPool2d(2),
            _conv(48, 96),
            _conv(96, 96),
            _conv(96, self.channels),
        )
        self.pool = (
            nn.Sequential(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            if embedding
            else None
        )

    def prepare(self, samples: torch.Tensor) -> torch.Tensor:
        """
        :param samples: (B, 16000) float32, mono, 16 kHz, -1 to 1.
        :returns: (B, 1, 96, 64) float32 log-mel: time by band.
        """
        # 0.96 s, VGGish's example length, of the 0.98 s that one second has in frames.
        return self.log_mel(samples)[:, :96].unsqueeze(1)

    def encode(self, log_mel: torch.Tensor) -> AudioFeatures:
        """
        :param log_mel: (B, 1, 96, 64) float32.
        :returns: maps (B, 128, 24, 16): time by mel, non-negative; embedding (B, 128) or None.
        """
        # The maps are those that the embedding pools. From the layers before, CDF had to learn
        # again what a category sounds like, and learned its training windows by heart.
        maps = self.layers(log_mel.to(weight_dtype(self)))
        return AudioFeatures(maps, None if self.pool is None else self.pool(maps))
