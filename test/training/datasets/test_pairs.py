"""Foreign sounds for AVC = no: never one's own, all alike, the same everywhere."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avsol_ros.errors import AvsolError
from avsol_ros.training.datasets.pairs import pairs

SEEDS = st.integers(0, 2**32)


@given(st.integers(2, 300), st.integers(0, 1000), SEEDS)
def test_each_gets_another_and_each_sound_is_used_once(segments, epoch, seed):
    partners = pairs(segments, epoch, seed)
    assert partners.dtype == np.int64
    assert not (partners == np.arange(segments)).any()
    assert sorted(partners) == list(range(segments))
    assert np.array_equal(partners, pairs(segments, epoch, seed))


@given(st.integers(30, 300), st.integers(0, 1000), SEEDS)
def test_every_epoch_and_seed_shuffles_anew(segments, epoch, seed):
    partners = pairs(segments, epoch, seed)
    for other in (pairs(segments, epoch + 1, seed), pairs(segments, epoch, seed + 1)):
        assert (partners == other).mean() < 0.3


def test_any_other_sound_is_as_likely():
    segments, epochs = 6, 6000
    counts = np.zeros((segments, segments), int)
    for epoch in range(epochs):
        counts[np.arange(segments), pairs(segments, epoch, 1)] += 1
    others = counts[~np.eye(segments, dtype=bool)]
    expected = epochs / (segments - 1)
    # Six standard deviations.
    assert np.abs(others - expected).max() < 6 * np.sqrt(expected * (1 - 1 / (segments - 1)))


def test_another_process_draws_the_same():
    code = 'from avsol_ros.training.datasets.pairs import pairs; print(pairs(50, 3, 7).tolist())'
    answer = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == str(pairs(50, 3, 7).tolist())


@pytest.mark.parametrize('segments', [0, 1])
def test_one_segment_has_no_partner(segments):
    with pytest.raises(AvsolError, match='at least 2'):
        pairs(segments, 0, 0)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=40), st.integers(0, 50))
def test_with_same_clip_1_every_segment_that_can_takes_another_time_of_its_clip(clips, seed):
    clips = np.array(clips)
    partners = pairs(len(clips), 0, seed, clips, 1.0)
    assert (partners != np.arange(len(clips))).all()
    for index, partner in enumerate(partners):
        assert (clips[partner] == clips[index]) or (clips == clips[index]).sum() == 1


def test_the_share_of_the_same_clip_is_what_was_asked():
    clips = np.arange(8000) // 4
    partners = pairs(len(clips), 3, 1, clips, 0.3)
    assert abs((clips[partners] == clips).mean() - 0.3) < 0.02
    assert np.array_equal(partners, pairs(len(clips), 3, 1, clips, 0.3))
    far = pairs(len(clips), 3, 1)
    assert (partners == far).mean() > 0.65  # the rest is left as it was
