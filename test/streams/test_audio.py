"""Sound: every format, any rate in any chunks, and VGGish's spectrogram."""

import array
import copy
import math
import struct
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avsol_ros.config import WindowConfig
from avsol_ros.errors import AvsolError
from avsol_ros.messages.pcm import pcm_to_float
from avsol_ros.models.log_mel import LogMel
from avsol_ros.streams.audio_stream import AudioStream
from avsol_ros.streams.resample import StreamResampler
from avsol_ros.streams.windows import SAMPLE_NS, SAMPLE_RATE, WindowCutter

SECOND = 1_000_000_000
RATES = [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000]


# ---------------------------------------------------------------- PCM

INTEGERS = {
    '8': (8, 1),
    '16': (16, 2),
    '18': (18, 3),
    '20': (20, 3),
    '24': (24, 3),
    '20_32': (20, 4),
    '24_32': (24, 4),
    '32': (32, 4),
}


def pack(values, kind, bits, size, order):
    """Write integers, given as signed ones, byte by byte."""
    if kind == 'U':
        values = [value + 2 ** (bits - 1) for value in values]
    return b''.join(value.to_bytes(size, order, signed=kind == 'S') for value in values)


@pytest.mark.parametrize('order', ['LE', 'BE'])
@pytest.mark.parametrize('layout', list(INTEGERS))
@pytest.mark.parametrize('kind', ['S', 'U'])
@given(data=st.data(), channels=st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_integers_come_back(kind, layout, order, data, channels):
    bits, size = INTEGERS[layout]
    name = f'{kind}{layout}' + ('' if size == 1 else order)
    full = 2 ** (bits - 1)
    frames = data.draw(
        st.lists(
            st.lists(st.integers(-full, full - 1), min_size=channels, max_size=channels),
            max_size=9,
        )
    )
    values = [value for frame in frames for value in frame]
    raw = pack(values, kind, bits, size, 'little' if order == 'LE' else 'big')
    got = pcm_to_float(raw, name, channels)
    assert got.dtype == np.float32 and got.shape == (len(frames), channels)
    want = np.array(values, np.float64).reshape(-1, channels) / full
    if bits <= 24:
        assert np.array_equal(got, want)  # a float32 holds them all
    else:
        assert np.abs(got - want).max(initial=0) <= 2**-25
    assert np.abs(got).max(initial=0) <= 1


@pytest.mark.parametrize(
    'name, code', [('F32LE', '<f'), ('F32BE', '>f'), ('F64LE', '<d'), ('F64BE', '>d')]
)
@given(values=st.lists(st.floats(-1, 1, width=32), max_size=12))
@settings(max_examples=30, deadline=None)
def test_floats_come_back(name, code, values):
    raw = b''.join(struct.pack(code, value) for value in values)
    got = pcm_to_float(raw, name, 1)
    assert got.dtype == np.float32
    assert np.array_equal(got[:, 0], np.array(values, np.float32))


@pytest.mark.parametrize('name, code', [('F32LE', '<f'), ('F64BE', '>d')])
def test_floats_are_limited_and_never_nan(name, code):
    largest = 1e300 if code == '>d' else 1e30
    values = [1.5, -7.0, math.nan, math.inf, -math.inf, largest, 0.25]
    raw = b''.join(struct.pack(code, value) for value in values)
    assert pcm_to_float(raw, name, 1)[:, 0].tolist() == [1, -1, 0, 1, -1, 1, 0.25]


def test_what_lies_above_24_bits_in_32_does_not_count():
    assert pcm_to_float(b'\x00\x00\x40\xff', 'S24_32LE', 1)[0, 0] == 0.5
    assert pcm_to_float(b'\x7f\xc0\x00\x00', 'S24_32BE', 1)[0, 0] == -0.5
    assert pcm_to_float(b'\x00\x00\x34\x12', 'S20_32LE', 1)[0, 0] == 0.5


@pytest.mark.parametrize(
    'wrap',
    [
        bytes,
        bytearray,
        memoryview,
        lambda raw: array.array('B', raw),
        lambda raw: array.array('h', raw),
        lambda raw: np.frombuffer(raw, np.uint8),
    ],
)
def test_every_kind_of_buffer_is_taken(wrap):
    raw = struct.pack('<4h', 16384, -16384, 32767, -32768)
    assert pcm_to_float(wrap(raw), 'S16LE', 2).tolist() == [[0.5, -0.5], [32767 / 32768, -1]]


def test_unknown_format_lists_what_is_taken():
    with pytest.raises(AvsolError) as caught:
        pcm_to_float(b'', 'MP3', 1)
    text = str(caught.value)
    assert "'MP3'" in text and '\n' not in text
    for name in ('S8', 'U8', 'S16LE', 'U16BE', 'S24LE', 'S24_32BE', 'U20_32LE', 'F32LE', 'F64BE'):
        assert name in text


@pytest.mark.parametrize(
    'size, name, channels, unit',
    [(3, 'S16LE', 1, 2), (6, 'S16LE', 2, 4), (8, 'S24LE', 1, 3), (7, 'F64LE', 1, 8)],
)
def test_half_a_sample_frame_is_refused(size, name, channels, unit):
    with pytest.raises(AvsolError, match=f'is {size} bytes; expected a multiple of {unit} '):
        pcm_to_float(bytes(size), name, channels)


@pytest.mark.parametrize('channels', [0, -1, 1.5, None])
def test_channels_are_a_positive_integer(channels):
    with pytest.raises(AvsolError, match='channels'):
        pcm_to_float(b'', 'S16LE', channels)


# ---------------------------------------------------------------- resampling


def torchaudio_resample(samples, rate):
    """Resample a whole signal in double precision by another's implementation."""
    functional = pytest.importorskip('torchaudio.functional')
    whole = torch.from_numpy(samples.astype(np.float64))
    return functional.resample(whole, rate, SAMPLE_RATE).numpy()


def run(resampler, samples, cuts):
    pieces = [resampler.process(piece) for piece in np.split(samples, sorted(cuts))]
    return np.concatenate([*pieces, resampler.flush()])


@pytest.mark.parametrize('rate', [*RATES, 12_350, 44_150])
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_chunks_give_what_the_whole_signal_gives(rate, data):
    count = data.draw(st.integers(0, 2500))
    # Equal cuts make empty chunks, neighbours make chunks of one sample.
    cuts = data.draw(st.lists(st.integers(0, count), max_size=12))
    seed = data.draw(st.integers(0, 2**31))
    samples = np.random.default_rng(seed).uniform(-1, 1, count).astype(np.float32)
    got = run(StreamResampler(rate), samples, cuts)
    assert got.dtype == np.float32
    assert len(got) == math.ceil(Fraction(count * SAMPLE_RATE, rate))
    assert np.array_equal(got, run(StreamResampler(rate), samples, []))  # to the last bit
    if count:
        want = torchaudio_resample(samples, rate)
        assert got.shape == want.shape
        assert np.abs(got - want).max() < 2e-6


@pytest.mark.parametrize('rate', RATES)
def test_single_samples_and_long_chunks_give_the_same(rate):
    samples = np.random.default_rng(rate).uniform(-1, 1, 20_000).astype(np.float32)
    whole = run(StreamResampler(rate), samples, [])
    resampler = StreamResampler(rate)
    pieces = [resampler.process(samples[n : n + 1]) for n in range(3000)]
    pieces += [resampler.process(samples[3000:]), resampler.flush()]
    assert np.array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize('rate', RATES)
def test_resampling_adds_no_delay_and_keeps_level(rate):
    # A sine of 440.5 Hz must come out as the same sine at the times m / 16000.
    def sine(rate, count):
        return np.sin(2 * np.pi * 440.5 * np.arange(count) / rate)

    got = run(StreamResampler(rate), sine(rate, rate // 2).astype(np.float32), [1, 77])
    want = sine(SAMPLE_RATE, len(got))
    assert np.abs(got - want)[100:-100].max() < 5e-3
    # What cannot be had at 16 kHz does not fold back.
    if rate >= 32_000:
        high = np.sin(2 * np.pi * 11_000 * np.arange(rate // 2) / rate).astype(np.float32)
        assert np.abs(run(StreamResampler(rate), high, []))[100:-100].max() < 2e-2


@pytest.mark.parametrize('rate', RATES)
def test_little_is_held_back(rate):
    resampler = StreamResampler(rate)
    came = sum(len(resampler.process(np.zeros(rate // 100, np.float32))) for _ in range(100))
    received = rate // 100 * 100
    due = math.ceil(received * SAMPLE_RATE / rate)
    assert 0 <= due - came <= SAMPLE_RATE // 1000
    assert len(resampler.flush()) == due - came
    assert len(resampler.flush()) == 0


def test_after_flush_another_stream_begins():
    samples = np.random.default_rng(0).uniform(-1, 1, 500).astype(np.float32)
    resampler = StreamResampler(44_100)
    first = run(resampler, samples, [100])
    assert np.array_equal(run(resampler, samples, [3]), first)


def test_output_does_not_share_the_callers_memory():
    samples = np.ones(10, np.float32)
    got = StreamResampler(SAMPLE_RATE).process(samples)
    samples[:] = 0
    assert got.tolist() == [1] * 10


@pytest.mark.parametrize('rate', [0, -8000, 44_100.5, '44100', 768_001])
def test_rates_are_checked(rate):
    with pytest.raises(AvsolError, match='rate'):
        StreamResampler(rate)
    with pytest.raises(AvsolError, match='rate'):
        AudioStream(rate, 1)


@pytest.mark.parametrize('samples', [np.zeros(3), np.zeros((3, 1), np.float32), [0.0]])
def test_resampler_takes_float32_only(samples):
    with pytest.raises(AvsolError, match='float32'):
        StreamResampler(8000).process(samples)


# ---------------------------------------------------------------- slews


def tone(hertz, rate, at):
    return np.sin(2 * np.pi * hertz * np.asarray(at) / rate)


def read_at(rate, slews, count):
    """Say for each output at which input it is, slews being (first output, samples) in order."""
    at = np.arange(count) * (rate / SAMPLE_RATE)
    for first, samples in slews:
        length = -(-abs(samples) * 200 * SAMPLE_RATE // rate)
        at -= samples * np.clip((np.arange(count) - first) / length, 0, 1)
    return at


@pytest.mark.parametrize('hertz', [440, 3000])
@pytest.mark.parametrize('rate', RATES)
def test_a_slew_reads_slower_or_faster_and_adds_no_noise(rate, hertz):
    if hertz > 0.4 * rate:
        return
    signal = tone(hertz, rate, np.arange(4 * rate)).astype(np.float32)
    resampler, out, slews = StreamResampler(rate), [], []
    done = 0
    for number, samples in enumerate((0, rate // 500, -rate // 300, 1)):
        if number:
            first = sum(map(len, out))
            resampler.slew(samples)
            slews.append((first, samples))
        out.append(resampler.process(signal[done : done + rate]))
        done += rate
    got = np.concatenate([*out, resampler.flush()])
    moved = sum(samples for _, samples in slews)
    assert len(got) == math.ceil(Fraction((4 * rate + moved) * SAMPLE_RATE, rate))
    want = tone(hertz, rate, read_at(rate, slews, len(got)))
    error = (got - want)[100:-100]
    plain = run(StreamResampler(rate), signal, [])
    usual = (plain - tone(hertz, rate, np.arange(len(plain)) * (rate / SAMPLE_RATE)))[100:-100]
    # -50 dB at the worst, where equal rates are no longer copied.
    assert np.std(error) < max(1.5 * np.std(usual), 3e-3)
    assert np.abs(error).max() < max(1.2 * np.abs(usual).max(), 1.5e-2)


@pytest.mark.parametrize('rate', RATES)
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_slews_do_not_depend_on_the_chunks(rate, data):
    count = data.draw(st.integers(1, 6000))
    samples = np.random.default_rng(count).uniform(-1, 1, count).astype(np.float32)
    # A slew is ordered between two inputs.
    orders = data.draw(st.dictionaries(st.integers(0, count), st.integers(-6, 6), max_size=4))
    cuts = set(data.draw(st.lists(st.integers(0, count), max_size=10)))

    def play(cuts):
        resampler, out = StreamResampler(rate), []
        places = sorted({0, count, *orders, *cuts})
        for begin, end in zip(places, [*places[1:], count], strict=True):
            resampler.slew(orders.get(begin, 0))
            out.append(resampler.process(samples[begin:end]))
        return np.concatenate([*out, resampler.flush()])

    assert np.array_equal(play(cuts), play(()))


def test_a_slew_of_years_is_exact():
    # Numbers beyond 64 bits: the same as at the start.
    rate = 44_100
    signal = np.random.default_rng(0).uniform(-1, 1, 40_000).astype(np.float32)
    early, late = StreamResampler(rate), StreamResampler(rate)
    outputs = 160 * 10**15
    inputs = outputs * rate // SAMPLE_RATE
    late._emitted, late._received = outputs, inputs
    late._held_from += inputs
    for resampler in (early, late):
        resampler.slew(50)
    assert np.array_equal(early.process(signal), late.process(signal))


# ---------------------------------------------------------------- stamped streams


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


# ---------------------------------------------------------------- log-mel


def mel(hertz):
    return 1127.0 * math.log(1.0 + hertz / 700.0)


def slow_filterbank():
    """Make VGGish's triangles band by band and bin by bin, (257, 64) float64."""
    bank = np.zeros((257, 64))
    step = (mel(7500) - mel(125)) / 65
    for band in range(64):
        left = mel(125) + band * step
        for k in range(1, 257):
            position = (mel(k * 16_000 / 512) - left) / step  # 0 left, 1 top, 2 right
            bank[k, band] = max(0.0, min(position, 2 - position))
    return bank


def slow_log_mel(samples):
    """Compute VGGish's log-mel frame by frame with a plain discrete Fourier transform."""
    n = np.arange(400)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / 400)
    transform = np.exp(-2j * np.pi * np.outer(np.arange(257), n) / 512)
    bank = slow_filterbank()
    rows = []
    start = 0
    while start + 400 <= len(samples):
        magnitude = np.abs(transform @ (samples[start : start + 400].astype(np.float64) * hann))
        rows.append(np.log(magnitude @ bank + 0.01))
        start += 160
    return np.array(rows)


def sounds():
    random = np.random.default_rng(3)
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    return np.stack(
        [
            random.uniform(-1, 1, SAMPLE_RATE),
            np.sin(2 * np.pi * 440 * time),
            np.sin(2 * np.pi * (100 + 3900 * time) * time) * np.exp(-3 * time),
            np.zeros(SAMPLE_RATE),
            np.full(SAMPLE_RATE, 0.5),
            1e-4 * random.normal(size=SAMPLE_RATE),
        ]
    ).astype(np.float32)


def test_log_mel_is_vggish_by_definition():
    batch = sounds()
    got = LogMel()(torch.from_numpy(batch))
    assert got.shape == (6, 98, 64) and got.dtype == torch.float32
    want = np.stack([slow_log_mel(samples) for samples in batch])
    assert np.abs(got.numpy() - want).max() < 1e-3
    assert np.allclose(got[3].numpy(), math.log(0.01))  # silence


def test_filterbank_is_the_definition():
    bank = LogMel().mel.numpy()
    assert np.abs(bank - slow_filterbank()).max() < 1e-6
    assert not bank[0].any()
    assert bank.max() <= 1 and bank.min() == 0


def test_filterbank_beside_torchaudios():
    # torchaudio has the same edges (2595 log10 is 1127 ln within 2e-5) but draws the triangles
    # straight over hertz, VGGish over mel: equal at feet and top, and in between apart
    # by at most 0.0044.
    functional = pytest.importorskip('torchaudio.functional')
    other = functional.melscale_fbanks(257, 125.0, 7500.0, 64, 16_000, None, 'htk').numpy()
    difference = np.abs(LogMel().mel.numpy() - other).max()
    assert 1e-3 < difference < 5e-3


@given(st.integers(400, 3000))
@settings(max_examples=20, deadline=None)
def test_number_of_frames(count):
    assert LogMel()(torch.zeros(2, count)).shape == (2, 1 + (count - 400) // 160, 64)


def test_log_mel_does_not_depend_on_the_batch():
    batch, module = torch.from_numpy(sounds()), LogMel()
    together = module(batch)
    for one, samples in zip(together, batch, strict=True):
        assert torch.allclose(module(samples[None])[0], one, atol=1e-5)
        assert torch.allclose(module(samples), one, atol=1e-5)


def test_log_mel_stays_float32_and_out_of_checkpoints():
    module, batch = LogMel(), torch.from_numpy(sounds())
    want = module(batch)
    assert not module.state_dict()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(module(batch), want)
    for cast in (torch.nn.Sequential(LogMel()).half(), LogMel().to(torch.bfloat16)):
        got = cast(batch)
        assert got.dtype == torch.float32 and torch.equal(got, want)
    assert module(batch.double()).dtype == torch.float32


def test_too_little_sound_for_a_frame():
    with pytest.raises(AvsolError, match='at least 400'):
        LogMel()(torch.zeros(1, 399))
