"""
Sound of recorded bags in films, bit for bit: samples for the bytes, and the times of the samples.

A film has one track of sound, without gaps. A microphone sends chunks: their stamps jitter, its
clock drifts, and some chunks are lost. ``SampleClock``, which the live system uses as well, tells
the time of each sample. No sample is changed to fit its time: a gap is filled with silence, and
sound that overlaps is left out of the film and kept in the record beside it (see ``from_bag``).
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.messages.pcm import pcm_layout, pcm_to_float, pcm_to_integers
from avsol_ros.streams.sample_clock import SampleClock

# Type of the film's samples: codec, and PyAV's name of the format that interleaves channels.
CODECS = {
    'int16': ('flac', 's16'),
    'int24': ('flac', 's32'),
    'int32': ('pcm_s32le', 's32'),
    'float32': ('pcm_f32le', 'flt'),
    'float64': ('pcm_f64le', 'dbl'),
}
MOST_CHANNELS = 8  # that FLAC can hold
# Type of samples: GStreamer's name of the raw format.
_PCM_NAMES = {
    'uint8': 'U8',
    'int16': 'S16LE',
    'int32': 'S32LE',
    'float32': 'F32LE',
    'float64': 'F64LE',
}


def sample_name(samples: np.ndarray) -> str:
    """Return GStreamer's name of the raw format that these samples have in memory."""
    return _PCM_NAMES[samples.dtype.name]


@dataclass(frozen=True)
class Packing:
    """
    How PCM bytes become samples of a film and come back, without a bit lost.

    :param name: raw format as GStreamer spells it, such as ``S16LE``.
    :param channels: of the sound.
    :raises AvsolError: for a name that is no raw format, or less than one channel.
    """

    name: str
    channels: int

    def __post_init__(self):
        pcm_to_float(b'', self.name, self.channels)  # raises for what is not valid

    @property
    def _layout(self) -> tuple[str, int, int, str]:
        return pcm_layout(self.name)

    @property
    def kind(self) -> str:
        """Type of the film's samples, a key of ``CODECS``; int24 is int32 in its upper 24 bits."""
        kind, bits, *_ = self._layout
        if kind == 'F':
            return f'float{bits}'
        return 'int16' if bits <= 16 else 'int24' if bits <= 24 else 'int32'

    def samples(self, data) -> np.ndarray:
        """
        Return the samples that bytes stand for.

        :param data: bytes, or anything that shows its bytes.
        :return: (n, channels) int16, int32, float32 or float64, after ``kind``.
        """
        kind, bits, size, order = self._layout
        raw = np.frombuffer(memoryview(data).cast('B'), np.uint8)
        raw = raw[: len(raw) // (size * self.channels) * size * self.channels]
        if kind == 'F':
            values = raw.view(f'{order}f{size}').astype(f'f{size}')
        else:
            values = pcm_to_integers(raw, self.name)
            if bits <= 16:
                values = (values >> 16).astype(np.int16)
        return values.reshape(-1, self.channels)

    def data(self, samples: np.ndarray) -> bytes:
        """
        Return the bytes that samples came from; the opposite of ``samples``.

        Two things do not come back, since they are in no sample: an incomplete sample at the end,
        and the bits above the 24 that count of 32.
        """
        kind, bits, size, order = self._layout
        if kind == 'F':
            return samples.astype(f'{order}f{size}').tobytes()
        values = samples.astype(np.int32)
        if bits <= 16:
            values <<= 16
        if kind == 'U':
            values = (values.view(np.uint32) ^ np.uint32(1 << 31)) >> np.uint32(32 - bits)
        else:
            values = (values >> (32 - bits)).view(np.uint32)  # keeps the sign
        if size == 3:
            wide = values.astype(f'{order}u4').view(np.uint8).reshape(-1, 4)
            return (wide[:, :3] if order == '<' else wide[:, 1:]).tobytes()
        return values.astype(f'{order}u{size}').tobytes()


@dataclass(frozen=True, eq=False)
class PlacedChunk:
    """
    A chunk and its time.

    :param time_ns: of its first sample.
    :param samples: (n, channels).
    :param follows: whether its samples go on right after those of the chunk before.
    :param chunk: what was given with the samples.
    """

    time_ns: int
    samples: np.ndarray
    follows: bool
    chunk: object


class ChunkPlacer:
    """
    Tells when the samples of a stream of stamped chunks were heard.

    :param rate: samples per second.
    """

    def __init__(self, rate: int):
        self.rate = rate
        self._clock = SampleClock(rate)
        self._waiting: deque[tuple[np.ndarray, object]] = deque()
        self._begin_ns, self._count = 0, 0

    def add(self, stamp_ns: int, samples: np.ndarray, chunk=None) -> list[PlacedChunk]:
        """
        Take a chunk; return the chunks whose times are known now, in order.

        :param stamp_ns: of the first sample.
        :param samples: (n, channels).
        :param chunk: anything; comes back with the samples.
        """
        if not len(samples):
            return []
        self._waiting.append((samples, chunk))
        return self._place(self._clock.add(stamp_ns, len(samples)))

    def flush(self) -> list[PlacedChunk]:
        """Return the chunks that wait; what comes later is another stream."""
        return self._place(self._clock.flush())

    def _place(self, placements) -> list[PlacedChunk]:
        placed = []
        for begin_ns, slew in placements:
            samples, chunk = self._waiting.popleft()
            if begin_ns is not None:
                self._begin_ns, self._count = begin_ns, 0
            time_ns = self._begin_ns + self._count * NANOSECONDS // self.rate
            placed.append(PlacedChunk(time_ns, samples, begin_ns is None, chunk))
            # To follow the clock, the live system stretches or shortens the sound by ``slew``
            # samples. A film keeps every sample, and only the times follow.
            self._count += len(samples) + slew
        return placed
