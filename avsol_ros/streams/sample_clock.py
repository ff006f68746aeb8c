"""
The clock of a stream of samples: stamps jitter and counts drift, together they tell the time.

Everything here is a function of stamps and sample counts alone, never of when they came.
Within this module times are integer nanoseconds and what is estimated is float seconds.
"""

from math import exp, sqrt
from statistics import median_low
from typing import NamedTuple

from avsol_ros.config import NANOSECONDS
from avsol_ros.streams.time_jumps import SOUND_TOLERANCE_NS, SOUND_WAIT_NS

# What is expected before anything was seen. Crystals of sound cards are within 100 ppm of what
# they say; stamps of a driver that is not in trouble within a millisecond or two.
DRIFT_PRIOR = 1e-4  # seconds per second
JITTER_PRIOR = 2e-3  # seconds, mean distance of stamps from the line
MEMORY_S = 10.0  # older stamps fade: the machine's clock is slewed now and then
MOST_FADING = 1.0  # memories over which one gap may fade what was learned, at most
JITTER_MEMORY = 64  # chunks over which the jitter is averaged

# An estimate closer than this is left alone. Stamps rounded to milliseconds (Matroska) stay
# within it, so that an undisturbed stream passes bit for bit.
DEAD_BAND_S = 1e-3
SURE = 2.0  # standard errors of the estimate that are added to the dead band
CLIP = 3.0  # times the jitter beyond which a stamp pulls no harder

# Sound is moved smoothly, and not for longer than it may be away from its time: a device whose
# rate is not the one it says is never caught up with.
SLEW = 200  # one sample in so many, half a percent: a twelfth of a semitone
BEHIND_MAX_S = 50e-3

# Beyond the slack a stamp is suspect: half a chunk, so that a lost one shows, twice the mean
# jitter (as far as evenly distributed jitter goes), and at most what stamps were always allowed.
SLACK_MIN_S = 2e-3
SLACK_MAX_S = SOUND_TOLERANCE_NS / NANOSECONDS
SLACK_JITTERS = 2.0

# Suspect stamps are a step of the clock when most of them agree for longer than a reader that
# was late needs to catch up; none waits longer than HOLD_S, and a jump longer than that does not
# wait at all.
AGREE_S = 0.08
AGREE_SHARE = 0.75
HOLD_S = SOUND_WAIT_NS / NANOSECONDS
TRUST = 4.0  # slacks of jitter alone, beyond which a stamp is believed in the end


class Placement(NamedTuple):
    """
    Where a chunk belongs.

    :param begin_ns: None where it follows the chunk before; else the time of its first sample,
        which leaves a gap behind the chunk before, or overlaps it.
    :param slew: samples by which the sound is to come later from here on (earlier if negative),
        smoothly.
    """

    begin_ns: int | None
    slew: int = 0


class _Held(NamedTuple):
    stamp_ns: int
    count: int
    late: float  # seconds after the time that the clock expects


