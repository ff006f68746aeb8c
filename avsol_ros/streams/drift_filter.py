"""Offset and drift of a sample count, estimated from stamps that jitter."""

from math import exp, sqrt

# What is assumed before the first chunk. The clock of a sound card is within 100 ppm of its
# nominal rate; stamps of a healthy driver are within a millisecond or two.
DRIFT_PRIOR = 1e-4  # seconds per second
JITTER_PRIOR = 2e-3  # seconds, mean distance of stamps from the estimate
MEMORY_S = 10.0  # older stamps fade: the machine's clock is slewed now and then
MOST_FADING = 1.0  # memories over which one gap may fade what was learned, at most
JITTER_MEMORY = 64  # chunks over which the jitter is averaged

# An estimated error smaller than this is not corrected. Stamps rounded to milliseconds (Matroska)
# stay within it, so an undisturbed stream passes unchanged, to the bit.
DEAD_BAND_S = 1e-3
CLIP = 3.0  # times the jitter: a stamp further off counts as if it were off by so much


class DriftFilter:
    """
    Estimates offset and drift of a sample count: a robust Kalman filter with fading memory.

    The covariance is in units of the variance of one stamp, so the gain depends on times alone.

    :ivar offset: seconds by which the count is late, at the last update.
    :ivar drift: seconds per second by which that grows.
    :ivar jitter: mean distance of stamps from the estimate, in seconds.
    """

    def __init__(self) -> None:
        self.drift = 0.0
        self.jitter = JITTER_PRIOR
        self._learned = 4  # chunks that the jitter is averaged over; the prior counts as four
        self._drift_variance = (DRIFT_PRIOR / JITTER_PRIOR) ** 2
        self.restart()

    def restart(self) -> None:
        """Restart at a stamp that is exact by definition."""
        self.offset = 0.0
        self._time = 0.0  # seconds of the count; offset and covariance are of then
        self._variance, self._covariance = 1.0, 0.0

    @property
    def error(self) -> float:
        """Standard error of the offset, in seconds."""
        return self.jitter * sqrt(self._variance)

    def offset_at(self, time: float) -> float:
        """Offset, in seconds, at a time of the count."""
        return self.offset + self.drift * (time - self._time)

    def update(self, time: float, late: float, slack: float) -> None:
        """
        Update the estimate by a stamp.

        :param time: of the stamp, in seconds of the count.
        :param late: seconds by which the stamp is later than ``offset_at(time)``.
        :param slack: a stamp further off than this updates the jitter, but not offset and drift.
        """
        passed = time - self._time
        self.offset, self._time = self.offset_at(time), time
        if passed > 0:
            fade = exp(min(passed / MEMORY_S, MOST_FADING))
            self._variance += passed * (2 * self._covariance + passed * self._drift_variance)
            self._covariance += passed * self._drift_variance
            self._variance *= fade
            self._covariance *= fade
            self._drift_variance *= fade
        self._learned = min(self._learned + 1, JITTER_MEMORY)
        self.jitter += (min(abs(late), slack) - self.jitter) / self._learned
        if abs(late) > slack:
            return
        clip = max(CLIP * self.jitter, DEAD_BAND_S)
        late = min(max(late, -clip), clip)
        gain = self._variance / (self._variance + 1)
        drift_gain = self._covariance / (self._variance + 1)
        self.offset += gain * late
        self.drift += drift_gain * late
        self._drift_variance -= drift_gain * self._covariance
        self._covariance *= 1 - gain
        self._variance *= 1 - gain
