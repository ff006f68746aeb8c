"""Stamped chunks of sound, of any rate, to stamped chunks of 16 kHz mono."""

from collections import deque

import numpy as np

from avsol_ros.checks import describe_array, integer_ns, positive_integer
from avsol_ros.errors import AvsolError
from avsol_ros.streams.resample import StreamResampler, check_rate
from avsol_ros.streams.sample_clock import Placement, SampleClock
from avsol_ros.streams.windows import SAMPLE_NS


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
        self.sample_rate = check_rate(sample_rate, 'sample rate')
        self.channels = positive_integer(channels, 'channels')
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
                f'samples are {describe_array(samples)}; expected (n, {self.channels}) float32'
            )
        stamp_ns = integer_ns(stamp_ns, 'audio stamp')
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
