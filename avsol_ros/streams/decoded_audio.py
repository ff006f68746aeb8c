"""
Samples of sound that FFmpeg has decoded, as NumPy arrays.

Everything here that decodes sound with PyAV takes the samples from its frames by
:func:`frame_samples`. PyAV's own ``AudioFrame.to_ndarray`` is not safe where each channel has a
plane of its own. PyAV counts the planes by looking for a null pointer, but FFmpeg ends the list
with none: with eight channels or more, PyAV goes on into other memory, and the process may crash.
"""

import av
import numpy as np

from avsol_ros.errors import AvsolError

# Types of samples by FFmpeg's names of the formats.
_SAMPLES = {'u8': 'u1', 's16': 'i2', 's32': 'i4', 's64': 'i8', 'flt': 'f4', 'dbl': 'f8'}
# Planes that a frame of PyAV has room for.
MAX_CHANNELS = 8


def frame_samples(frame: av.AudioFrame) -> np.ndarray | None:
    """
    Return the samples of an audio frame.

    :return: (n, channels) in the decoder's type: uint8, int16, int32, int64, float32 or float64.
        None of a frame with more than eight channels that are each a plane: damaged AAC may claim
        any number of channels.
    """
    kind = np.dtype(_SAMPLES[frame.format.name.removesuffix('p')])
    channels, count = frame.layout.nb_channels, frame.samples
    if not frame.format.is_planar:
        samples = _plane_samples(frame.planes[0], kind, count * channels)
        return samples.reshape(count, channels).copy()
    if channels > MAX_CHANNELS:
        return None
    planes = frame.planes
    return np.stack([_plane_samples(planes[n], kind, count) for n in range(channels)], axis=1)


def _plane_samples(plane: av.audio.plane.AudioPlane, kind: np.dtype, count: int) -> np.ndarray:
    # A plane shows its bytes, which PyAV's annotations do not say.
    return np.frombuffer(plane, kind, count)  # type: ignore[call-overload]


def to_int16(samples: np.ndarray) -> np.ndarray:
    """
    Convert PCM to 16 bits.

    :param samples: any shape; uint8, int16, int32, int64, or float in [-1, 1] (beyond is
        clipped).
    :return: the same shape, int16.
    """
    if samples.dtype == np.int16:
        return samples if samples.flags.c_contiguous else np.ascontiguousarray(samples)
    if samples.dtype == np.uint8:
        return (samples.astype(np.int16) - 128) << 8
    if samples.dtype == np.int32:
        return (samples >> 16).astype(np.int16)
    if samples.dtype == np.int64:
        return (samples >> 48).astype(np.int16)
    if not np.issubdtype(samples.dtype, np.floating):
        raise AvsolError(f'sound has type {samples.dtype}; expected an integer PCM type or float')
    scaled = np.rint(samples * 32768.0)
    return np.clip(np.nan_to_num(scaled), -32768, 32767).astype(np.int16)


def to_float32(samples: np.ndarray) -> np.ndarray:
    """
    Convert PCM to floats.

    :param samples: any shape; int16, int32, or float in [-1, 1] (beyond is clipped).
    :return: the same shape, float32 [-1, 1].
    """
    if samples.dtype.kind == 'i':
        return samples * np.float32(0.5 ** (8 * samples.itemsize - 1))
    return np.clip(samples, -1, 1)
