"""Log-mel spectrogram: apart from the rest of sound, which does without PyTorch."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from avsol_ros.errors import AvsolError
from avsol_ros.streams.windows import SAMPLE_RATE


class LogMel(torch.nn.Module):
    """
    Log-mel spectrogram as VGGish defines it.

    Frames of 25 ms every 10 ms, without padding at the ends, so that a second gives 98; magnitude
    of a 512-point spectrum under a periodic Hann window; 64 bands from 125 to 7500 Hz, triangles
    on the mel axis (HTK's), the bin at 0 Hz in none; log(x + 0.01). Always float32, also
    under autocast and in a module cast to half precision, for the log of small numbers needs it.
    """

    FRAME = SAMPLE_RATE * 25 // 1000  # 400 samples
    HOP = SAMPLE_RATE * 10 // 1000  # 160 samples
    FFT = 512  # the power of two at or above FRAME
    BANDS = 64
    LOWEST_HZ = 125.0
    HIGHEST_HZ = 7500.0
    LOG_OFFSET = 0.01
    hann: torch.Tensor  # (400,) float32
    mel: torch.Tensor  # (257, 64) float32

    def __init__(self) -> None:
        super().__init__()
        # Constants of the definition: no part of a checkpoint.
        phase = 2 * np.pi * np.arange(self.FRAME) / self.FRAME
        hann = torch.from_numpy((0.5 - 0.5 * np.cos(phase)).astype(np.float32))
        self.register_buffer('hann', hann, persistent=False)
        self.register_buffer('mel', torch.from_numpy(self._triangles()), persistent=False)

    @classmethod
    def _triangles(cls) -> np.ndarray:
        """
        Make the weights of the bins in the bands.

        :return: (257 bins, 64 bands) float32, [0, 1].
        """

        def mel(hertz: npt.ArrayLike) -> np.ndarray:
            return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)

        bins = mel(np.arange(cls.FFT // 2 + 1) * (SAMPLE_RATE / cls.FFT))[:, None]
        edges = np.linspace(mel(cls.LOWEST_HZ), mel(cls.HIGHEST_HZ), cls.BANDS + 2)
        low, centre, high = edges[:-2], edges[1:-1], edges[2:]
        weights = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
        weights = np.maximum(weights, 0.0)
        weights[0] = 0.0
        return weights.astype(np.float32)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> 'LogMel':
        """Follow the module to another device, but never to another precision."""
        super()._apply(fn, recurse)
        if self.mel.dtype != torch.float32:
            fresh = LogMel()
            self.hann = fresh.hann.to(self.hann.device)
            self.mel = fresh.mel.to(self.mel.device)
        return self

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """
        Compute the spectrogram.

        :param samples: (..., n) 16 kHz mono, full scale [-1, 1], n at least 400.
        :return: (..., frames, 64) float32, log(0.01) or more, with
            frames = 1 + (n - 400) // 160.
        """
        if samples.ndim < 1 or samples.shape[-1] < self.FRAME:
            raise AvsolError(
                f'audio is {tuple(samples.shape)}; expected (..., n) with n at least '
                f'{self.FRAME} samples'
            )
        with torch.autocast(samples.device.type, enabled=False):
            frames = samples.float().unfold(-1, self.FRAME, self.HOP) * self.hann
            magnitude = torch.fft.rfft(frames, n=self.FFT).abs()
            return torch.log(magnitude @ self.mel + self.LOG_OFFSET)
