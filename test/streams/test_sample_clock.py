"""The clock of a stream: where every chunk belongs, against the times at which it was heard."""

from collections import deque

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from avsol_ros.streams.sample_clock import AGREE_S, HOLD_S, SampleClock

SECOND = 1_000_000_000
MS = 1_000_000
START = 1_700_000_000 * SECOND
DAY = 86_400


class Microphone:
    """
    Simulate a driver: chunks with true times, and stamps that jitter.

    ``drift`` is how much longer a sample lasts than it says.
    """

    def __init__(self, rate, sizes, drift=0.0, jitter=0.0, kind='even', seed=0):
        self.rate = rate
        self.sizes = np.array(sizes)
        first = np.concatenate(([0], np.cumsum(self.sizes)[:-1]))
        self.true = [START + int(n * (1 + drift) * SECOND / rate) for n in first.tolist()]
        rng = np.random.default_rng(seed)
        noise = {
            'even': rng.uniform(-1, 1, len(sizes)),
            'normal': rng.normal(size=len(sizes)),
            'late': rng.exponential(size=len(sizes)),
        }[kind]
        self.stamps = [
            true + int(shift * jitter * SECOND)
            for true, shift in zip(self.true, noise.tolist(), strict=True)
        ]
        self.numbers = list(range(len(sizes)))

    def lose(self, first, count=1):
        self.numbers = [n for n in self.numbers if not first <= n < first + count]

    def stall(self, at, ms):
        """Let the reader sleep, and then read what has piled up, half a millisecond a chunk."""
        awake = self.true[at] + ms * MS
        for n in self.numbers[at:]:
            if self.stamps[n] >= awake:
                break
            self.stamps[n] = awake
            awake += MS // 2

    def run(self):
        return Heard(
            self.rate,
            [(self.stamps[n], int(self.sizes[n])) for n in self.numbers],
            [self.true[n] for n in self.numbers],
        )


class Heard:
    """What a clock makes of chunks: ``times`` of their beginnings, and where runs begin."""

    def __init__(self, rate, chunks, true=()):
        self.rate, self.chunks = rate, chunks
        self.times, self.begins, self.steps, self.slews, self.waits = [], [], [], [], []
        self.waiting = deque()
        clock = SampleClock(rate)
        for stamp, count in chunks:
            self.waiting.append((stamp, count))
            self._take(clock.add(stamp, count))
            self.waits.append((stamp - self.waiting[0][0]) / SECOND if self.waiting else 0)
        self.drift = clock.drift
        self._take(clock.flush())
        assert not self.waiting
        self.errors = np.array(
            [(time - when) / MS for time, when in zip(self.times, true, strict=False)]
        )

    def _take(self, placements):
        for begin_ns, slew in placements:
            _, count = self.waiting.popleft()
            if begin_ns is not None:
                if self.times:
                    self.begins.append(len(self.times))
                    self.steps.append(round((begin_ns - self.end()) * self.rate / SECOND))
                self.origin, self.count, self.moved = begin_ns, 0, 0
            self.moved += slew
            if slew:
                self.slews.append(slew)
            self.times.append(self.end())
            self.count += count

    def end(self):
        return self.origin + (self.count + self.moved) * SECOND // self.rate


RATES = st.sampled_from([8000, 16_000, 22_050, 44_100, 48_000, 96_000])


# ---------------------------------------------------------------- exact stamps


