"""Chunks of any rate come out at 16 kHz as one signal, to the bit."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avsol_ros.errors import AvsolError
from avsol_ros.streams.resample import StreamResampler
from avsol_ros.streams.windows import SAMPLE_RATE

RATES = [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000]


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


@pytest.mark.parametrize('samples', [np.zeros(3), np.zeros((3, 1), np.float32), [0.0]])
def test_resampler_takes_float32_only(samples):
    with pytest.raises(AvsolError, match='float32'):
        StreamResampler(8000).process(samples)


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
