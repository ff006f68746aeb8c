"""
The clock of a stream of samples: when each chunk of sound was heard.

Stamps jitter, and sample counts drift; together they tell the time. Everything here depends on
stamps and sample counts alone, never on when messages arrived. Times are integer nanoseconds;
estimates are float seconds.

This is written by hand, and not taken from a library, because live = replay = offline rests on
it: the same stamps and counts must give the same times to the bit.
"""

from statistics import median_low
from typing import NamedTuple

from avsol_ros.config import NANOSECONDS
from avsol_ros.streams.drift_filter import DEAD_BAND_S, DriftFilter
from avsol_ros.streams.time_jumps import SOUND_TOLERANCE_NS, SOUND_WAIT_NS

SURE = 2.0  # standard errors of the estimate by which the dead band is widened

# Sound is moved smoothly, by one sample in so many: half a percent, a twelfth of a semitone. If it
# would then be away from its time by more than the maximum, because the device's true rate is not
# its nominal one, it is moved at once.
SLEW = 200
BEHIND_MAX_S = 50e-3

# A stamp further off than the slack is suspect. The slack is half a chunk, so that a lost chunk
# shows, or twice the mean jitter, which is as far as evenly distributed jitter goes; within these
# limits.
SLACK_MIN_S = 2e-3
SLACK_MAX_S = SOUND_TOLERANCE_NS / NANOSECONDS
SLACK_JITTERS = 2.0

# Suspect stamps mean that time stepped when most of them agree for so long: longer than a reader
# that was late needs to catch up. No chunk waits longer than HOLD_S, and a jump longer than that
# does not wait at all.
AGREE_S = 0.08
AGREE_SHARE = 0.75
HOLD_S = SOUND_WAIT_NS / NANOSECONDS
TRUST = 4.0  # a stamp off by more than so many slacks of jitter is believed after the wait


class Placement(NamedTuple):
    """
    The place of a chunk in time.

    :param begin_ns: None if the chunk follows the one before without a gap; else the time of its
        first sample. Then there is a gap between the two chunks, or they overlap.
    :param slew: samples by which the sound is to be moved later from this chunk on, smoothly
        (earlier if negative).
    """

    begin_ns: int | None
    slew: int = 0


class _Chunk(NamedTuple):
    stamp_ns: int
    samples: int
    late: float  # seconds by which the stamp is after the time that the clock expects


