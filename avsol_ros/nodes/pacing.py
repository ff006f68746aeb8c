"""When a player may send its next message."""

import threading
import time
from collections.abc import Callable, Collection

from avsol_ros.config import NANOSECONDS
from avsol_ros.stopping import Stopped
from avsol_ros.streams.time_jumps import HOLE_NS

# How much further a player goes when a result is overdue; small, so that little gets lost.
STEP_NS = NANOSECONDS // 4

# The first window may begin up to a second, the longest hop, after the media. Until its result
# has come, steps come this soon (seconds), and as far as that.
FIRST_PATIENCE = 1.0
FIRST_STEPS = NANOSECONDS // STEP_NS

# Media seconds per second; a burst any faster could overflow the receivers' queues.
MOST_SPEED = 4.0


class RealTime:
    """
    Send by the clock.

    :param rate: media seconds per second.
    :param sleep: waits so many seconds; returns early, with True, when the player is to stop.
    """

    def __init__(
        self,
        rate: float,
        sleep: Callable[[float], bool],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._rate = rate
        self._sleep = sleep
        self._clock = clock
        self._began: float | None = None
        self.most_lag_s = 0.0

    def wait_for(self, media_ns: int, stream: str = '') -> None:
        """Return when the media time has come, for any stream; at once when it has passed."""
        now = self._clock()
        if self._began is None:
            self._began = now - media_ns / NANOSECONDS / self._rate
        early = self._began + media_ns / NANOSECONDS / self._rate - now
        self.most_lag_s = max(self.most_lag_s, -early)
        if early > 0 and self._sleep(early):
            raise Stopped


class Following:
    """
    Send as fast as results come, never far ahead of them.

    What has been sent reaches as far as the stream that is behind: while sound is missing, no
    result can come, and pictures need not wait for one.

    Before the first result, when nobody knows where the first window lies, and whenever a result
    is overdue, the limit moves on in small steps, so that playing always ends.

    :param ahead_s: seconds of media beyond the end of the last window with a result.
    :param timeout_s: seconds without a result after which the limit moves on a step.
    :param sleep: see :class:`RealTime`.
    :param streams: names of the streams that a result needs.
    """

    def __init__(
        self,
        ahead_s: float,
        timeout_s: float,
        sleep: Callable[[float], bool],
        clock: Callable[[], float] = time.monotonic,
        streams: Collection[str] = ('',),
    ):
        self._ahead_ns = round(ahead_s * NANOSECONDS)
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()
        self._reached = dict.fromkeys(streams, 0)
        self._began_ns = 0
        self._limit_ns = self._ahead_ns
        self._moved_at: float | None = None
        self._sent: tuple[int, float] | None = None
        self._first_steps = 0
        self._first_came = False
        self._last_end_ns: int | None = None
        self._hop_ns: int | None = None
        self.results = 0
        self.overdue = 0

    def note_result(self, end_ns: int) -> None:
        """Take note of a result whose window ends at a media time."""
        with self._lock:
            self.results += 1
            if self._last_end_ns is not None and end_ns > self._last_end_ns:
                step_ns = end_ns - self._last_end_ns
                self._hop_ns = min(self._hop_ns or step_ns, step_ns)
            self._last_end_ns = end_ns
            self._first_came |= end_ns > self._began_ns
            self._limit_ns = max(self._limit_ns, end_ns + self._ahead_ns)
            self._moved_at = self._clock()

    def complete(self, end_ns: int) -> bool:
        """Whether media of this length can give no result after the last one."""
        with self._lock:
            return self._hop_ns is not None and self._last_end_ns + self._hop_ns > end_ns

    def wait_for(self, media_ns: int, stream: str = '') -> None:
        """Return when a stream may go on to a media time; they do not go back."""
        if self._moved_at is None:
            self._moved_at = self._clock()
        if media_ns - max(self._reached.values()) > HOLE_NS:
            self._wait_for_silence()
        with self._lock:
            before_ns = min(self._reached.values())
            self._reached[stream] = media_ns
            reached_ns = min(self._reached.values())
            if reached_ns - before_ns > HOLE_NS:
                self._began_ns = reached_ns
                self._limit_ns = max(self._limit_ns, self._began_ns + self._ahead_ns)
                self._first_steps, self._first_came = 0, False
                self._moved_at = self._clock()
        while not self._may_send():
            if self._sleep(0.005):
                raise Stopped
        if self._sent is not None:
            sent_ns, sent_at = self._sent
            due = sent_at + min(media_ns - sent_ns, HOLE_NS) / NANOSECONDS / MOST_SPEED
            if due > self._clock() and self._sleep(due - self._clock()):
                raise Stopped
        self._sent = (media_ns, self._clock())

    def _wait_for_silence(self) -> None:
        """Wait for the results of what lies before a hole."""
        sent_at = self._sent[1] if self._sent else 0.0
        while self._clock() - max(self._moved_at, sent_at) < min(self._timeout_s, FIRST_PATIENCE):
            if self._sleep(0.005):
                raise Stopped

    def _may_send(self) -> bool:
        with self._lock:
            reached_ns = min(self._reached.values())
            if reached_ns <= self._limit_ns:
                return True
            first = not self._first_came and self._first_steps < FIRST_STEPS
            patience = min(self._timeout_s, FIRST_PATIENCE) if first else self._timeout_s
            if self._clock() - self._moved_at > patience:
                self._limit_ns += STEP_NS
                self._moved_at = self._clock()
                self._first_steps += first
                self.overdue += not first
            return reached_ns <= self._limit_ns