@given(RATES, st.lists(st.integers(1, 5000), min_size=1, max_size=200), st.integers(-2, 2))
@settings(max_examples=60, deadline=None)
def test_exact_stamps_pass_at_once_and_nothing_moves(rate, sizes, off_ns):
    # However they were rounded to nanoseconds.
    first = np.concatenate(([0], np.cumsum(sizes)[:-1])).tolist()
    chunks = [
        (START + n * SECOND // rate + off_ns * (k > 0), size)
        for k, (n, size) in enumerate(zip(first, sizes, strict=True))
    ]
    heard = Heard(rate, chunks)
    assert heard.times == [START + n * SECOND // rate for n in first]
    assert not heard.begins and not heard.slews and not any(heard.waits)


@pytest.mark.parametrize('round_ms', [lambda ms: round(ms), lambda ms: int(ms)])
@pytest.mark.parametrize(
    'rate, size', [(44_100, 1024), (44_100, 1152), (48_000, 1024), (48_000, 960), (16_000, 77)]
)
def test_stamps_in_milliseconds_move_nothing(rate, size, round_ms):
    chunks = [(START + round_ms(n * size * 1000 / rate) * MS, size) for n in range(5000)]
    heard = Heard(rate, chunks)
    assert not heard.begins and not heard.slews and not any(heard.waits)


# ---------------------------------------------------------------- jitter and drift


@pytest.mark.parametrize('kind', ['even', 'normal', 'late'])
@pytest.mark.parametrize('jitter', [0, 0.5e-3, 2e-3])
@pytest.mark.parametrize('drift', [0, 100e-6, -300e-6])
def test_drift_is_followed_within_two_milliseconds(drift, jitter, kind):
    heard = Microphone(48_000, [960] * 15_000, drift, jitter, kind, seed=4).run()
    late = jitter * 1000 if kind == 'late' else 0  # on average; nobody can know
    assert not heard.begins
    # It begins with the first stamp, as wrong as that is.
    assert np.abs(heard.errors).max() < 1.5 + abs(heard.errors[0]) + late
    assert np.abs(heard.errors[500:] - late).max() < 2
    assert abs(heard.drift - drift) < 15e-6
    assert drift or sum(map(abs, heard.slews)) <= (abs(heard.errors[0]) > 1) * 48 * 4


@given(
    RATES,
    st.integers(5, 60),
    st.floats(-300e-6, 300e-6),
    st.floats(0, 5e-3),
    st.sampled_from(['even', 'normal', 'late']),
    st.integers(0, 10**6),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_every_chunk_is_near_the_time_it_was_heard(rate, ms, drift, jitter, kind, seed, mixed):
    size = rate * ms // 1000
    sizes = np.full(30_000 // ms, size)
    if mixed:
        sizes = np.random.default_rng(seed).integers(size // 2 + 1, size + 1, 30_000 // ms)
    heard = Microphone(rate, sizes, drift, jitter, kind, seed).run()
    # A false step would be half a chunk at least.
    assert not heard.begins or jitter > ms / 5000
    if not heard.begins:
        assert np.abs(heard.errors).max() < 2 + 8 * jitter * 1000
        assert np.abs(heard.errors[len(heard.errors) // 2 :]).max() < 2 + 2 * jitter * 1000
    assert max(heard.waits) < HOLD_S + 0.2


def test_a_week_does_not_add_up():
    rate, size = 44_100, 4410 * 30  # 3 s
    heard = Microphone(rate, [size] * (7 * DAY // 3), 120e-6, 1e-3, 'late', seed=1).run()
    assert not heard.begins
    assert np.abs(heard.errors[-50_000:]).max() < 6
    assert sum(heard.slews) == pytest.approx(7 * DAY * 120e-6 * rate, rel=1e-4)


def test_the_clock_of_the_machine_may_be_slewed():
    # NTP turns it by 500 ppm for a minute, and back.
    heard_error = []
    rates = [0] * 1500 + [500e-6] * 3000 + [0] * 3000
    true = START + np.cumsum([0] + [20 * MS * (1 + r) for r in rates])
    stamps = [int(t) for t in true]
    heard = Heard(16_000, [(stamp, 320) for stamp in stamps], stamps)
    heard_error = np.abs(heard.errors)
    assert not heard.begins
    assert heard_error.max() < 4 and heard_error[-1000:].max() < 1.2


# ---------------------------------------------------------------- losses


@pytest.mark.parametrize('drift', [0, 150e-6])
@pytest.mark.parametrize('lost', [1, 2, 5])
@pytest.mark.parametrize(
    'rate, ms, jitters',
    [
        (16_000, 5, [0, 2e-3]),
        (48_000, 10, [0, 2e-3]),
        (16_000, 20, [0, 2e-3, 5e-3]),
        (44_100, 23, [0, 2e-3, 5e-3]),
        (16_000, 64, [0, 2e-3, 5e-3]),
    ],
)
def test_lost_chunks_leave_a_gap_of_their_size_at_their_place(rate, ms, jitters, lost, drift):
    size = rate * ms // 1000
    for jitter in jitters:
        for seed in range(3):
            microphone = Microphone(rate, [size] * (12_000 // ms), drift, jitter, seed=seed)
            at = 5000 // ms + 7 * seed
            microphone.lose(at, lost)
            heard = microphone.run()
            assert heard.begins == [at] and heard.steps == [lost * size]
            assert np.abs(heard.errors).max() < 1.5 + 1.1 * jitter * 1000


@given(RATES, st.integers(5, 60), st.data())
@settings(max_examples=60, deadline=None)
def test_any_losses_show_where_they_were(rate, ms, data):
    size = rate * ms // 1000
    count = 8000 // ms
    gone = sorted(data.draw(st.sets(st.integers(2, count - 2), max_size=count // 10)))
    assume(all(gone[i + 12] - gone[i] > 12 for i in range(len(gone) - 12)))  # under 1 s
    microphone = Microphone(rate, [size] * count)
    for number in gone:
        microphone.lose(number)
    heard = microphone.run()
    assert np.abs(heard.errors).max() < 0.05
    holes = [b - a - 1 for a, b in zip(microphone.numbers, microphone.numbers[1:], strict=False)]
    assert heard.steps == [hole * size for hole in holes if hole]
    assert heard.begins == [n + 1 for n, hole in enumerate(holes) if hole]


@pytest.mark.parametrize(
    'rate, ms, jitter',
    [(16_000, 20, 0), (16_000, 20, 2e-3), (48_000, 10, 1e-3), (44_100, 64, 5e-3)],
)
def test_a_radio_that_loses_one_chunk_in_ten(rate, ms, jitter):
    count = 60_000 // ms
    microphone = Microphone(rate, [rate * ms // 1000] * count, 1e-4, jitter, seed=3)
    gone = np.flatnonzero(np.random.default_rng(1).random(count) < 0.1)
    microphone.numbers = [n for n in range(count) if n < 2 or n not in gone]
    heard = microphone.run()
    holes = [
        n + 1
        for n, (a, b) in enumerate(zip(microphone.numbers, microphone.numbers[1:], strict=False))
        if b - a > 1
    ]
    assert len(holes) > 40 and heard.begins == holes
    assert np.abs(heard.errors).max() < 1.5 + 1.1 * jitter * 1000


@given(RATES, st.integers(0, 10**6), st.integers(2, 60))
@settings(max_examples=40, deadline=None)
def test_chunks_of_any_size_leave_gaps_too(rate, seed, at):
    # What is less than half of the others could be jitter.
    sizes = np.random.default_rng(seed).integers(rate // 50, rate // 26, 80)
    microphone = Microphone(rate, sizes)
    microphone.lose(at)
    heard = microphone.run()
    assert heard.begins == [at] and heard.steps == [sizes[at]]
    assert np.abs(heard.errors).max() < 0.001


@given(RATES, st.integers(5, 60), st.integers(1, 4), st.booleans())
@settings(max_examples=30, deadline=None)
def test_chunks_that_come_twice_overlap(rate, ms, count, jitters):
    size = rate * ms // 1000
    microphone = Microphone(rate, [size] * (6000 // ms), 0, ms / 10_000 * jitters)
    at = 3000 // ms
    microphone.numbers[at:at] = microphone.numbers[at - count : at]
    heard = microphone.run()
    assert heard.begins == [at] and heard.steps == [-count * size]
    assert np.abs(heard.errors).max() < 1.5 + ms / 10


@pytest.mark.parametrize('step_ms', [33, -33, 250, -250, 999, 1500, -1500, 3_600_000, -(10**9)])
def test_a_clock_that_is_set_begins_anew_with_the_stamps(step_ms):
    microphone = Microphone(48_000, [960] * 600)
    for n in range(300, 600):
        microphone.stamps[n] += step_ms * MS
        microphone.true[n] += step_ms * MS
    heard = microphone.run()
    assert heard.begins == [300] and heard.steps == [step_ms * 48]
    assert np.abs(heard.errors).max() < 0.001
    if abs(step_ms) > 1000:
        assert not any(heard.waits)


def test_a_rate_that_is_wrong_shows():
    chunks = [(START + n * 20 * MS, 882) for n in range(500)]  # 44.1 kHz said to be 48
    heard = Heard(48_000, chunks, [stamp for stamp, _ in chunks])
    assert len(heard.begins) > 20 and min(heard.steps) > 0
    assert np.abs(heard.errors).max() < 100


# ---------------------------------------------------------------- stamps that are late


@pytest.mark.parametrize('kind, part', [('even', 0), ('even', 0.3), ('late', 0.15)])
@pytest.mark.parametrize('rate, ms', [(16_000, 5), (48_000, 10), (16_000, 20), (44_100, 64)])
def test_a_reader_that_stalls_makes_no_gap(rate, ms, kind, part):
    jitter = min(part * ms / 1000, 5e-3)
    for seed, stall in enumerate((25, 60, 150, 300, 700, 950)):
        microphone = Microphone(
            rate, [rate * ms // 1000] * (20_000 // ms), 80e-6, jitter, kind, seed
        )
        for at in (5, 9, 13):
            microphone.stall(at * 1000 // ms, stall)
        heard = microphone.run()
        assert not heard.begins
        assert np.abs(heard.errors).max() < 2 + 4 * jitter * 1000


@given(RATES, st.integers(10, 60), st.lists(st.integers(10, 900), max_size=4))
@settings(max_examples=40, deadline=None)
def test_single_late_stamps_make_no_gap(rate, ms, late):
    microphone = Microphone(rate, [rate * ms // 1000] * (10_000 // ms))
    exact = microphone.run().times
    for number, shift in enumerate(late):
        microphone.stamps[(2 + 2 * number) * 1000 // ms] += shift * MS
    heard = microphone.run()
    assert heard.times == exact
    # The chunk waits for one other.
    assert sum(wait > 0 for wait in heard.waits) <= len(late)


def test_a_late_stamp_waits_no_longer_than_the_next():
    clock = SampleClock(16_000)
    assert len(clock.add(START, 320)) == 1
    assert clock.add(START + 50 * MS, 320) == []
    assert len(clock.add(START + 40 * MS, 320)) == 2


def test_a_step_is_known_as_soon_as_stamps_agree():
    microphone = Microphone(16_000, [320] * 100)
    microphone.lose(50)
    heard = microphone.run()
    assert max(heard.waits) <= AGREE_S + 0.02
    assert sum(wait > 0 for wait in heard.waits) <= 5


@pytest.mark.parametrize('late_ms, gap', [(25, 400), (64, 1024), (-40, -640)])
def test_what_still_waits_at_the_end_is_placed_by_its_stamps(late_ms, gap):
    # All chunks are exact, so the last is believed.
    chunks = [(START + n * 20 * MS, 320) for n in range(100)]
    chunks.append((START + 2000 * MS + late_ms * MS, 320))
    heard = Heard(16_000, chunks)
    assert heard.begins == [100]
    assert abs(heard.steps[0] - gap) <= 0.1 * abs(gap)


@given(
    st.lists(
        st.tuples(st.integers(-3 * SECOND, 3 * SECOND), st.integers(1, 3000)),
        min_size=1,
        max_size=60,
    ),
    RATES,
)
@settings(max_examples=100, deadline=None)
def test_whatever_comes_each_chunk_has_one_place(steps, rate):
    stamp, chunks = START, []
    for step, count in steps:
        stamp += step
        chunks.append((stamp, count))
    heard = Heard(rate, chunks)
    assert len(heard.times) == len(chunks)
    assert all(isinstance(time, int) for time in heard.times)
    assert heard.times == Heard(rate, chunks).times


def test_stamps_that_stand_still_are_no_endless_wait():
    heard = Heard(16_000, [(0, 320)] * 1000)
    assert len(heard.times) == 1000 and max(heard.times) < 3 * SECOND
