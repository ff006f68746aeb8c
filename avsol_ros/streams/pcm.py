"""
Sound: PCM bytes to floats, any rate to 16 kHz mono.

Times are integer nanoseconds; floats have full scale [-1, 1].
"""

from collections import deque
from math import ceil, gcd
from operator import index
from typing import NamedTuple

import numpy as np

from avsol_ros.errors import AvsolError
from avsol_ros.streams.sample_clock import SLEW, Placement, SampleClock
from avsol_ros.streams.windows import SAMPLE_NS, SAMPLE_RATE

__all__ = [
    'SAMPLE_RATE',
    'AudioStream',
    'StreamResampler',
    'pcm_layout',
    'pcm_to_float',
    'pcm_to_integers',
]

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


def pcm_to_float(data: bytes | np.ndarray, sample_format: str, channels: int) -> np.ndarray:
    """
    Turn interleaved PCM bytes into floats.

    Integers are divided by their full scale, 2^(bits - 1), so that -1 is reached and 1 just not
    (32 bits round to it). Floats are limited to [-1, 1], and what is not a number becomes 0.

    :param data: bytes, or anything that shows its bytes (bytearray, array, contiguous ndarray).
    :param sample_format: name of a raw format as GStreamer spells it, such as ``S16LE``.
    :param channels: how many samples make a frame.
    :return: (n, channels) float32, [-1, 1].
    """
    kind, bits, size, order = pcm_layout(sample_format)
    channels = _positive(channels, 'channels')
    raw = np.frombuffer(memoryview(data).cast('B'), np.uint8)
    if len(raw) % (size * channels):
        raise AvsolError(
            f'audio data is {len(raw)} bytes; expected a multiple of {size * channels} for '
            f'{channels} channel(s) of {sample_format}; check format and channels'
        )
    if kind == 'F':
        values = np.clip(np.nan_to_num(raw.view(f'{order}f{size}'), nan=0.0), -1, 1)
        return values.astype(np.float32).reshape(-1, channels)
    # Up to 24 bits a float32 holds exactly.
    values = _integers(raw, kind, bits, size, order)
    return (values.astype(np.float32) * np.float32(2.0**-31)).reshape(-1, channels)


def pcm_layout(sample_format: str) -> tuple[str, int, int, str]:
    """Kind 'S', 'U' or 'F', bits that count, bytes that hold them, byte order '<' or '>'."""
    if sample_format not in _PCM_FORMATS:
        raise AvsolError(
            f'sample format is {sample_format!r}; expected one of {", ".join(_PCM_FORMATS)}'
        )
    return _PCM_FORMATS[sample_format]


def pcm_to_integers(data: bytes | np.ndarray, sample_format: str) -> np.ndarray:
    """
    Turn PCM bytes of an integer format into integers.

    :return: (n,) int32, the bits that count at the top, so that the full scale is 2^31.
    """
    raw = np.frombuffer(memoryview(data).cast('B'), np.uint8)
    return _integers(raw, *pcm_layout(sample_format))


def _integers(raw: np.ndarray, kind: str, bits: int, size: int, order: str) -> np.ndarray:
    if size == 3:
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, slice(0, 3) if order == '<' else slice(1, 4)] = raw.reshape(-1, 3)
        values = wide.reshape(-1).view(f'{order}u4').astype(np.uint32)
    else:
        values = raw.view(f'{order}u{size}').astype(np.uint32)
    # The bits that count go to the top, where the sign is; what a 32-bit container of 24 bits has
    # above them falls out.
    values <<= np.uint32(32 - bits)
    if kind == 'U':
        values ^= np.uint32(1 << 31)
    return values.view(np.int32)


