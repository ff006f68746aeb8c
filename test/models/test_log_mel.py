"""The log-mel spectrogram is VGGish's, by definition."""

import math
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avsol_ros.errors import AvsolError
from avsol_ros.models import log_mel
from avsol_ros.models.log_mel import LogMel
from avsol_ros.streams.windows import SAMPLE_RATE


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


def float32_log_mel(samples):
    """
    Compute it in float32 as models before torchaudio did, (..., n) to (..., frames, 64).

    Published checkpoints were trained on these numbers.
    """
    n = np.arange(400)
    hann = torch.from_numpy((0.5 - 0.5 * np.cos(2 * np.pi * n / 400)).astype(np.float32))
    bank = torch.from_numpy(numpy_filterbank())
    frames = samples.float().unfold(-1, 400, 160) * hann
    magnitude = torch.fft.rfft(frames, n=512).abs()
    return torch.log(magnitude @ bank + 0.01)


def numpy_filterbank():
    """Make VGGish's triangles in float64, all at once, as float32 (257, 64)."""
    bins = 1127.0 * np.log1p(np.arange(257) * (16_000 / 512) / 700.0)[:, None]
    edges = np.linspace(*(1127.0 * np.log1p(np.array([125.0, 7500.0]) / 700.0)), 66)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    weights = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    weights = np.maximum(weights, 0.0)
    weights[0] = 0.0
    return weights.astype(np.float32)


@pytest.mark.parametrize('shape', [(16_000,), (1, 16_000), (3, 2, 16_000), (2, 559), (2, 560)])
def test_numbers_are_those_that_models_were_trained_on(shape):
    module = LogMel()
    assert torch.equal(module.mel, torch.from_numpy(numpy_filterbank()))
    random = np.random.default_rng(len(shape))
    noise = random.uniform(-1, 1, shape).astype(np.float32)
    tone = np.sin(0.17 * np.arange(shape[-1])).astype(np.float32)
    for samples in (noise, 1e-5 * noise, np.broadcast_to(tone, shape), 0 * noise):
        samples = torch.from_numpy(samples.astype(np.float32))
        assert torch.equal(module(samples), float32_log_mel(samples))  # to the last bit


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
def test_a_gpu_gives_the_same_numbers():
    batch = torch.from_numpy(sounds())
    got = LogMel().cuda()(batch.cuda())
    assert got.is_cuda
    torch.testing.assert_close(got.cpu(), LogMel()(batch), atol=1e-3, rtol=0)


def test_torchaudio_that_cannot_be_imported_is_told_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, 'torchaudio.functional', None)
    log_mel.import_torchaudio.cache_clear()
    with pytest.raises(AvsolError, match='torchaudio.*pip install torch torchaudio, both'):
        LogMel()
    log_mel.import_torchaudio.cache_clear()


def test_other_threads_keep_their_default_type():
    with log_mel._Float64Ranges(), ThreadPoolExecutor(1) as pool:
        assert torch.arange(2.0).dtype == torch.float64
        assert pool.submit(torch.arange, 2.0).result().dtype == torch.float32


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
