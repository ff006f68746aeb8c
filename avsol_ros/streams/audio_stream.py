"""Turns stamped chunks of sound, of any rate, into stamped chunks of 16 kHz mono."""

from collections import deque

import numpy as np

from avsol_ros.checks import describe_array, integer_ns, positive_integer
from avsol_ros.errors import AvsolError
from avsol_ros.streams.resample import StreamResampler, check_rate
from avsol_ros.streams.sample_clock import Placement, SampleClock
from avsol_ros.streams.windows import SAMPLE_NS


class AudioStream:
    """
    Turns stamped chunks of any rate and number of channels into stamped 16 kHz mono chunks.

    Time. A ``SampleClock`` tells from stamps and sample counts when each chunk was heard. A run is
    a sequence of chunks without a gap or an overlap. It begins at the time of its first chunk, and
    output sample ``m`` of the run is at that time ``+ m * 62500 ns``, exactly; the resampler adds
    no delay. So stamps of the output are exact integers at any rate. Where an output chunk does
    not begin at the end of the one before, sound was lost (a gap) or came twice (an overlap).

    If the stamps are exact, input sample ``n`` of the run is at ``begin + n / rate``. If they show
    that the clock of the sound card is off by more than a millisecond, the sound is stretched or
    shortened smoothly, by half a percent at most. A rate that is wrong by more than this can
    follow, such as by one percent, shows as gaps or overlaps.

    Delay. A chunk is returned when it is added, except for a fraction of a millisecond in the
    filter. Only a chunk with a suspect stamp is held until the chunks after it are known.

    One stream has one format. When the format changes, ``flush`` it and make another.

    :param sample_rate: samples per second and channel.
    :param channels: how many channels the input has; they are averaged.
    """

    def __init__(self, sample_rate: int, channels: int):
        self.sample_rate = check_rate(sample_rate, 'sample rate')
        self.channels = positive_integer(channels, 'channels')
        self._clock = SampleClock(self.sample_rate)
        self._waiting: deque[np.ndarray] = deque()  # chunks that the clock has not placed yet
        self._resampler = StreamResampler(self.sample_rate)
        self._next_ns = 0  # time of the next output, once a chunk is placed

    def process(self, stamp_ns: int, samples: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """
        Add a chunk and return the output that it completes.

        :param stamp_ns: time of the first sample of the chunk.
        :param samples: (n, channels) float32, full scale [-1, 1]; n may be 0.
        :return: pairs of the time of the first sample and samples (m,) float32, mono, 16 kHz,
            m > 0. A peak may exceed full scale slightly.
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
        # A copy: the chunk may have to wait, and the caller may write into its memory.
        self._waiting.append(
            samples[:, 0].copy() if self.channels == 1 else samples.mean(axis=1, dtype=np.float32)
        )
        return self._resample(self._clock.add(stamp_ns, len(samples)))

    def flush(self) -> list[tuple[int, np.ndarray]]:
        """
        Return what is held and what is in the filter; what is added next is another stream.

        :return: as from ``process``.
        """
        return [*self._resample(self._clock.flush()), *self._end_run()]

    def _resample(self, placements: list[Placement]) -> list[tuple[int, np.ndarray]]:
        out = []
        for placement in placements:
            if placement.begin_ns is not None:
                out += self._end_run()
                self._next_ns = placement.begin_ns
            self._resampler.slew(placement.slew)
            out += self._stamped(self._resampler.process(self._waiting.popleft()))
        return out

    def _end_run(self) -> list[tuple[int, np.ndarray]]:
        return self._stamped(self._resampler.flush())

    def _stamped(self, samples: np.ndarray) -> list[tuple[int, np.ndarray]]:
        if not len(samples):
            return []
        stamp_ns = self._next_ns
        self._next_ns += len(samples) * SAMPLE_NS
        return [(stamp_ns, samples)]