class SampleClock:
    """
    Tell from the stamps and sizes of chunks when each of them was heard.

    Time runs with the count of samples; offset and drift of that count are estimated from the
    stamps (least squares with fading memory, robust) and followed by ``Placement.slew`` once they
    have left a dead band. So jitter is smoothed, and drift does not add up. A drift of more than
    slewing can follow shows as gaps or overlaps of 50 ms.

    A stamp further from the estimate than the slack makes its chunk wait for those that follow:

    - When one of them is where it was expected, nothing is missing: the stamps were late (a
      stalled reader stamps +300, +290, +280 ms ... while it catches up).
    - When most of them agree on another time, sound was lost (a gap) or comes twice (an overlap).
      Among chunks of one size the step is a whole number of chunks if that fits: then the count
      goes on, sample by sample. Else time begins anew with the stamps.
    - When they do neither for a second, or nothing follows, the newest stamp is believed.

    What is less than half a chunk, or hidden by jitter of half its size, is followed as drift.

    :param rate: samples per second.
    """

    def __init__(self, rate: int):
        self._rate = rate
        self._origin_ns = None  # time of sample 0, by the stamps
        self._count = 0  # samples since then, with those known to be lost
        self._applied = 0  # samples of slew so far: sample n is at n + applied
        self._slewing = 0  # samples that it takes until all slew is done
        self._size = 0  # samples of the last chunk
        self._small = 0.0  # seconds of the smaller ones of late
        self._held: list[_Held] = []
        self._line = _Line()

    @property
    def drift(self) -> float:
        """Seconds per second by which the count is late, as estimated."""
        return self._line.drift

    @property
    def slack(self) -> float:
        """Seconds by which a stamp may differ from the estimate before it is suspect."""
        return min(
            max(self._small / 2, SLACK_JITTERS * self._line.jitter, SLACK_MIN_S), SLACK_MAX_S
        )

    def add(self, stamp_ns: int, count: int) -> list[Placement]:
        """
        Add a chunk.

        :param stamp_ns: time of its first sample, give or take the jitter.
        :param count: samples, at least one.
        :return: places of the oldest chunks that have none yet: in order, one for each.
        """
        if self._origin_ns is None:
            self._small = count / self._rate
            return [self._begin(_Held(stamp_ns, count, 0.0), stamp_ns)]
        waiting = sum(chunk.count for chunk in self._held)
        chunk = _Held(stamp_ns, count, self._lateness(stamp_ns, self._count + waiting))
        if abs(chunk.late) > HOLD_S:
            if self._held:
                return [*self._settle(), *self.add(stamp_ns, count)]
            return [self._begin(chunk, stamp_ns)]
        self._held.append(chunk)
        if abs(chunk.late) <= self.slack:
            return self._place(0.0)
        late = self._agreed()
        if late is not None:
            return self._place(late)
        waited_ns = abs(stamp_ns - self._held[0].stamp_ns)
        return self._settle() if waited_ns >= HOLD_S * NANOSECONDS else []

    def flush(self) -> list[Placement]:
        """Place the chunks that still wait, and be ready for another stream."""
        placed = self._settle() if self._held else []
        self.__init__(self._rate)
        return placed

    def _time_ns(self, count: int) -> int:
        return self._origin_ns + count * NANOSECONDS // self._rate

    def _lateness(self, stamp_ns: int, count: int) -> float:
        return (stamp_ns - self._time_ns(count)) / NANOSECONDS - self._line.at(count / self._rate)

    @property
    def _doubt(self) -> float:
        """Seconds by which stamps of one time may differ."""
        return max(SLACK_JITTERS * self._line.jitter, DEAD_BAND_S)

    def _agreed(self) -> float | None:
        """Say by how much the newest of the held ones are late, if they agree long enough."""
        # The nearer the jitter is to the slack, the easier a few agree by chance.
        chance = SLACK_JITTERS * self._line.jitter / self.slack
        since_ns = self._held[-1].stamp_ns - AGREE_S * (1 + 2 * chance) * NANOSECONDS
        lates = []
        for chunk in reversed(self._held):
            lates.append(chunk.late)
            if chunk.stamp_ns <= since_ns:
                break
        else:
            return None
        late = median_low(lates)
        near = [abs(other - late) <= self._doubt for other in lates]
        # The newest must be among them, or another step may have followed.
        return late if near[0] and sum(near) >= max(2, AGREE_SHARE * len(lates)) else None

    def _settle(self) -> list[Placement]:
        """Place the held ones though they do not agree: believe the newest, unless it is near."""
        late = self._held[-1].late
        if abs(late) <= TRUST * SLACK_JITTERS * self._line.jitter:
            return self._place(0.0)
        # Of the newest few one that is late by whole chunks has the least jitter.
        size = self._common_size()
        return self._place(
            next(
                (chunk.late for chunk in self._held[:-5:-1] if self._in_chunks(chunk.late, size)),
                late,
            )
        )

    def _common_size(self) -> int:
        """Samples of each of the held chunks and the last before them, 0 if they differ."""
        return self._size if all(chunk.count == self._size for chunk in self._held) else 0

    def _place(self, late: float) -> list[Placement]:
        """Place the held ones, of which the last is late by so many seconds in truth."""
        size = self._common_size()
        held, self._held = self._held, []
        lost = self._in_chunks(late, size) if late else 0
        if lost is None:
            levels = [0.0, late]
        else:
            size = size if lost > 0 else -size
            levels = [number * size / self._rate for number in range(abs(lost) + 1)]
        placed, level = [], 0
        for chunk, reached in zip(held, self._explain([c.late for c in held], levels)):
            if reached == level:
                placed.append(self._follow(chunk))
            elif lost is None:
                off = levels[reached] - chunk.late
                exact = abs(off) <= DEAD_BAND_S
                placed.append(
                    self._begin(chunk, chunk.stamp_ns + (0 if exact else round(off * NANOSECONDS)))
                )
            else:
                placed.append(self._step(chunk, (reached - level) * size))
            level = reached
        return placed

    def _explain(self, lates: list[float], levels: list[float]) -> list[int]:
        """
        Find the steps that explain best how late chunks are.

        A chunk costs how far it is from its level, at most the slack; so does a step, the doubt.

        :param levels: in order, from none late, where the first chunk may be, to the last, where
            the last chunk is.
        :return: level of each chunk, never lower than the one before.
        """
        doubt, slack = self._doubt, self.slack
        costs = [0.0] + [doubt] * (len(levels) - 1)
        origins = []
        for late in lates:
            origin, lowest = [], 0
            following = []
            for level, at in enumerate(levels):
                come = costs[lowest] + doubt
                stays = level == 0 or costs[level] < come
                origin.append(level if stays else lowest)
                following.append((costs[level] if stays else come) + min(abs(late - at), slack))
                if costs[level] < costs[lowest]:
                    lowest = level
            costs = following
            origins.append(origin)
        path = [len(levels) - 1]
        for origin in reversed(origins[1:]):
            path.append(origin[path[-1]])
        return path[::-1]

    def _in_chunks(self, late: float, size: int) -> int | None:
        """Give the whole number of chunks that something is late by, if it is one."""
        chunk_s = size / self._rate
        if chunk_s < SLACK_MIN_S:
            return None
        number = round(late / chunk_s)
        doubt = min(self._doubt, chunk_s / 4)
        return number if abs(late - number * chunk_s) <= doubt else None

    def _step(self, chunk: _Held, samples: int) -> Placement:
        """Place a chunk after so many samples that are missing, or (negative) came before."""
        self._count += samples
        begin_ns = self._time_ns(self._count + self._applied)
        self._slewing = 0
        placement = self._follow(chunk)
        return Placement(begin_ns, placement.slew) if placement.begin_ns is None else placement

    def _begin(self, chunk: _Held, begin_ns: int) -> Placement:
        """Let time begin with a chunk; of what was learned, drift and jitter stay."""
        self._origin_ns, self._count, self._applied, self._slewing = begin_ns, 0, 0, 0
        self._line.begin()
        self._count_chunk(chunk.count)
        return Placement(begin_ns)

    def _follow(self, chunk: _Held) -> Placement:
        """Place a chunk right after the one before it, and learn from its stamp."""
        late = self._lateness(chunk.stamp_ns, self._count)
        self._line.learn(self._count / self._rate, late, self.slack)
        error = self._line.offset - self._applied / self._rate
        slew = 0
        if abs(error) > DEAD_BAND_S + SURE * self._line.error:
            slew = round(error * self._rate)
        slewing = self._slewing + abs(slew) * SLEW
        if slewing > BEHIND_MAX_S * SLEW * self._rate:
            late_ns = round(self._line.offset * NANOSECONDS)
            return self._begin(chunk, self._time_ns(self._count) + late_ns)
        self._applied += slew
        self._slewing = max(slewing - chunk.count, 0)
        self._count_chunk(chunk.count)
        return Placement(None, slew)

    def _count_chunk(self, count: int) -> None:
        self._count += count
        self._size = count
        duration = count / self._rate
        self._small += (duration - self._small) / (8 if duration > self._small else 1)