class SampleClock:
    """
    Estimates from the stamps and sizes of chunks when each chunk was heard.

    Time is the count of samples, corrected: offset and drift of the count are estimated from the
    stamps (least squares with fading memory, robust). An error beyond a dead band is corrected by
    ``Placement.slew``. So jitter is smoothed, and drift does not accumulate. A drift too fast for
    slewing shows as gaps or overlaps of 50 ms.

    A chunk whose stamp is further from the estimate than the slack is held until the following
    chunks show what happened:

    - One of them is where it was expected. Then nothing is missing, only the stamps were late: a
      reader that stalled stamps +300, +290, +280 ms ... while it catches up.
    - Most of them agree on another time. Then sound was lost (a gap) or comes twice (an overlap).
      If all chunks have one size and the step fits a whole number of them, the count goes on
      from there, sample by sample. Otherwise the time base restarts at the stamp.
    - Neither happens for a second, or no chunk follows. Then the newest stamp is believed.

    A step of less than half a chunk, or of less than twice the jitter, is followed as drift.

    :param rate: samples per second.
    """

    def __init__(self, rate: int):
        self._rate = rate
        self._reset()

    def _reset(self) -> None:
        # Time of sample 0, by the stamps; None before the first chunk.
        self._origin_ns: int | None = None
        self._count = 0  # samples since then, with those known to be lost
        self._applied = 0  # samples of slew so far: sample n is at n + applied
        self._slewing = 0  # samples until all slew is done
        self._size = 0  # samples of the last chunk
        self._small = 0.0  # seconds of the smaller of the recent chunks
        self._held: list[_Chunk] = []
        self._estimate = DriftFilter()

    @property
    def drift(self) -> float:
        """Estimated drift of the count, in seconds per second; positive if the count is slow."""
        return self._estimate.drift

    @property
    def slack(self) -> float:
        """Seconds by which a stamp may differ from the estimate before it is suspect."""
        return min(
            max(self._small / 2, SLACK_JITTERS * self._estimate.jitter, SLACK_MIN_S), SLACK_MAX_S
        )

    def add(self, stamp_ns: int, count: int) -> list[Placement]:
        """
        Add a chunk.

        :param stamp_ns: time of its first sample, with jitter.
        :param count: how many samples it has, at least one.
        :return: places of the oldest chunks that had none yet, in order; none while chunks are
            held.
        """
        if self._origin_ns is None:
            self._small = count / self._rate
            return [self._restart(_Chunk(stamp_ns, count, 0.0), stamp_ns)]
        waiting = sum(chunk.samples for chunk in self._held)
        chunk = _Chunk(stamp_ns, count, self._lateness(stamp_ns, self._count + waiting))
        if abs(chunk.late) > HOLD_S:
            if self._held:
                return [*self._place_undecided(), *self.add(stamp_ns, count)]
            return [self._restart(chunk, stamp_ns)]
        self._held.append(chunk)
        if abs(chunk.late) <= self.slack:
            return self._place_held(0.0)
        late = self._agreed_lateness()
        if late is not None:
            return self._place_held(late)
        waited_ns = abs(stamp_ns - self._held[0].stamp_ns)
        return self._place_undecided() if waited_ns >= HOLD_S * NANOSECONDS else []

    def flush(self) -> list[Placement]:
        """Place the chunks that are held; what is added next is another stream."""
        placed = self._place_undecided() if self._held else []
        self._reset()
        return placed

    def _time_ns(self, count: int) -> int:
        assert self._origin_ns is not None  # there was a chunk
        return self._origin_ns + count * NANOSECONDS // self._rate

    def _lateness(self, stamp_ns: int, count: int) -> float:
        expected = self._estimate.offset_at(count / self._rate)
        return (stamp_ns - self._time_ns(count)) / NANOSECONDS - expected

    @property
    def _doubt(self) -> float:
        """Seconds by which two stamps of the same moment may differ."""
        return max(SLACK_JITTERS * self._estimate.jitter, DEAD_BAND_S)

    def _agreed_lateness(self) -> float | None:
        """Seconds by which the newest held chunks are late; None unless they agree long enough."""
        # The nearer the jitter is to the slack, the more easily a few agree by chance.
        chance = SLACK_JITTERS * self._estimate.jitter / self.slack
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
        # The newest must agree too, or a second step may have followed.
        return late if near[0] and sum(near) >= max(2, AGREE_SHARE * len(lates)) else None

    def _place_undecided(self) -> list[Placement]:
        """Place held chunks that do not agree: believe the newest stamp, unless it is near."""
        late = self._held[-1].late
        if abs(late) <= TRUST * SLACK_JITTERS * self._estimate.jitter:
            return self._place_held(0.0)
        # Among the newest few, one that is late by whole chunks has the least jitter.
        size = self._common_size()
        return self._place_held(
            next(
                (chunk.late for chunk in self._held[:-5:-1] if self._in_chunks(chunk.late, size)),
                late,
            )
        )

    def _common_size(self) -> int:
        """Samples in each held chunk and in the last one before them; 0 if the sizes differ."""
        return self._size if all(chunk.samples == self._size for chunk in self._held) else 0

    def _place_held(self, late: float) -> list[Placement]:
        """Place the held chunks. The last one is truly late by so many seconds."""
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
                off_ns = 0 if abs(off) <= DEAD_BAND_S else round(off * NANOSECONDS)
                placed.append(self._restart(chunk, chunk.stamp_ns + off_ns))
            else:
                placed.append(self._step(chunk, (reached - level) * size))
            level = reached
        return placed

    def _explain(self, lates: list[float], levels: list[float]) -> list[int]:
        """
        Find the steps in time that explain best how late the chunks are.

        Each chunk gets a level. It costs its distance from the level, at most the slack; each
        change of the level costs the doubt. The cheapest path is found by dynamic programming.

        :param lates: seconds by which each chunk is late.
        :param levels: possible latenesses, in order: the first chunk may be at the first level,
            which is not late, and the last chunk is at the last level.
        :return: number of the level of each chunk, never lower than that of the chunk before.
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
        """How many whole chunks a lateness is; None if it is not a whole number of chunks."""
        chunk_s = size / self._rate
        if chunk_s < SLACK_MIN_S:
            return None
        number = round(late / chunk_s)
        doubt = min(self._doubt, chunk_s / 4)
        return number if abs(late - number * chunk_s) <= doubt else None

    def _step(self, chunk: _Chunk, samples: int) -> Placement:
        """Place a chunk after a gap of so many samples; negative: they came before (overlap)."""
        self._count += samples
        begin_ns = self._time_ns(self._count + self._applied)
        self._slewing = 0
        placement = self._follow(chunk)
        return Placement(begin_ns, placement.slew) if placement.begin_ns is None else placement

    def _restart(self, chunk: _Chunk, begin_ns: int) -> Placement:
        """Restart the time base at this chunk. The estimates of drift and jitter are kept."""
        self._origin_ns, self._count, self._applied, self._slewing = begin_ns, 0, 0, 0
        self._estimate.restart()
        self._count_chunk(chunk.samples)
        return Placement(begin_ns)

    def _follow(self, chunk: _Chunk) -> Placement:
        """Place a chunk right after the one before it, and update the estimate by its stamp."""
        late = self._lateness(chunk.stamp_ns, self._count)
        self._estimate.update(self._count / self._rate, late, self.slack)
        error = self._estimate.offset - self._applied / self._rate
        slew = 0
        if abs(error) > DEAD_BAND_S + SURE * self._estimate.error:
            slew = round(error * self._rate)
        slewing = self._slewing + abs(slew) * SLEW
        if slewing > BEHIND_MAX_S * SLEW * self._rate:
            late_ns = round(self._estimate.offset * NANOSECONDS)
            return self._restart(chunk, self._time_ns(self._count) + late_ns)
        self._applied += slew
        self._slewing = max(slewing - chunk.samples, 0)
        self._count_chunk(chunk.samples)
        return Placement(None, slew)

    def _count_chunk(self, count: int) -> None:
        self._count += count
        self._size = count
        duration = count / self._rate
        self._small += (duration - self._small) / (8 if duration > self._small else 1)
