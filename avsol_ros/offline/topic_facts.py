"""Facts about a bag's topics: rates, gaps, and the delay between stamps and log times."""

from typing import Any

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.messages.audio import AudioFormat, audio_packet
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.streams.time_jumps import goes_back

_MOST_VALUES = 4096


class Spread:
    """
    Median and spread of many numbers in little memory.

    At first all numbers are stored, later every second, every fourth, and so on. So the result
    depends on the numbers alone, and all of the recording counts evenly.
    """

    def __init__(self) -> None:
        self._values: list[float] = []
        self._step, self._count = 1, 0

    def add(self, value: float) -> None:
        """Add a number."""
        if self._count % self._step == 0:
            self._values.append(value)
            if len(self._values) >= _MOST_VALUES:
                del self._values[1::2]
                self._step *= 2
        self._count += 1

    def as_dict(self) -> dict | None:
        """5th percentile, median and 95th percentile; None if no number was added."""
        if not self._values:
            return None
        low, middle, high = np.percentile(self._values, [5, 50, 95]).tolist()
        return {'median': middle, 'low': low, 'high': high}


class TopicFacts:
    """
    Times of one topic's messages.

    :ivar count: messages.
    :ivar first_ns: stamp of the first, None without.
    :ivar longest_gap_ns: most time between two stamps.
    :ivar backwards: how often the stamps went back by more than ``time_jumps.BACK_NS``.
    :ivar unstamped: messages without a stamp, whose log time stands for it.
    """

    def __init__(self) -> None:
        self.count = self.longest_gap_ns = self.backwards = self.unstamped = 0
        self.first_ns: int | None = None
        self.furthest_back_ns = 0
        self._last_ns: int | None = None
        self._span_ns = self._steps = 0
        self._latency = Spread()

    def add(self, stamp_ns: int | None, log_ns: int) -> None:
        if stamp_ns is None:
            self.unstamped += 1
            stamp_ns = log_ns
        else:
            self._latency.add((log_ns - stamp_ns) / NANOSECONDS)
        self.count += 1
        if self.first_ns is None:
            self.first_ns = stamp_ns
        step_ns = 0 if self._last_ns is None else stamp_ns - self._last_ns
        back = self._last_ns is not None and goes_back(stamp_ns, self._last_ns)
        if back:
            self.backwards += 1
            self.furthest_back_ns = max(self.furthest_back_ns, -step_ns)
        elif step_ns > 0:
            self.longest_gap_ns = max(self.longest_gap_ns, step_ns)
            self._span_ns += step_ns
            self._steps += 1
        if step_ns >= 0 or back:
            self._last_ns = stamp_ns

    def as_dict(self) -> dict:
        """Rate in messages a second, times in seconds; null where too little came."""
        return {
            'messages': self.count,
            'rate': self._steps * NANOSECONDS / self._span_ns if self._span_ns else None,
            'longest_gap': self.longest_gap_ns / NANOSECONDS if self._steps else None,
            'backwards': self.backwards,
            'unstamped': self.unstamped,
            'log_minus_stamp': self._latency.as_dict(),
        }


class StreamFacts:
    """
    Facts of the camera's and the microphone's topic, message by message.

    :ivar audio_format: of the newest message that carries its own; None without such.
    """

    def __init__(self) -> None:
        self.image, self.audio = TopicFacts(), TopicFacts()
        self.audio_format: AudioFormat | None = None

    def add(self, kind: str, log_ns: int, msg: Any) -> None:
        """
        Add a message.

        :param kind: 'image' or 'audio'; others are ignored.
        """
        if kind == 'image':
            self.image.add(stamp_to_ns(msg.header.stamp), log_ns)
        elif kind == 'audio':
            try:
                packet = audio_packet(msg)
            except AvsolError:
                return  # the intake reports it
            self.audio.add(packet.stamp_ns, log_ns)
            self.audio_format = packet.format or self.audio_format

    @property
    def image_lead_s(self) -> float | None:
        """Seconds by which the first image is later than the first sound, None without both."""
        if self.image.first_ns is None or self.audio.first_ns is None:
            return None
        return (self.image.first_ns - self.audio.first_ns) / NANOSECONDS

    def problems(self, image_topic: str, audio_topic: str) -> list[str]:
        """One line for each topic whose time runs backwards."""
        return [
            f'the stamps of {topic} run backwards {facts.backwards} time(s), by up to '
            f'{facts.furthest_back_ns / NANOSECONDS:.1f} s; a new stream begins there'
            for topic, facts in ((image_topic, self.image), (audio_topic, self.audio))
            if facts.backwards
        ]
