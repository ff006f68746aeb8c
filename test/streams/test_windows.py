"""Windows: each sample and frame where its time says, whatever came how and when."""

import subprocess
import sys
import weakref
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avsol_ros.config import WindowConfig
from avsol_ros.errors import AvsolError
from avsol_ros.streams.windows import SAMPLE_NS, SAMPLE_RATE, WindowCutter

MS = 1_000_000
SECOND = 1000 * MS
# Small windows make the properties cheap to try: 50 ms are 800 samples.
LENGTH = 50 * MS
CAPACITY = 4 * LENGTH
TOLERANCE = 5 * MS
HOPS = st.sampled_from([LENGTH, LENGTH // 2, LENGTH // 5, 7 * SAMPLE_NS])
STARTS = st.one_of(
    st.integers(-10 * SECOND, 10 * SECOND),
    st.integers(1_700_000_000 * SECOND, 1_700_000_001 * SECOND),
    st.integers(-40, 40).map(lambda k: k * LENGTH),
)


def ramp(count, first=1):
    """Make (count,) float32 samples, no two the same, none zero."""
    return (np.arange(first, first + count) / 2**22).astype(np.float32)


def image(number=0, height=2, width=3):
    return np.full((height, width, 3), number % 256, np.uint8)


def small(hop_ns=LENGTH, frames=3):
    return WindowCutter(WindowConfig(LENGTH, hop_ns, frames), CAPACITY, TOLERANCE)


def feed(cutter, chunks, stamps, flush=True):
    """Add chunks and frames as time brings them; give all windows."""
    events = [(stamp + len(samples) * SAMPLE_NS, 0, stamp, samples) for stamp, samples in chunks]
    events += [(stamp, 1, stamp, image(number)) for number, stamp in enumerate(stamps)]
    windows = []
    for _, kind, stamp, content in sorted(events, key=lambda event: event[:3]):
        (cutter.add_frame if kind else cutter.add_audio)(stamp, content)
        windows += cutter.ready()
    if flush:
        windows += cutter.flush()
    return windows


def chunked(start, samples, sizes):
    """Cut a signal into stamped chunks of the given sizes, again and again."""
    chunks, at, turn = [], 0, 0
    while at < len(samples):
        size = sizes[turn % len(sizes)]
        chunks.append((start + at * SAMPLE_NS, samples[at : at + size]))
        at, turn = at + size, turn + 1
    return chunks


def up(value, step):
    return -(-value // step) * step


# ---------------------------------------------------------------- sound


@given(
    STARTS,
    st.lists(st.integers(1, 900), min_size=1, max_size=8),
    HOPS,
    st.integers(1600, 6000),
    st.integers(0, LENGTH),
)
@settings(max_examples=80, deadline=None)
def test_each_window_is_the_slice_that_the_times_say(start, sizes, hop, count, frame_offset):
    samples = ramp(count)
    times = [start + n * SAMPLE_NS for n in range(count)]
    first_frame = start + frame_offset
    stamps = list(range(first_frame, times[-1] + LENGTH, 10 * MS))
    windows = feed(small(hop), chunked(start, samples, sizes), stamps)

    begin = up(max(start, first_frame), hop)
    assert [w.start_ns for w in windows] == [
        t for t in range(begin, times[-1] + 1, hop) if t + LENGTH <= times[-1] + SAMPLE_NS
    ]
    for window in windows:
        inside = [n for n, time in enumerate(times) if window.start_ns <= time < window.end_ns]
        assert window.end_ns - window.start_ns == LENGTH
        assert np.array_equal(window.audio, samples[inside[0] : inside[-1] + 1])
        assert window.audio.dtype == np.float32
        assert window.audio_missing == 0
    if hop == LENGTH and windows:
        joined = np.concatenate([w.audio for w in windows])
        offset = int(np.flatnonzero(samples == joined[0])[0])
        assert np.array_equal(joined, samples[offset : offset + len(joined)])


def reference_slots(chunks):
    """Place samples one by one: run clock, first come first kept."""
    slots, expected, newest = {}, None, None
    gaps = gap_samples = overlap = 0
    for stamp, samples in chunks:
        if not len(samples):
            continue
        time = stamp if expected is None or abs(stamp - expected) > TOLERANCE else expected
        slot = time // SAMPLE_NS
        if newest is not None and slot > newest + 1:
            gaps += 1
            gap_samples += slot - newest - 1
        for value in samples:
            if newest is None or slot > newest:
                slots[slot] = value
                newest = slot
            else:
                overlap += 1
            slot += 1
        expected = time + len(samples) * SAMPLE_NS
    return slots, gaps, gap_samples, overlap


@given(
    STARTS,
    HOPS,
    st.lists(
        st.tuples(
            st.integers(0, 500),
            st.one_of(
                st.integers(-TOLERANCE, TOLERANCE),  # jitter
                st.integers(TOLERANCE + 1, LENGTH),  # gap
                st.integers(-LENGTH // 3, -TOLERANCE - 1),
            ),
        ),  # overlap
        min_size=3,
        max_size=25,
    ),
)
@settings(max_examples=80, deadline=None)
def test_gaps_overlaps_and_jitter_equal_placing_samples_one_by_one(start, hop, steps):
    chunks, clock, number = [], start, 1
    for size, shift in steps:
        clock += shift
        chunks.append((clock, ramp(size, number)))
        clock += size * SAMPLE_NS
        number += size
    chunks = [chunk for chunk in chunks if len(chunk[1])]
    if not chunks:
        return
    slots, gaps, gap_samples, overlap = reference_slots(chunks)
    last = max(slots)
    begun = chunks[0][0]
    stamps = [*range(begun, (last + 1) * SAMPLE_NS, 4 * MS), (last + 2) * SAMPLE_NS]

    cutter = small(hop)
    windows, frames = [], iter(stamps)
    for chunk in chunks:
        cutter.add_audio(*chunk)
        # Frames up to what has been heard, so that no stream runs away from the other.
        for stamp in frames:
            cutter.add_frame(stamp, image())
            windows += cutter.ready()
            if stamp >= cutter.newest_audio_ns:
                break
        windows += cutter.ready()
    windows += cutter.flush()
    if cutter.stats.restarts:  # overlaps in a row added up to more than a window
        return

    want = {}
    for time in range(up(begun, hop), (last + 1) * SAMPLE_NS - LENGTH + 1, hop):
        first = time // SAMPLE_NS
        values = [slots.get(slot) for slot in range(first, first + LENGTH // SAMPLE_NS)]
        if any(value is not None for value in values):
            want[time] = values
    assert [w.start_ns for w in windows] == list(want)
    for window in windows:
        values = want[window.start_ns]
        assert np.array_equal(window.audio, np.array([v or 0 for v in values], np.float32))
        assert window.audio_missing == values.count(None)
    assert cutter.stats.windows_cut == len(windows)
    assert cutter.stats.audio_gaps == gaps
    assert cutter.stats.audio_gap_samples == gap_samples
    assert cutter.stats.audio_overlap_samples == overlap


def test_one_second_at_the_default_settings():
    cutter = WindowCutter(WindowConfig())
    samples = ramp(3 * SAMPLE_RATE)
    windows = feed(cutter, chunked(0, samples, [320]), range(0, 3 * SECOND, 40 * MS))
    assert [w.start_ns for w in windows] == [0, SECOND, 2 * SECOND]
    assert all(w.audio.shape == (16_000,) and len(w.frames) == 8 for w in windows)
    assert np.array_equal(np.concatenate([w.audio for w in windows]), samples)


@pytest.mark.parametrize('late_ns', [0, 1, SAMPLE_NS - 1])
def test_a_stream_that_begins_a_nanosecond_late_misses_the_window(late_ns):
    cutter = small()
    windows = feed(cutter, [(late_ns, ramp(2000))], range(0, 200 * MS, 5 * MS))
    assert windows[0].start_ns == (LENGTH if late_ns else 0)
    # Sample n has the time late + n * 62500, thus the window at 50 ms begins with number 800.
    assert windows[-1].audio[0] == ramp(2000)[windows[-1].start_ns // SAMPLE_NS]


def test_missing_sound_is_zero_and_counted():
    cutter = small()
    windows = feed(
        cutter, [(0, ramp(400)), (35 * MS, ramp(1200, 401))], range(0, 115 * MS, 5 * MS)
    )
    assert [w.audio_missing for w in windows] == [160, 0]
    assert np.array_equal(windows[0].audio[:400], ramp(400))
    assert not windows[0].audio[400:560].any()
    assert np.array_equal(windows[0].audio[560:], ramp(240, 401))
    assert (cutter.stats.audio_gaps, cutter.stats.audio_gap_samples) == (1, 160)


def test_a_window_without_any_sound_is_skipped():
    cutter = small()
    windows = feed(
        cutter, [(0, ramp(800)), (2 * LENGTH, ramp(800))], range(0, 3 * LENGTH + MS, 5 * MS)
    )
    assert [w.start_ns for w in windows] == [0, 2 * LENGTH]
    assert cutter.stats.windows_skipped == 1


def test_windows_do_not_change_after_they_are_cut():
    cutter = small(hop_ns=LENGTH // 2)
    samples = ramp(4000)
    windows = []
    for stamp, chunk in chunked(0, samples, [100]):
        chunk = chunk.copy()
        cutter.add_audio(stamp, chunk)
        chunk[:] = -1  # a driver may use its memory again
        cutter.add_frame(stamp, image())
        windows += cutter.ready()
    kept = [w.audio.copy() for w in windows]
    windows[0].audio[:] = 7
    assert len(windows) > 5
    for before, window in zip(kept[1:], windows[1:], strict=True):
        assert np.array_equal(before, window.audio)
        first = window.start_ns // SAMPLE_NS
        assert np.array_equal(before, samples[first : first + 800])


# ---------------------------------------------------------------- observers


@given(
    st.integers(0, 60),
    st.integers(0, 60),
    HOPS,
    STARTS,
    st.sets(st.integers(5, 90), max_size=6),
    st.integers(1, 12 * MS),
)
@settings(max_examples=50, deadline=None)
def test_observers_who_join_at_different_times_cut_the_same_windows(
    joins_a, joins_b, hop, start, losses, period
):
    samples = ramp(100 * 100)
    chunks = [
        chunk
        for number, chunk in enumerate(chunked(start, samples, [100]))
        if number not in losses
    ]  # 6.25 ms each, more than the tolerance
    stamps = list(range(start, start + 100 * 100 * SAMPLE_NS, max(period, 2 * MS)))
    cut = []
    for join in (joins_a, joins_b):
        from_ns = chunks[join][0]
        windows = feed(small(hop), chunks[join:], [s for s in stamps if s >= from_ns])
        cut.append({w.start_ns: w for w in windows})
    # The later one has all windows of the earlier from its own first on.
    late, early = sorted(cut, key=len)
    assert late
    assert list(late) == [start_ns for start_ns in early if start_ns >= min(late)]
    for start_ns, window in late.items():
        other = early[start_ns]
        assert window.frame_stamps_ns == other.frame_stamps_ns
        assert window.audio_missing == other.audio_missing
        assert window.audio.tobytes() == other.audio.tobytes()


# ---------------------------------------------------------------- frames


def obvious_frames(stamps, start, count):
    """Choose for each target the nearest stamp in the window; of two, the earlier."""
    inside = sorted(stamp for stamp in set(stamps) if start <= stamp < start + LENGTH)
    targets = [start + Fraction((2 * i + 1) * LENGTH, 2 * count) for i in range(count)]
    return tuple(min(inside, key=lambda s: (abs(s - t), s)) for t in targets) if inside else None


@given(
    st.lists(st.integers(0, 4 * LENGTH), min_size=1, max_size=40),
    st.integers(1, 9),
    HOPS,
    st.randoms(use_true_random=False),
)
@settings(max_examples=100, deadline=None)
def test_frames_are_the_nearest_to_their_targets(stamps, count, hop, random):
    # Frames in any order, with duplicates; all there before the sound, the order cannot matter.
    random.shuffle(stamps)
    cutter = small(hop, count)
    for stamp in stamps:
        cutter.add_frame(stamp, image())
    windows = []
    for stamp, samples in chunked(0, ramp(3200), [250]):
        cutter.add_audio(stamp, samples)
        windows += cutter.ready()
    windows += cutter.flush()
    starts = range(up(min(stamps), hop), 3 * LENGTH + 1, hop)
    want = {start: obvious_frames(stamps, start, count) for start in starts}
    assert {w.start_ns: w.frame_stamps_ns for w in windows} == {
        start: chosen for start, chosen in want.items() if chosen
    }
    assert cutter.stats.frames_duplicate == len(stamps) - len(set(stamps))
    assert cutter.stats.windows_skipped == sum(chosen is None for chosen in want.values())


@given(st.lists(st.integers(MS // 2, 40 * MS), min_size=10, max_size=60), st.integers(1, 9), HOPS)
@settings(max_examples=60, deadline=None)
def test_frames_of_any_rate_that_come_one_by_one(periods, count, hop):
    stamps = list(np.cumsum([0, *periods]).tolist())
    total = min(stamps[-1] // SAMPLE_NS, 9000)
    stamps = [s for s in stamps if s <= total * SAMPLE_NS + LENGTH]
    windows = feed(small(hop, count), chunked(0, ramp(total), [64, 200]), stamps)
    starts = range(0, total * SAMPLE_NS - LENGTH + 1, hop)
    want = {start: obvious_frames(stamps, start, count) for start in starts}
    assert {w.start_ns: w.frame_stamps_ns for w in windows} == {
        start: chosen for start, chosen in want.items() if chosen
    }


def test_images_go_with_their_stamps_uncopied():
    cutter = small(frames=2)
    pictures = {stamp: image(stamp // MS) for stamp in range(0, 60 * MS, 10 * MS)}
    for stamp, picture in pictures.items():
        cutter.add_frame(stamp, picture)
    cutter.add_audio(0, ramp(800))
    (window,) = cutter.ready()
    assert window.frame_stamps_ns == (10 * MS, 40 * MS)  # targets at 12.5 and 37.5 ms
    assert all(
        frame is pictures[stamp]
        for stamp, frame in zip(window.frame_stamps_ns, window.frames, strict=True)
    )


def test_a_tie_goes_to_the_earlier_frame():
    cutter = small(frames=1)  # the target is at 25 ms
    for stamp in (20 * MS, 30 * MS, 60 * MS):
        cutter.add_frame(stamp, image())
    cutter.add_audio(0, ramp(1600))
    assert not list(cutter.ready())  # the first frame came after 0
    cutter = small(frames=1)
    for stamp in (0, 20 * MS, 30 * MS):
        cutter.add_frame(stamp, image())
    cutter.add_audio(0, ramp(800))
    (window,) = cutter.ready()
    assert window.frame_stamps_ns == (20 * MS,)


def test_a_camera_of_one_frame_per_second():
    cutter = WindowCutter(WindowConfig(frames=4))
    windows = feed(
        cutter,
        chunked(0, ramp(5 * SAMPLE_RATE), [512]),
        [0, 1_100 * MS, 1_990 * MS, 4_000 * MS, 5_000 * MS],
    )
    assert [(w.start_ns // SECOND, [s // MS for s in w.frame_stamps_ns]) for w in windows] == [
        (0, [0] * 4),
        (1, [1100, 1100, 1990, 1990]),
        (4, [4000] * 4),
    ]
    assert cutter.stats.windows_skipped == 2


def test_a_window_waits_for_its_last_target_and_its_sound():
    cutter = small(frames=2)  # targets at 12.5 and 37.5 ms
    for stamp in (0, 20 * MS, 37 * MS):
        cutter.add_frame(stamp, image())
    cutter.add_audio(0, ramp(799))
    assert not list(cutter.ready())
    cutter.add_audio(799 * SAMPLE_NS, ramp(1))
    assert not list(cutter.ready())  # a frame nearer to 37.5 ms may come
    cutter.add_frame(75 * MS // 2, image())
    (window,) = cutter.ready()
    assert window.frame_stamps_ns == (20 * MS, 75 * MS // 2)
    assert not list(cutter.ready())
    cutter.add_frame(45 * MS, image())  # in time, not wanted: not late
    assert cutter.stats.frames_late == 0
    cutter.add_frame(12 * MS, image())  # would have been chosen
    assert cutter.stats.frames_late == 1


def test_flush_gives_what_has_sound_and_a_frame_then_begins_anew():
    cutter = small()
    cutter.add_frame(0, image())
    cutter.add_frame(60 * MS, image())
    cutter.add_audio(0, ramp(3200 - 1))
    assert [w.start_ns for w in cutter.ready()] == [0]
    assert [w.start_ns for w in cutter.flush()] == [LENGTH]
    assert cutter.newest_audio_ns is None and cutter.newest_frame_ns is None
    again = feed(cutter, [(0, ramp(800))], [0, 45 * MS])
    assert [w.start_ns for w in again] == [0]


# ---------------------------------------------------------------- jumps and memory


@pytest.mark.parametrize('shift', [-3600 * SECOND, 3600 * SECOND])
@pytest.mark.parametrize('first', ['audio', 'frame'])
def test_a_far_jump_begins_anew_whichever_stream_jumps_first(shift, first):
    base = 7200 * SECOND
    cutter = small()
    chunks = chunked(base, ramp(2400), [100])
    before = feed(cutter, chunks, range(base, base + 150 * MS, 5 * MS), flush=False)
    assert len(before) == 3
    new = base + shift
    if first == 'audio':
        cutter.add_audio(new, ramp(100, 9001))
        cutter.add_frame(base + 155 * MS, image())  # one that was still on its way
        cutter.add_frame(new, image())
    else:
        cutter.add_frame(new, image())
        cutter.add_audio(base + 2400 * SAMPLE_NS, ramp(100))
        cutter.add_audio(new, ramp(100, 9001))
    after = feed(
        cutter,
        chunked(new + 100 * SAMPLE_NS, ramp(2300, 9101), [100]),
        range(new + 5 * MS, new + 150 * MS, 5 * MS),
    )
    assert [w.start_ns for w in after] == [new, new + LENGTH, new + 2 * LENGTH]
    assert np.array_equal(np.concatenate([w.audio for w in after]), ramp(2400, 9001))
    assert cutter.stats.restarts >= 1
    assert cutter.stats.audio_gaps == 0


@pytest.mark.parametrize('loop_ms', [20, 45, 120])
def test_a_loop_shorter_than_the_memory_comes_back_to_life(loop_ms):
    cutter = small(hop_ns=10 * MS)
    count = loop_ms * MS // SAMPLE_NS
    cut_late = 0
    for turn in range(20):
        before = cutter.stats.windows_cut
        feed(cutter, chunked(0, ramp(count), [80]), range(0, loop_ms * MS, 5 * MS), flush=False)
        cut_late += cutter.stats.windows_cut - before if turn > 10 else 0
    assert cutter.stats.restarts
    assert cut_late if loop_ms > 100 else not cut_late  # under 50 ms no window fits


def test_memory_is_bounded_and_counted_when_only_frames_come():
    cutter = small()
    alive = []
    for number in range(400):
        picture = image(number)
        alive.append(weakref.ref(picture))
        cutter.add_frame(number * 5 * MS, picture)
        del picture
        assert not list(cutter.ready())
    held = sum(ref() is not None for ref in alive)
    assert held == CAPACITY // (5 * MS) + 1
    assert cutter.stats.frames_dropped == 400 - held


def test_memory_is_bounded_and_counted_when_only_sound_comes():
    cutter = small()
    for stamp, samples in chunked(0, ramp(50_000), [333]):
        cutter.add_audio(stamp, samples)
        assert not list(cutter.ready())
    assert cutter.stats.audio_dropped_samples == 50_000 - CAPACITY // SAMPLE_NS
    # Of what is left windows are cut, from the first whole one on.
    end = 50_000 * SAMPLE_NS
    for stamp in range(0, end, 5 * MS):
        cutter.add_frame(stamp, image())
    windows = list(cutter.flush())
    assert [w.start_ns for w in windows] == list(
        range(up(end - CAPACITY, LENGTH), end - LENGTH + 1, LENGTH)
    )
    assert all(w.audio_missing == 0 for w in windows)


@pytest.mark.parametrize('stalls', ['frames', 'audio'])
def test_a_stall_skips_windows_and_never_cuts_them_from_the_rest(stalls):
    cutter = small(hop_ns=LENGTH // 2)
    samples = ramp(16_000)  # 1 s
    windows = []
    for stamp, chunk in chunked(0, samples, [80]):
        stalled = 300 * MS <= stamp < 700 * MS
        if not (stalls == 'audio' and stalled):
            cutter.add_audio(stamp, chunk)
        if not (stalls == 'frames' and stalled):
            cutter.add_frame(stamp, image(stamp // (5 * MS)))
        windows += cutter.ready()
    for window in windows:
        first = window.start_ns // SAMPLE_NS
        assert window.audio_missing == 0
        assert np.array_equal(window.audio, samples[first : first + 800])
        assert window.frame_stamps_ns == obvious_frames(
            [
                s
                for s in range(0, SECOND, 5 * MS)
                if stalls == 'audio' or not 300 * MS <= s < 700 * MS
            ],
            window.start_ns,
            3,
        )
    starts = [w.start_ns for w in windows]
    assert starts == sorted(set(starts))
    assert min(starts) == 0 and max(starts) == SECOND - LENGTH
    assert len(windows) + cutter.stats.windows_skipped <= 39


@pytest.mark.parametrize('behind', ['frames', 'audio'])
def test_a_window_that_lost_a_part_is_skipped(behind):
    cutter = small()
    cutter.add_frame(0, image())
    cutter.add_audio(0, ramp(80))
    assert not list(cutter.ready())  # the window at 0 has begun
    # Of 225 ms of the one 200 are held; the other has 200.
    frames = range(5 * MS, (200 if behind == 'frames' else 226) * MS, 5 * MS)
    sound = ramp(3600 if behind == 'frames' else 3200)[80:]
    if behind == 'frames':
        cutter.add_audio(5 * MS, sound)
        assert cutter.stats.audio_dropped_samples == 400
    for stamp in frames:
        cutter.add_frame(stamp, image())
    if behind == 'audio':
        assert cutter.stats.frames_dropped == 5
        cutter.add_audio(5 * MS, sound)
    assert [w.start_ns for w in cutter.ready()] == [LENGTH, 2 * LENGTH, 3 * LENGTH]
    assert cutter.stats.windows_skipped == 1


@pytest.mark.parametrize(
    'shift, gaps, overlap',
    [(TOLERANCE, 0, 0), (TOLERANCE + 1, 1, 0), (-TOLERANCE, 0, 0), (-TOLERANCE - 1, 0, 81)],
)
def test_the_tolerance_is_inclusive(shift, gaps, overlap):
    cutter = small()
    cutter.add_audio(0, ramp(160))
    cutter.add_audio(10 * MS + shift, ramp(160))
    assert (cutter.stats.audio_gaps, cutter.stats.audio_overlap_samples) == (gaps, overlap)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(['audio', 'frame', 'ready']),
        st.one_of(
            st.integers(-2 * MS, 8 * MS),
            st.integers(-3 * LENGTH, 3 * LENGTH),
            st.integers(-100 * LENGTH, 100 * LENGTH),
        ),
        st.sampled_from([0, 1, 7, 80, 400, 801, 3201, 9000]),
    ),
    max_size=80,
)


@pytest.mark.parametrize(
    'off, gap, overlap',
    [
        (0, 0, 0),
        (SAMPLE_NS, 0, 0),
        (-SAMPLE_NS, 0, 0),
        (2 * SAMPLE_NS, 2, 0),
        (5 * MS, 80, 0),
        (-2 * SAMPLE_NS, 0, 2),
        (-5 * MS, 0, 80),
    ],
)
def test_by_default_a_gap_of_two_samples_shows(off, gap, overlap):
    cutter = WindowCutter(WindowConfig())
    windows = feed(
        cutter,
        [(0, ramp(8000)), (SECOND // 2 + off, ramp(16_000, 8001))],
        range(0, 3 * SECOND // 2, 40 * MS),
    )
    assert cutter.stats.audio_gap_samples == windows[0].audio_missing == gap
    assert cutter.stats.audio_gaps == bool(gap)
    assert cutter.stats.audio_overlap_samples == overlap
    assert np.array_equal(windows[0].audio[:8000], ramp(8000))
    assert not windows[0].audio[8000 : 8000 + gap].any()
    assert np.array_equal(windows[0].audio[8000 + gap :], ramp(8000 - gap, 8001 + overlap))


@given(EVENTS, EVENTS)
@settings(max_examples=30, deadline=None)
def test_a_twin_does_the_same_and_neither_touches_the_other(before, after):
    def play(cutter, events, clock):
        for kind, step, size in events:
            clock += step
            if kind == 'audio':
                cutter.add_audio(clock, ramp(size))
            elif kind == 'frame':
                cutter.add_frame(clock, image())
            yield from cutter.ready()
        yield from cutter.flush()

    def content(windows):
        return [(w.start_ns, w.frame_stamps_ns, w.audio.tobytes()) for w in windows]

    cutter, clock = small(), 0
    for kind, step, size in before:
        clock += step
        if kind == 'audio':
            cutter.add_audio(clock, ramp(size))
        else:
            cutter.add_frame(clock, image())
    twin, other = cutter.twin(), cutter.twin()
    want = content(play(twin, after, clock))
    assert content(play(cutter, after, clock)) == want == content(play(other, after, clock))
    assert twin.stats == cutter.stats == other.stats


def test_a_twin_shares_the_images():
    cutter = small()
    picture = image()
    cutter.add_frame(0, picture)
    cutter.add_audio(0, ramp(800))
    (window,) = cutter.twin().flush()
    assert all(frame is picture for frame in window.frames)


def test_many_small_overlaps_are_no_restart():
    cutter, clock = small(), 0
    for _ in range(50):
        cutter.add_audio(clock, ramp(400))  # 25 ms every 15
        clock += 15 * MS
    assert cutter.stats.audio_overlap_samples == 49 * 160 > LENGTH // SAMPLE_NS
    assert cutter.stats.restarts == 0


@given(EVENTS, HOPS, st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_no_order_of_events_breaks_the_promises(events, hop, count):
    cutter = small(hop, count)
    clock, heard, added, windows, alive = 0, 0, 0, [], []
    for kind, step, size in events:
        clock += step
        if kind == 'audio':
            cutter.add_audio(clock, ramp(size, heard % 100_000 + 1))
            heard += size
        elif kind == 'frame':
            picture = image()
            alive.append((clock, weakref.ref(picture)))
            cutter.add_frame(clock, picture)
            added += 1
            del picture
        else:
            windows += list(cutter.ready())
        span = [
            stamp
            for stamp, ref in alive
            if ref() is not None and not any(ref() is frame for w in windows for frame in w.frames)
        ]
        assert not span or max(span) - min(span) <= CAPACITY
    windows += cutter.flush()
    stats = cutter.stats
    for window in windows:
        assert window.start_ns % hop == 0 and window.end_ns == window.start_ns + LENGTH
        assert window.audio.shape == (800,) and len(window.frames) == count
        assert window.audio_missing == 800 - np.count_nonzero(window.audio) < 800
        assert all(window.start_ns <= s < window.end_ns for s in window.frame_stamps_ns)
        assert list(window.frame_stamps_ns) == sorted(window.frame_stamps_ns)
    if not stats.restarts:
        starts = [w.start_ns for w in windows]
        assert starts == sorted(set(starts))
    assert stats.windows_cut == len(windows)
    assert stats.audio_overlap_samples + stats.audio_dropped_samples <= heard
    assert stats.frames_late + stats.frames_dropped + stats.frames_duplicate <= added


def test_two_minutes_of_short_chunks_give_every_window():
    cutter = WindowCutter(WindowConfig(hop_ns=250 * MS))
    picture = image()
    cut = 0
    for stamp, samples in chunked(0, np.ones(120 * SAMPLE_RATE, np.float32), [160]):
        cutter.add_audio(stamp, samples)
        if stamp % (40 * MS) == 0:
            cutter.add_frame(stamp, picture)
        cut += sum(1 for _ in cutter.ready())
    assert cut == 120 * 4 - 3


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    'make, word',
    [
        (lambda: WindowCutter(WindowConfig(hop_ns=333_333_333)), 'hop_ns is 333333333'),
        (lambda: WindowCutter(WindowConfig(length_ns=SECOND + 1)), 'length_ns is 1000000001'),
        (lambda: WindowCutter(WindowConfig(), capacity_ns=SECOND), 'capacity_ns'),
        (lambda: WindowCutter(WindowConfig(), audio_tolerance_ns=-1), 'audio_tolerance_ns'),
        (lambda: small().add_frame(0, np.zeros((2, 3), np.uint8)), r'\(2, 3\) uint8'),
        (lambda: small().add_frame(0, np.zeros((2, 3, 3), np.float32)), 'float32'),
        (lambda: small().add_frame(0.5, image()), 'frame stamp is 0.5'),
        (lambda: small().add_audio(0, np.zeros(3, np.int16)), 'int16'),
        (lambda: small().add_audio(0, np.zeros((3, 2), np.float32)), r'\(3, 2\)'),
        (lambda: small().add_audio(0, [0.0]), 'list'),
        (lambda: small().add_audio('now', np.zeros(3, np.float32)), 'audio stamp'),
    ],
)
def test_bad_input_is_one_line(make, word):
    with pytest.raises(AvsolError, match=word) as caught:
        make()
    assert 'expected' in str(caught.value) and '\n' not in str(caught.value)


def test_windows_do_not_need_torch():
    done = subprocess.run(
        [
            sys.executable,
            '-c',
            'import sys, avsol_ros.streams.windows; sys.exit("torch" in sys.modules)',
        ],
        check=False,
    )
    assert done.returncode == 0
