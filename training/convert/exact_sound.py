"""
Sound of bags in films, bit for bit: which samples stand for which bytes, and at what times.

A film has one track of sound that goes on without a hole. What a microphone sent is chunks, whose
stamps jitter, whose clock drifts, and of which some are lost. ``SampleClock``, which the live
system uses, tells where each sample belongs; here no sample is changed for it: a hole is filled
with silence, and what overlaps is left out of the film (and kept beside it, see ``from_bag``).
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.messages.pcm import pcm_layout, pcm_to_float, pcm_to_integers
from avsol_ros.streams.sample_clock import SampleClock

# Name of the type of film samples: codec, PyAV's name of the packed format.
CODECS = {
    'int16': ('flac', 's16'),
    'int24': ('flac', 's32'),
    'int32': ('pcm_s32le', 's32'),
    'float32': ('pcm_f32le', 'flt'),
    'float64': ('pcm_f64le', 'dbl'),
}
MOST_CHANNELS = 8  # of FLAC
_PCM_NAMES = {
    'uint8': 'U8',
    'int16': 'S16LE',
    'int32': 'S32LE',
    'float32': 'F32LE',
    'float64': 'F64LE',
}


def sample_name(samples: np.ndarray) -> str:
    """GStreamer's name of the raw format that these samples have in memory."""
    return _PCM_NAMES[samples.dtype.name]


@dataclass(frozen=True)
class Packing:
    """
    How PCM bytes become samples of a film and come back, without a bit lost.

    :param name: raw format as GStreamer spells it.
    :ivar kind: of the film's samples, a key of ``CODECS``; those of int24 are int32 in the upper
        24 bits.
    """

    name: str
    channels: int

    def __post_init__(self):
        pcm_to_float(b'', self.name, self.channels)  # refuses what there is not

    @property
    def _layout(self) -> tuple[str, int, int, str]:
        return pcm_layout(self.name)

    @property
    def kind(self) -> str:
        kind, bits, *_ = self._layout
        if kind == 'F':
            return f'float{bits}'
        return 'int16' if bits <= 16 else 'int24' if bits <= 24 else 'int32'

    def samples(self, data) -> np.ndarray:
        """Give (n, channels) int16, int32, float32 or float64 for the bytes."""
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
        Give the bytes that ``samples`` came from.

        Not of all bytes they are the same: those that no sample of this format has do not come
        back (an odd byte at the end; bits above the 24 that count of 32).
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
class Placed:
    """
    A chunk and its time.

    :param time_ns: of its first sample.
    :param follows: whether its samples go on right after those of the chunk before.
    """

    time_ns: int
    samples: np.ndarray
    follows: bool
    chunk: object


class Placer:
    """
    Tells when the samples of a stream of chunks were heard.

    :param rate: samples per second.
    """

    def __init__(self, rate: int):
        self.rate = rate
        self._clock = SampleClock(rate)
        self._waiting: deque[tuple[np.ndarray, object]] = deque()
        self._begin_ns, self._count = 0, 0

    def add(self, stamp_ns: int, samples: np.ndarray, chunk=None) -> list[Placed]:
        """
        Take a chunk; give those whose times are known now, in order.

        :param chunk: comes back with its samples.
        """
        if not len(samples):
            return []
        self._waiting.append((samples, chunk))
        return self._place(self._clock.add(stamp_ns, len(samples)))

    def flush(self) -> list[Placed]:
        """Give what waits; what comes later is another stream."""
        return self._place(self._clock.flush())

    def _place(self, placements) -> list[Placed]:
        placed = []
        for begin_ns, slew in placements:
            samples, chunk = self._waiting.popleft()
            if begin_ns is not None:
                self._begin_ns, self._count = begin_ns, 0
            time_ns = self._begin_ns + self._count * NANOSECONDS // self.rate
            placed.append(Placed(time_ns, samples, begin_ns is None, chunk))
            # The live system slews the sound; a film has every sample, and times that move on.
            self._count += len(samples) + slew
        return placed
