"""
Turns raw PCM bytes into samples. It needs NumPy alone: no PyAV, no OpenCV, no PyTorch.

Formats have the names that GStreamer gives them, such as ``S16LE``.
"""

import numpy as np

from avsol_ros.checks import positive_integer
from avsol_ros.errors import AvsolError
from avsol_ros.messages.fields import Bytes

# Raw formats by their GStreamer names, without the byte order: bits that count, bytes that hold
# them. The bits that count are the lower ones.
_PCM_LAYOUTS = {
    '8': (8, 1),
    '16': (16, 2),
    '18': (18, 3),
    '20': (20, 3),
    '24': (24, 3),
    '20_32': (20, 4),
    '24_32': (24, 4),
    '32': (32, 4),
}
_PCM_FORMATS = {}  # name: (kind 'S', 'U' or 'F', bits, bytes, byte order '<' or '>')
for _layout, (_bits, _bytes) in _PCM_LAYOUTS.items():
    for _kind in 'SU':
        if _bytes == 1:
            _PCM_FORMATS[f'{_kind}{_layout}'] = (_kind, _bits, _bytes, '<')
        else:
            _PCM_FORMATS[f'{_kind}{_layout}LE'] = (_kind, _bits, _bytes, '<')
            _PCM_FORMATS[f'{_kind}{_layout}BE'] = (_kind, _bits, _bytes, '>')
for _bits in (32, 64):
    _PCM_FORMATS[f'F{_bits}LE'] = ('F', _bits, _bits // 8, '<')
    _PCM_FORMATS[f'F{_bits}BE'] = ('F', _bits, _bits // 8, '>')


def pcm_to_float(data: Bytes, sample_format: str, channels: int) -> np.ndarray:
    """
    Turn interleaved PCM bytes into floats.

    Integers are divided by their full scale, 2^(bits - 1). So the least integer becomes -1, and
    the greatest a little less than 1 (of 32 bits it is rounded to 1). Floats are clipped to
    [-1, 1]; NaN becomes 0.

    :param data: bytes, or anything that shows its bytes (bytearray, array, contiguous ndarray).
    :param sample_format: name of a raw format as GStreamer spells it, such as ``S16LE``.
    :param channels: how many channels are interleaved.
    :return: (n, channels) float32, [-1, 1].
    :raises AvsolError: for an unknown format, or bytes that are no whole number of samples.
    """
    kind, bits, size, order = pcm_layout(sample_format)
    channels = positive_integer(channels, 'channels')
    raw = np.frombuffer(data, np.uint8)
    if len(raw) % (size * channels):
        raise AvsolError(
            f'audio data is {len(raw)} bytes; expected a multiple of {size * channels} for '
            f'{channels} channel(s) of {sample_format}; check format and channels'
        )
    if kind == 'F':
        values = np.clip(np.nan_to_num(raw.view(f'{order}f{size}'), nan=0.0), -1, 1)
        return values.astype(np.float32).reshape(-1, channels)
    # A float32 holds integers of up to 24 bits exactly.
    values = _integers(raw, kind, bits, size, order)
    return (values.astype(np.float32) * np.float32(2.0**-31)).reshape(-1, channels)


def pcm_layout(sample_format: str) -> tuple[str, int, int, str]:
    """
    Layout of a sample.

    :return: kind ('S' signed, 'U' unsigned, 'F' float), bits that count, bytes that hold them,
        and byte order ('<' little, '>' big endian).
    """
    if sample_format not in _PCM_FORMATS:
        raise AvsolError(
            f'sample format is {sample_format!r}; expected one of {", ".join(_PCM_FORMATS)}'
        )
    return _PCM_FORMATS[sample_format]


def pcm_to_integers(data: Bytes, sample_format: str) -> np.ndarray:
    """
    Turn PCM bytes of an integer format into integers.

    :return: (n,) int32, shifted left so that the full scale is 2^31 whatever the format.
    """
    raw = np.frombuffer(data, np.uint8)
    return _integers(raw, *pcm_layout(sample_format))


def _integers(raw: np.ndarray, kind: str, bits: int, size: int, order: str) -> np.ndarray:
    if size == 3:
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, slice(0, 3) if order == '<' else slice(1, 4)] = raw.reshape(-1, 3)
        values = wide.reshape(-1).view(f'{order}u4').astype(np.uint32)
    else:
        values = raw.view(f'{order}u{size}').astype(np.uint32)
    # Shift the bits that count to the top, where the sign is. Other bits above them fall out.
    values <<= np.uint32(32 - bits)
    if kind == 'U':
        values ^= np.uint32(1 << 31)
    return values.view(np.int32)