class _Line:
    """
    Offset and drift of a count, from how late stamps are: a Kalman filter with fading memory.

    Its covariance is in units of the variance of one stamp, so that the gain depends on times
    alone.
    """

    def __init__(self):
        self.drift = 0.0
        self.jitter = JITTER_PRIOR  # seconds, mean
        self._learned = 4  # chunks; the prior weighs as many
        self._drift_variance = (DRIFT_PRIOR / JITTER_PRIOR) ** 2
        self.begin()

    def begin(self) -> None:
        """Begin with a stamp that is right by definition."""
        self.offset = 0.0
        self._time = 0.0  # seconds of the count; offset and covariance are of then
        self._variance, self._covariance = 1.0, 0.0

    @property
    def error(self) -> float:
        """Seconds, standard error of the offset."""
        return self.jitter * sqrt(self._variance)

    def at(self, time: float) -> float:
        """Offset in seconds at a time of the count."""
        return self.offset + self.drift * (time - self._time)

    def learn(self, time: float, late: float, slack: float) -> None:
        """
        Learn from a stamp.

        :param time: seconds of the count.
        :param late: seconds by which the stamp is later than ``at`` says.
        :param slack: what is later or earlier than this tells of the jitter but not of the line.
        """
        passed = time - self._time
        self.offset, self._time = self.at(time), time
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
