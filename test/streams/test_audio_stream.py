"""Stamped sound of any rate, in any chunks, becomes stamped 16 kHz mono."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avsol_ros.config import WindowConfig
from avsol_ros.errors import AvsolError
from avsol_ros.messages.pcm import pcm_to_float
from avsol_ros.streams.audio_stream import AudioStream
from avsol_ros.streams.resample import StreamResampler
from avsol_ros.streams.windows import SAMPLE_NS, SAMPLE_RATE, WindowCutter

SECOND = 1_000_000_000
RATES = [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000]


def run(resampler, samples, cuts):
    pieces = [resampler.process(piece) for piece in np.split(samples, sorted(cuts))]
    return np.concatenate([*pieces, resampler.flush()])


def joined(pairs):
    """Check that chunks follow one another exactly; give begin and samples."""
    for (stamp, samples), (following, _) in zip(pairs, pairs[1:], strict=False):
        assert following == stamp + len(samples) * SAMPLE_NS
    assert all(len(samples) for _, samples in pairs)
    return pairs[0][0], np.concatenate([samples for _, samples in pairs])


@pytest.mark.parametrize('rate', RATES)
@given(
    start=st.integers(0, 2 * 10**18),
    jitter=st.integers(0, 900_000),
    sizes=st.lists(st.integers(0, 700), min_size=2, max_size=8).filter(any),
    channels=st.integers(1, 3),
)
@settings(max_examples=8, deadline=None)
def test_time_is_counted_exactly_whatever_the_jitter(rate, start, jitter, sizes, channels):
    total = sum(sizes)
    samples = np.random.default_rng(total).uniform(-1, 1, (total, channels)).astype(np.float32)
    stream, out, at = AudioStream(rate, channels), [], 0
    for turn, size in enumerate(sizes):
        exact = start + at * SECOND // rate
        shift = 0 if at == 0 else jitter * (-1) ** turn
        out += stream.process(exact + shift, samples[at : at + size])
        at += size
    out += stream.flush()
    begin, got = joined(out)
    assert begin == start and isinstance(begin, int)
    mono = samples.mean(axis=1, dtype=np.float32)
    assert np.array_equal(got, run(StreamResampler(rate), mono, []))


def runs(pairs):
    """Join what follows without gap: [(begin, samples)]."""
    found = []
    for stamp, samples in pairs:
        if not found or stamp != found[-1][0] + sum(map(len, found[-1][1])) * SAMPLE_NS:
            found.append((stamp, []))
        found[-1][1].append(samples)
    return [(stamp, np.concatenate(pieces)) for stamp, pieces in found]


@pytest.mark.parametrize('rate', [16_000, 44_100, 48_000])
@pytest.mark.parametrize('jump_ns', [20_000_001, 5 * SECOND, -20_000_001, -5 * SECOND])
def test_a_jump_begins_a_new_run_and_loses_nothing(rate, jump_ns):
    samples = np.random.default_rng(1).uniform(-1, 1, (3000, 1)).astype(np.float32)
    stream = AudioStream(rate, 1)
    expected = 1000 + 1700 * SECOND // rate
    out = stream.process(1000, samples[:1700])
    out += stream.process(expected + jump_ns, samples[1700:])
    first, second = runs(out + stream.flush())
    assert first[0] == 1000 and second[0] == expected + jump_ns
    assert np.array_equal(first[1], run(StreamResampler(rate), samples[:1700, 0], []))
    assert np.array_equal(second[1], run(StreamResampler(rate), samples[1700:, 0], []))


def driver(rate, size, seconds, signal, drift=0.0, jitter=0.0, lost=(), seed=0):
    """Chunks as a driver sends them: sample n was heard at n * (1 + drift) / rate seconds."""
    rng = np.random.default_rng(seed)
    for number in range(int(seconds * rate / size)):
        heard = np.arange(number * size, (number + 1) * size) * ((1 + drift) / rate)
        stamp = int(heard[0] * SECOND) + int(rng.uniform(-jitter, jitter) * SECOND)
        if number not in lost:
            yield stamp, signal(heard).astype(np.float32)[:, None]


@pytest.mark.parametrize('hertz', [440, 3000])
@pytest.mark.parametrize(
    'rate, size, drift, jitter',
    [
        (16_000, 320, 300e-6, 0),
        (16_000, 1024, -100e-6, 1e-3),
        (48_000, 960, -300e-6, 1e-3),
        (44_100, 1024, 100e-6, 0),
    ],
)
def test_drift_is_followed_without_a_click(rate, size, drift, jitter, hertz):
    stream, out = AudioStream(rate, 1), []
    for stamp, samples in driver(
        rate, size, 100, lambda t: np.sin(2 * np.pi * hertz * t), drift, jitter
    ):
        out += stream.process(stamp, samples)
    begin, got = joined(out + stream.flush())
    time = begin / SECOND + np.arange(len(got)) / SAMPLE_RATE
    # Against the tone as it was, slowly turning: its phase says how late the sound is.
    turning = got * np.exp(-2j * np.pi * hertz * time)
    smooth = np.convolve(turning, np.hanning(321) / 160, 'same')[2000:-2000]
    late = -np.unwrap(np.angle(1j * smooth)) / (2 * np.pi * hertz)
    late -= np.round(np.median(late[:100]) * hertz) / hertz
    assert np.abs(late).max() < 2e-3
    assert np.abs(np.diff(late)).max() * SAMPLE_RATE < 6e-3
    # What is left beside the tone, so moved, is noise, with the corners of
    # this measure where a slew begins and ends.
    moved = np.sin(2 * np.pi * hertz * (time[2000:-2000] - late))
    sound = got[2000:-2000]
    residue = sound - moved * (sound @ moved) / (moved @ moved)
    assert 20 * np.log10(np.std(residue) / np.std(sound)) < -44


@pytest.mark.parametrize('drift', [0.01, -0.01, 44_100 / 48_000 - 1])
@pytest.mark.parametrize('rate, size', [(16_000, 160), (48_000, 1024)])
def test_a_rate_that_is_wrong_does_not_leave_its_time(rate, size, drift):
    # Faster than any slew follows: the sound is away from its time, but no more the longer it is.
    stream, out = AudioStream(rate, 1), []
    for stamp, samples in driver(rate, size, 40, lambda t: t % 0.5 < 0.004, drift):
        out += stream.process(stamp, samples)
    out += stream.flush()
    assert any(
        stamp != last + len(samples) * SAMPLE_NS
        for (last, samples), (stamp, _) in zip(out, out[1:], strict=False)
    )
    time = np.concatenate(
        [stamp / SECOND + np.arange(len(samples)) / SAMPLE_RATE for stamp, samples in out]
    )
    clicks = time[1:][np.diff((np.concatenate([s for _, s in out]) > 0.5).astype(int)) == 1]
    late = (clicks + 0.25) % 0.5 - 0.25
    assert len(clicks) > 70 and np.abs(late).max() < 0.1


@pytest.mark.parametrize(
    'rate, size', [(16_000, 80), (48_000, 480), (16_000, 320), (44_100, 1024), (16_000, 1024)]
)
@pytest.mark.parametrize('drift, jitter', [(0, 0), (100e-6, 1e-3)])
def test_a_lost_chunk_is_silence_at_its_place(rate, size, drift, jitter):
    # From the driver to the window. The signal grows with time, so a sample tells its time.
    lost_at = int(3.3 * rate / size)
    stream, cutter, windows = AudioStream(rate, 1), WindowCutter(WindowConfig()), []
    pieces = []
    for stamp, samples in driver(rate, size, 6, lambda t: 0.1 + t / 10, drift, jitter, {lost_at}):
        for piece in stream.process(stamp, samples):
            pieces.append(piece)
    for piece in pieces + stream.flush():
        cutter.add_audio(*piece)
    for stamp in range(0, 6 * SECOND, 100_000_000):
        cutter.add_frame(stamp, np.zeros((1, 1, 3), np.uint8))
        windows += cutter.ready()
    # The cutter holds four seconds; look at those that it still has.
    windows = {window.start_ns // SECOND: window for window in [*windows, *cutter.flush()]}
    missing = size / rate * SAMPLE_RATE
    assert cutter.stats.audio_gaps == 1 and cutter.stats.audio_overlap_samples == 0
    assert abs(cutter.stats.audio_gap_samples - missing) <= 1
    window = windows[3]
    assert window.audio_missing == cutter.stats.audio_gap_samples
    silent = np.flatnonzero(window.audio == 0)
    assert len(silent) == window.audio_missing and np.all(np.diff(silent) == 1)
    true = (lost_at * size * (1 + drift) / rate - 3) * SAMPLE_RATE
    assert abs(silent[0] - true) <= 1 + 2e-3 * SAMPLE_RATE * (jitter > 0)
    time = 3 + np.arange(SAMPLE_RATE) / SAMPLE_RATE
    sound = np.ones(SAMPLE_RATE, bool)
    sound[max(silent[0] - 20, 0) : silent[-1] + 20] = False
    assert np.abs(window.audio - (0.1 + time / 10))[sound].max() < 6e-3


def test_chunks_that_wait_are_not_the_drivers_memory():
    stream = AudioStream(SAMPLE_RATE, 1)
    memory = np.ones((320, 1), np.float32)
    out = stream.process(0, memory)
    out += stream.process(60_000_000, memory)  # late: it waits
    memory[:] = 0
    out += stream.process(40_000_000, memory)
    _, got = joined(out)
    assert got.tolist() == [1] * 640 + [0] * 320


def test_a_stream_can_be_copied():
    chunks = list(driver(48_000, 960, 3, lambda t: np.sin(3000 * t), 2e-4, 1e-3, {40}))
    stream = AudioStream(48_000, 1)
    for chunk in chunks[:42]:
        stream.process(*chunk)
    other = copy.deepcopy(stream)

    def rest(stream):
        return [*(p for chunk in chunks[42:] for p in stream.process(*chunk)), *stream.flush()]

    ours, theirs = rest(stream), rest(other)
    assert [stamp for stamp, _ in ours] == [stamp for stamp, _ in theirs]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(ours, theirs, strict=True))


def test_a_day_at_a_rate_that_does_not_divide_stays_exact():
    # 44100 Hz: 22675.7... ns a sample; what is rounded per chunk would add up.
    stream = AudioStream(44_100, 1)
    silence = np.zeros((441, 1), np.float32)  # 10 ms
    emitted, at = 0, 0
    for _ in range(3000):
        for stamp, samples in stream.process(7 + at * SECOND // 44_100, silence):
            assert stamp == 7 + emitted * SAMPLE_NS
            emitted += len(samples)
        at += 441
    assert emitted + sum(len(s) for _, s in stream.flush()) == 30 * SAMPLE_RATE


@pytest.mark.parametrize('rate', [0, -8000, 44_100.5, '44100', 768_001])
def test_rates_are_checked(rate):
    with pytest.raises(AvsolError, match='sample rate'):
        AudioStream(rate, 1)


def test_stereo_is_averaged():
    stream = AudioStream(SAMPLE_RATE, 2)
    stereo = np.array([[1, 0], [0.5, -0.5], [-1, -0.5]], np.float32)
    ((stamp, got),) = stream.process(5, stereo)
    assert stamp == 5 and got.tolist() == [0.5, 0, -0.75]
    assert stream.flush() == []


def test_empty_chunks_and_flush_of_nothing():
    stream = AudioStream(48_000, 1)
    assert stream.process(0, np.zeros((0, 1), np.float32)) == [] == stream.flush()


@pytest.mark.parametrize(
    'stamp, samples, word',
    [
        (0, np.zeros((3, 1), np.float32), r'\(3, 1\) float32; expected \(n, 2\)'),
        (0, np.zeros(3, np.float32), r'\(3,\)'),
        (0, np.zeros((3, 2), np.int16), 'int16'),
        (0.5, np.zeros((3, 2), np.float32), 'stamp is 0.5'),
    ],
)
def test_stream_input_is_checked(stamp, samples, word):
    with pytest.raises(AvsolError, match=word):
        AudioStream(48_000, 2).process(stamp, samples)


@pytest.mark.parametrize('rate', [44_100, 48_000])
def test_a_click_lands_in_its_window_at_its_sample(rate):
    # From stereo PCM bytes through the stream to the window: a click at 1.25 s.
    signal = np.zeros((3 * rate, 2), np.int16)
    signal[rate * 5 // 4] = 30_000
    stream, cutter, windows = AudioStream(rate, 2), WindowCutter(WindowConfig()), []
    for at in range(0, len(signal), 1024):
        samples = pcm_to_float(signal[at : at + 1024].tobytes(), 'S16LE', 2)
        for chunk in stream.process(at * SECOND // rate, samples):
            cutter.add_audio(*chunk)
        cutter.add_frame(at * SECOND // rate, np.zeros((1, 1, 3), np.uint8))
        windows += cutter.ready()
    for chunk in stream.flush():
        cutter.add_audio(*chunk)
    windows += cutter.flush()
    assert [w.start_ns for w in windows] == [0, SECOND, 2 * SECOND]
    assert not windows[0].audio[:15_900].any() and not windows[2].audio.any()
    assert int(np.argmax(windows[1].audio)) == SAMPLE_RATE // 4
