"""Log-mel spectrogram. The rest of the code for sound runs without PyTorch."""

from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from avsol_ros.errors import AvsolError
from avsol_ros.streams.windows import SAMPLE_RATE


class LogMel(torch.nn.Module):
    """
    Log-mel spectrogram as VGGish defines it, computed by torchaudio on the module's device.

    - Frames of 25 ms every 10 ms, without padding at the ends: a second gives 98.
    - Magnitude of a 512-point spectrum under a periodic Hann window.
    - 64 bands from 125 to 7500 Hz, triangles on the mel axis (HTK's); the bin at 0 Hz is in none.
    - log(x + 0.01).

    It is always float32, also under autocast and in a module cast to half precision, because the
    logarithm of small numbers needs it.

    torchaudio has two kinds of filter banks; this is Kaldi's. ``functional.melscale_fbanks`` has
    triangles that are straight over hertz, and is up to 0.004 away from VGGish.

    :raises AvsolError: when torchaudio cannot be imported.
    """

    FRAME = SAMPLE_RATE * 25 // 1000  # 400 samples
    HOP = SAMPLE_RATE * 10 // 1000  # 160 samples
    FFT = 512  # the power of two at or above FRAME
    BANDS = 64
    LOWEST_HZ = 125.0
    HIGHEST_HZ = 7500.0
    LOG_OFFSET = 0.01

    window: torch.Tensor  # (512,) float32
    mel: torch.Tensor  # (257, 64) float32

    def __init__(self) -> None:
        super().__init__()
        # Constants of the definition, the same on every device: no part of a checkpoint.
        self.register_buffer('window', self._window(), persistent=False)
        self.register_buffer('mel', self._filter_bank(), persistent=False)

    @classmethod
    def _window(cls) -> torch.Tensor:
        """Hann window of a frame, (512,) float32: behind the frame's 400 samples lie zeros."""
        hann = torch.hann_window(cls.FRAME, dtype=torch.float64, device='cpu').float()
        return torch.nn.functional.pad(hann, (0, cls.FFT - cls.FRAME))

    @classmethod
    def _filter_bank(cls) -> torch.Tensor:
        """Weights of the bins in the bands, (257 bins, 64 bands) float32, [0, 1]."""
        get_mel_banks = import_torchaudio().compliance.kaldi.get_mel_banks
        with torch.device('cpu'), _Float64Ranges():
            # The last three warp the length of the vocal tract; 1.0 is no warp.
            bank, _ = get_mel_banks(
                cls.BANDS, cls.FFT, SAMPLE_RATE, cls.LOWEST_HZ, cls.HIGHEST_HZ, 0.0, 0.0, 1.0
            )
        # Kaldi leaves out the last bin, at 8 kHz, which is in no band.
        return torch.nn.functional.pad(bank, (0, 1)).T.float().contiguous()

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> 'LogMel':
        """Follow the module to another device, but never to another precision."""
        super()._apply(fn, recurse)
        if self.mel.dtype != torch.float32:
            self.window = self._window().to(self.window.device)
            self.mel = self._filter_bank().to(self.mel.device)
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
        spectrogram = import_torchaudio().functional.spectrogram
        with torch.autocast(samples.device.type, enabled=False):
            # torchaudio takes frames of 512 samples. The window is zero after the first 400 of
            # them, and the zeros at the end make room for the last frame.
            magnitude = spectrogram(
                torch.nn.functional.pad(samples.float(), (0, self.FFT - self.FRAME)),
                pad=0,
                window=self.window,
                n_fft=self.FFT,
                hop_length=self.HOP,
                win_length=self.FFT,
                power=1.0,
                normalized=False,
                center=False,
            )
            return torch.log(magnitude.transpose(-1, -2) @ self.mel + self.LOG_OFFSET)


def resampled(samples: torch.Tensor, rate: int) -> torch.Tensor:
    """
    Bring samples of a window to the rate that an encoder was trained with.

    :param samples: (B, n) float32, 16 kHz.
    :param rate: in hertz.
    :returns: (B, ceil(n * rate / 16000)) float32; nothing is added above 8 kHz.
    """
    return import_torchaudio().functional.resample(samples, SAMPLE_RATE, rate)


class _Float64Ranges(TorchFunctionMode):
    """
    Makes the default type of ``torch.arange`` float64, in this thread.

    torchaudio computes filter banks in the default type. In float32 they are 1e-5 off. To set
    the default type of PyTorch would set it for other threads too.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.arange:
            kwargs.setdefault('dtype', torch.float64)
        return func(*args, **kwargs)


@lru_cache(maxsize=1)
def import_torchaudio() -> ModuleType:
    """Import torchaudio, with its parts ``compliance.kaldi`` and ``functional``."""
    try:
        import torchaudio
        import torchaudio.compliance.kaldi
        import torchaudio.functional
    except Exception as error:  # beside another build of torch it fails in ways of its own
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise AvsolError(
            f'torchaudio cannot be imported ({said}); sound needs a torchaudio that fits '
            f'torch {torch.__version__}: pip install torch torchaudio, both from one index'
        ) from error
    return torchaudio
