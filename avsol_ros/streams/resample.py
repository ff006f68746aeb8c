"""Resamples a stream that comes in chunks, to the bit as if it were one piece."""

from collections import deque
from math import ceil, gcd
from typing import NamedTuple, SupportsIndex

import numpy as np

from avsol_ros.checks import describe_array, positive_integer
from avsol_ros.errors import AvsolError
from avsol_ros.streams.sample_clock import SLEW
from avsol_ros.streams.windows import SAMPLE_RATE


class StreamResampler:
    """
    Resamples a stream that comes in chunks.

    Output sample ``m`` is the low-passed input at the time ``m / rate_out`` after the first
    input sample: there is no delay. The filter is a sinc, cut off at 0.99 of the lower of the two
    Nyquist frequencies, under a Hann window of six zero crossings to either side. ``process``
    holds back what later input could change, about 0.4 ms of sound when the rate is lowered to
    16 kHz; ``flush`` gives it.

    This is ``torchaudio.functional.resample`` with its default settings, to which it is equal
    within float32. It is written by hand, because torchaudio takes a whole signal only. A stream
    comes in chunks, and the output must depend on the input alone, to the bit, and not on the
    chunks: live = replay = offline rests on that. It also runs without PyTorch.

    ``slew`` moves the input against the output by whole samples. For a while the input is read a
    little slower or faster; no sample is left out or doubled.

    :param rate_in: samples per second of the input.
    :param rate_out: samples per second of the output.
    """

    ZERO_CROSSINGS = 6
    ROLL_OFF = 0.99
    BLOCK = 4096  # outputs computed at a time, which bounds the memory for long chunks
    MAX_RATE = 768_000  # bounds the filter: at worst 16000 phases of about 600 taps, 37 MB

    def __init__(self, rate_in: int, rate_out: int = SAMPLE_RATE):
        self.rate_in = check_rate(rate_in, 'rate_in')
        self.rate_out = check_rate(rate_out, 'rate_out')
        common = gcd(self.rate_in, self.rate_out)
        self._down = self.rate_in // common  # output m is at input m * down / up
        self._up = self.rate_out // common
        self._identity = self._down == self._up
        # Cut-off relative to the input's Nyquist frequency; the filter is longer by its inverse.
        # Input of the same rate is copied; a slew between two copies must not change the sound.
        self._cutoff = 1.0 if self._identity else self.ROLL_OFF * min(1, self._up / self._down)
        self._reach = ceil(self.ZERO_CROSSINGS / self._cutoff)
        self._taps = self._filters(np.arange(self._up) / self._up)
        self._reset()

    def _filters(self, position: np.ndarray) -> np.ndarray:
        """
        Compute one filter for each position of an output between two inputs.

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
        # The inputs that are still needed, from the first one that the next output weighs. Before
        # the start lies silence.
        self._held = np.zeros(self._reach - 1, np.float32)
        self._held_from = 1 - self._reach
        self._shift = 0  # inputs by which the last stretch reads later
        self._stretches = deque([_Stretch(0, self._down, 0, self._up)])

    def slew(self, samples: int) -> None:
        """
        Move the input by whole samples, from the next output on.

        The move takes 200 times as long. If another move is under way, this one follows it.

        :param samples: by how many inputs the sound is to be heard later (earlier if negative).
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
        Add a chunk and return the outputs that later input cannot change.

        :param samples: (n,) float32, n may be 0.
        :return: (m,) float32.
        """
        if getattr(samples, 'dtype', None) != np.float32 or samples.ndim != 1:
            raise AvsolError(f'samples are {describe_array(samples)}; expected (n,) float32')
        self._received += len(samples)
        self._held = np.concatenate((self._held, samples))
        return self._emit(self._reach)

    def flush(self) -> np.ndarray:
        """
        Return the rest, as if silence followed; what is added next is another stream.

        :return: (m,) float32. Together with all outputs before, these are
            ceil(received * rate_out / rate_in) samples, or more or fewer by what was slewed.
        """
        self._held = np.concatenate((self._held, np.zeros(self._reach, np.float32)))
        rest = self._emit(0)
        self._reset()
        return rest

    def _emit(self, ahead: int) -> np.ndarray:
        """Compute the outputs at inputs that are followed by so many more; forget inputs."""
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
        """Compute the outputs from ``start`` to ``stop``, which lie in one stretch."""
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
        # A sum along the rows adds in the same order, however many rows there are. A matrix
        # product does not.
        return weighed.sum(axis=1)


class _Stretch(NamedTuple):
    """
    The outputs from number ``first`` on; output m is at the input ``(m * step + start) / parts``.

    Python's integers have any size, so nothing is rounded, however long the stream is.
    """

    first: int
    step: int
    start: int
    parts: int

    def place(self, output: int) -> tuple[int, int]:
        """Return the input at or before an output, and by how many parts the output is later."""
        return divmod(output * self.step + self.start, self.parts)

    def outputs(self, inputs: int) -> int:
        """Return the number of the first output that is not before an input."""
        return -((self.start - inputs * self.parts) // self.step)


def check_rate(value: SupportsIndex, what: str) -> int:
    """
    Check a sample rate.

    :param what: its name in the error.
    :raises AvsolError: unless it is an integer from 1 to ``StreamResampler.MAX_RATE``.
    """
    value = positive_integer(value, what)
    if value > StreamResampler.MAX_RATE:
        raise AvsolError(f'{what} is {value} Hz; expected at most {StreamResampler.MAX_RATE}')
    return value