class StreamResampler:
    """
    Resample a stream that comes in chunks, as if it had come in one piece.

    Output sample ``m`` is the input, low-passed, at the time ``m / rate_out`` after the first
    input sample: no delay. The filter is a sinc cut off at 0.99 of the lower of the two Nyquist
    frequencies, under a Hann window six zero crossings to either side (torchaudio's default, to
    which it is equal within float32). Output depends on the input alone, to the last bit,
    not on the chunks. ``process`` holds back what later input could change, about 0.4 ms of
    sound when the rate goes down to 16 kHz; ``flush`` gives it.

    ``slew`` moves the input against the output by whole samples: for a while it is read a little
    slower or faster, and no sample is left out or doubled.

    :param rate_in: samples per second that come.
    :param rate_out: samples per second that leave.
    """

    ZERO_CROSSINGS = 6
    ROLL_OFF = 0.99
    BLOCK = 4096  # outputs computed at a time, which bounds the memory for long chunks
    MAX_RATE = 768_000  # bounds the filter: 16000 phases of some 600 taps, 37 MB, at worst

    def __init__(self, rate_in: int, rate_out: int = SAMPLE_RATE):
        self.rate_in = _rate(rate_in, 'rate_in')
        self.rate_out = _rate(rate_out, 'rate_out')
        common = gcd(self.rate_in, self.rate_out)
        self._down = self.rate_in // common  # output m is at input m * down / up
        self._up = self.rate_out // common
        self._identity = self._down == self._up
        # Cut-off relative to the input's Nyquist frequency; the filter is longer by its inverse.
        # Equal rates are copied, and a slew between two copies must not change the sound.
        self._cutoff = 1.0 if self._identity else self.ROLL_OFF * min(1, self._up / self._down)
        self._reach = ceil(self.ZERO_CROSSINGS / self._cutoff)
        self._taps = self._filters(np.arange(self._up) / self._up)
        self._reset()

    def _filters(self, position: np.ndarray) -> np.ndarray:
        """
        Make one filter for each position of an output between two inputs.

        :param position: (n,) float64, [0, 1).
        :return: (n, 2 * reach) float32. Column j weighs input ``base - reach + 1 + j``,
            where ``base`` is the input at or before the output.
        """
        offset = np.arange(1 - self._reach, self._reach + 1)[None, :]
        crossings = np.clip(
            (offset - position[:, None]) * self._cutoff, -self.ZERO_CROSSINGS, self.ZERO_CROSSINGS
        )
        window = np.cos(crossings * np.pi / (2 * self.ZERO_CROSSINGS)) ** 2
        return (np.sinc(crossings) * window * self._cutoff).astype(np.float32)

    def _reset(self) -> None:
        self._received = 0  # inputs since the start
        self._emitted = 0  # outputs since the start
        # The inputs still needed, beginning with the first that output number `emitted` weighs.
        # Before the start lies silence.
        self._held = np.zeros(self._reach - 1, np.float32)
        self._held_from = 1 - self._reach
        self._shift = 0  # inputs by which the last of the stretches reads behind
        self._stretches = deque([_Stretch(0, self._down, 0, self._up)])

    def slew(self, samples: int) -> None:
        """
        Move the input by whole samples, beginning with the next output.

        The move takes 200 times as long; when another is under way, it begins after that.

        :param samples: inputs by which the input is to come later than before (earlier if
            negative).
        """
        if not samples:
            return
        down, up = self._down, self._up
        length = -(-abs(samples) * SLEW * up // down)  # outputs
        first = max(self._emitted, self._stretches[-1].first)
        self._stretches.append(
            _Stretch(
                first,
                down * length - samples * up,
                (first * samples - self._shift * length) * up,
                up * length,
            )
        )
        self._shift += samples
        self._stretches.append(_Stretch(first + length, down, -self._shift * up, up))

    def process(self, samples: np.ndarray) -> np.ndarray:
        """
        Take a chunk and give the outputs that are certain.

        :param samples: (n,) float32, n may be 0.
        :return: (m,) float32.
        """
        if getattr(samples, 'dtype', None) != np.float32 or samples.ndim != 1:
            raise AvsolError(f'samples are {_describe(samples)}; expected (n,) float32')
        self._received += len(samples)
        self._held = np.concatenate((self._held, samples))
        return self._emit(self._reach)

    def flush(self) -> np.ndarray:
        """
        Give the rest, as if silence followed, and be ready for another stream.

        :return: (m,) float32; with all before, ceil(received * rate_out / rate_in) samples
            (of which a slew leaves its part).
        """
        self._held = np.concatenate((self._held, np.zeros(self._reach, np.float32)))
        rest = self._emit(0)
        self._reset()
        return rest

    def _emit(self, ahead: int) -> np.ndarray:
        """Compute the outputs at inputs that so many others have followed, and forget inputs."""
        pieces = [np.zeros(0, np.float32)]
        while True:
            stretch = self._stretches[0]
            copied = self._identity and stretch.parts == 1
            total = stretch.outputs(self._received - (0 if copied else ahead))
            end = self._stretches[1].first if len(self._stretches) > 1 else total
            total = max(min(total, end), self._emitted)
            for start in range(self._emitted, total, self.BLOCK):
                pieces.append(self._compute(stretch, start, min(start + self.BLOCK, total)))
            self._emitted = total
            if total < end or len(self._stretches) == 1:
                break
            self._stretches.popleft()
        needed_from = self._stretches[0].place(self._emitted)[0] + 1 - self._reach
        done = min(needed_from - self._held_from, len(self._held))
        self._held = self._held[done:].copy()
        self._held_from += done
        return np.concatenate(pieces)

    def _compute(self, stretch: '_Stretch', start: int, stop: int) -> np.ndarray:
        """Compute the outputs ``start`` to ``stop``, which lie in one stretch."""
        base, rest = stretch.place(start)
        base += 1 - self._reach - self._held_from
        if self._identity and stretch.parts == 1:
            base += self._reach - 1
            return self._held[base : base + stop - start]
        at = rest + np.arange(stop - start, dtype=np.int64) * stretch.step
        inputs = np.lib.stride_tricks.sliding_window_view(self._held, 2 * self._reach)
        weighed = inputs[base + at // stretch.parts]
        if stretch.parts == self._up:
            weighed *= self._taps[at % self._up]
        else:
            weighed *= self._filters(at % stretch.parts / stretch.parts)
        # A sum along the rows adds in the same order however many rows there are; a matrix
        # product would not.
        return weighed.sum(axis=1)


class _Stretch(NamedTuple):
    """
    Outputs from number ``first`` on; number m is at input ``(m * step + start) / parts``.

    Whole numbers of any size: nothing is rounded, however long the stream.
    """

    first: int
    step: int
    start: int
    parts: int

    def place(self, output: int) -> tuple[int, int]:
        """Give the input at or before an output, and the parts of an input that it is after."""
        return divmod(output * self.step + self.start, self.parts)

    def outputs(self, inputs: int) -> int:
        """Give the number of the first output that is not before an input."""
        return -((self.start - inputs * self.parts) // self.step)


class AudioStream:
    """
    Turn stamped chunks of any rate and channel count into stamped 16 kHz mono chunks.

    Time. When each chunk was heard a ``SampleClock`` tells, from stamps and sample counts. A run
    of chunks without gap or overlap begins with the time of its first chunk, and output sample
    ``m`` of the run is at that time ``+ m * 62500 ns``, exactly; the resampler adds no delay.
    So stamps given out are exact integers at any rate, and where a chunk given out does not
    begin at the end of the one before, sound was lost (a gap) or came twice (an overlap).
    Of an exactly stamped stream input sample ``n`` of the run is at ``begin + n / rate``. Where
    the stamps say that the card's clock is off, the sound is stretched or shortened smoothly, by
    half a percent at most, once it has come to a millisecond. What this does not catch up with,
    as of a rate that is wrong by one percent, shows as gaps or overlaps.

    Delay. A chunk is given out when it comes, but for a fraction of a millisecond in the filter;
    only a chunk with a suspect stamp waits for those that follow it.

    One stream has one format. When the format changes, ``flush`` it and make another.

    :param sample_rate: samples per second and channel.
    :param channels: channels, which are averaged.
    """

    def __init__(self, sample_rate: int, channels: int):
        self.sample_rate = _rate(sample_rate, 'sample rate')
        self.channels = _positive(channels, 'channels')
        self._clock = SampleClock(self.sample_rate)
        self._waiting: deque[np.ndarray] = deque()  # chunks that the clock has not placed
        self._resampler = StreamResampler(self.sample_rate)
        self._next_ns = None  # time of the next output

    def process(self, stamp_ns: int, samples: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """
        Take a chunk and give what it completes.

        :param stamp_ns: time of the first sample of the chunk.
        :param samples: (n, channels) float32, full scale [-1, 1]; n may be 0.
        :return: pairs of the time of the first sample, and samples (m,) float32, mono, 16 kHz,
            m > 0. A peak may overshoot full scale slightly.
        """
        if (
            getattr(samples, 'dtype', None) != np.float32
            or samples.ndim != 2
            or samples.shape[1] != self.channels
        ):
            raise AvsolError(
                f'samples are {_describe(samples)}; expected (n, {self.channels}) float32'
            )
        try:
            stamp_ns = index(stamp_ns)
        except TypeError:
            raise AvsolError(
                f'audio stamp is {stamp_ns!r}; expected an integer, in nanoseconds'
            ) from None
        if not len(samples):
            return []
        # A copy, for it may wait, and a driver may use its memory again.
        self._waiting.append(
            samples[:, 0].copy() if self.channels == 1 else samples.mean(axis=1, dtype=np.float32)
        )
        return self._place(self._clock.add(stamp_ns, len(samples)))

    def flush(self) -> list[tuple[int, np.ndarray]]:
        """
        Give what still waits and what is in the filter, and be ready for another stream.

        :return: as from ``process``.
        """
        return [*self._place(self._clock.flush()), *self._end_run()]

    def _place(self, placements: list[Placement]) -> list[tuple[int, np.ndarray]]:
        out = []
        for placement in placements:
            if placement.begin_ns is not None:
                out += self._end_run()
                self._next_ns = placement.begin_ns
            self._resampler.slew(placement.slew)
            out += self._stamp(self._resampler.process(self._waiting.popleft()))
        return out

    def _end_run(self) -> list[tuple[int, np.ndarray]]:
        return self._stamp(self._resampler.flush())

    def _stamp(self, samples: np.ndarray) -> list[tuple[int, np.ndarray]]:
        if not len(samples):
            return []
        stamp_ns = self._next_ns
        self._next_ns += len(samples) * SAMPLE_NS
        return [(stamp_ns, samples)]


def _rate(value, what: str) -> int:
    value = _positive(value, what)
    if value > StreamResampler.MAX_RATE:
        raise AvsolError(f'{what} is {value} Hz; expected at most {StreamResampler.MAX_RATE}')
    return value


def _positive(value, what: str) -> int:
    try:
        number = index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise AvsolError(f'{what} is {value!r}; expected a positive integer')
    return number


def _describe(array) -> str:
    if isinstance(array, np.ndarray):
        return f'{array.shape} {array.dtype}'
    return type(array).__name__
