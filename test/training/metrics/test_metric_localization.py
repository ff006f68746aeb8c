"""HmBoxAUC, PiBR and PNSR against scikit-learn and a slow reading of the paper's equations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from avsol_ros.errors import AvsolError
from avsol_ros.training.metrics import (
    box_mask,
    frame_scores,
    hmbox_auc,
    peak_in_box,
    score_frames,
)


def slow_hmbox_auc(heatmap, mask):
    """Equations 1 and 2, threshold by threshold."""
    area = last = 0.0
    for threshold in sorted(set(heatmap.ravel().tolist()), reverse=True):
        chosen = heatmap >= threshold
        hits = (chosen & mask).sum()
        recall = hits / mask.sum()
        area += hits / chosen.sum() * (recall - last)
        last = recall
    return area


@st.composite
def frames(draw):
    """Heatmaps with many ties, of several types, and masks with at least one pixel."""
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([1, 2, 5, 1000]))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    heatmap = (rng.integers(0, levels, (height, width)) / max(1, levels - 1)).astype(dtype)
    mask = rng.random((height, width)) < draw(st.floats(0, 1))
    mask.flat[rng.integers(mask.size)] = True
    return heatmap, mask


@given(frames())
@settings(deadline=None)
def test_hmbox_auc_is_average_precision(frame):
    heatmap, mask = frame
    expected = average_precision_score(mask.ravel(), heatmap.ravel().astype(np.float64))
    assert hmbox_auc(heatmap, mask) == pytest.approx(expected, abs=1e-9)


@given(frames())
@settings(deadline=None)
def test_hmbox_auc_follows_the_equations(frame):
    assert hmbox_auc(*frame) == pytest.approx(slow_hmbox_auc(*frame), abs=1e-9)


def test_extremes():
    mask = np.zeros((20, 30), bool)
    mask[5:10, 5:11] = True
    assert hmbox_auc(mask.astype(float), mask) == 1
    assert hmbox_auc(np.full(mask.shape, 0.3), mask) == pytest.approx(mask.mean())
    assert hmbox_auc(np.ones(mask.shape), np.ones(mask.shape, bool)) == 1
    assert np.isnan(hmbox_auc(np.ones(mask.shape), np.zeros(mask.shape, bool)))
    with pytest.raises(AvsolError, match=r'\(20, 30\).*\(3, 3\)'):
        hmbox_auc(mask, np.ones((3, 3), bool))


def test_peak_in_box():
    heatmap = np.zeros((4, 4))
    heatmap[2, 3] = 1
    assert peak_in_box(heatmap, box_mask([(3, 2, 4, 3)], 4, 4))
    assert not peak_in_box(heatmap, box_mask([(0, 0, 3, 4)], 4, 4))


@pytest.mark.parametrize('level', [0, 0.3])
def test_a_map_without_a_peak_hits_nothing(level):
    heatmap, everywhere = np.full((4, 5), level), np.ones((4, 5), bool)
    corner = box_mask([(0, 0, 1, 1)], 4, 5)
    assert not peak_in_box(heatmap, corner) and not peak_in_box(heatmap, everywhere)
    assert not frame_scores(heatmap, np.array([corner, everywhere])).hits.any()
    assert peak_in_box(np.where(corner, level + 0.1, heatmap), corner)


@pytest.mark.parametrize(
    'box, rows, columns',
    [
        ((1, 2, 3, 4), (2, 4), (1, 3)),
        ((0.4, 0.6, 1.6, 1.4), (1, 1), (0, 2)),
        ((-5, -5, 2, 1), (0, 1), (0, 2)),
        ((4, 4, 99, 99), (4, 6), (4, 8)),
        ((9, 9, 12, 12), (6, 6), (8, 8)),
    ],
)
def test_box_mask_takes_pixels_whose_centre_is_inside(box, rows, columns):
    expected = np.zeros((6, 8), bool)
    expected[slice(*rows), slice(*columns)] = True
    np.testing.assert_array_equal(box_mask([box], 6, 8), expected)


def test_several_boxes_are_one_mask():
    a, b = (0, 0, 2, 2), (4, 4, 6, 6)
    np.testing.assert_array_equal(
        box_mask([a, b], 6, 6), box_mask([a], 6, 6) | box_mask([b], 6, 6)
    )


def test_scores_average_over_frames_and_pnsr_is_a_ratio_of_mean_peaks():
    mask = box_mask([(0, 0, 1, 1)], 2, 2)
    inside, outside = np.zeros((2, 2)), np.zeros((2, 2))
    inside[0, 0], inside[1, 1] = 0.8, 0.5
    outside[0, 0], outside[1, 1] = 0.4, 0.9
    scores = score_frames([(inside, mask), (outside, mask), (outside, None), (inside * 0, None)])
    assert scores.pibr == 0.5
    assert scores.hmbox_auc == pytest.approx((1 + 0.5) / 2)
    assert scores.pnsr == pytest.approx(((0.9 + 0) / 2) / ((0.8 + 0.4) / 2))
    assert (scores.ave_frames, scores.other_frames) == (2, 2)


def test_without_frames_of_a_kind_scores_say_so():
    scores = score_frames([(np.ones((2, 2)), None)])
    assert np.isnan([scores.hmbox_auc, scores.pibr, scores.pnsr]).all()
