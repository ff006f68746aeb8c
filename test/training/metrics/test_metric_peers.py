"""cIoU, AP, max-F1, LocAcc and pIA against counting sample by sample."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc

from avsol_ros.errors import AvsolError
from avsol_ros.training.metrics.peer_accumulators import (
    ConsensusIoU,
    ExtendedScores,
    NegativeAudioScores,
)
from avsol_ros.training.metrics.peers import (
    box_size_threshold,
    ciou,
    detection_scores,
    harmonic_mean,
    image_area,
    median_threshold,
    quiet_auc,
    sample_confidence,
    success_auc,
    universal_threshold,
)

THRESHOLDS = [0.05 * i for i in range(21)]


def maps_and_masks(seed: int, count: int = 30, side: int = 12):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        mask = np.zeros((side, side), bool)
        (x0, x1), (y0, y1) = (np.sort(rng.choice(side + 1, 2, replace=False)) for _ in 'xy')
        mask[y0:y1, x0:x1] = True
        yield rng.random((side, side), np.float32) + mask * rng.choice([0, 0.5]), mask


def plain(scores) -> dict[str, float]:
    return {key: float(value) for key, value in scores.items()}


@pytest.mark.parametrize(
    'pixels, expected', [([[3.0, 1.0, 2.0]], 2.0), ([[3.0, 1.0, 2.0, 4.0]], 3.0), ([[5.0]], 5.0)]
)
def test_median_keeps_the_hotter_half(pixels, expected):
    assert median_threshold(np.array(pixels)) == expected


def test_adaptive_threshold_keeps_as_many_pixels_as_the_mask_has():
    heatmap = np.random.default_rng(0).permutation(100).reshape(10, 10)
    for pixels in (1, 7, 99, 100):
        mask = (np.arange(100) < pixels).reshape(10, 10)
        assert (heatmap >= box_size_threshold(heatmap, mask)).sum() == pixels
    assert (heatmap >= box_size_threshold(heatmap, np.zeros((10, 10)))).sum() == 50


@pytest.mark.parametrize('seed', range(3))
def test_ciou_counts_pixels(seed):
    for heatmap, mask in maps_and_masks(seed):
        chosen = {i for i, v in enumerate(heatmap.ravel()) if v >= 0.7}
        truth = set(np.flatnonzero(mask))
        expected = len(chosen & truth) / len(chosen | truth)
        assert ciou(heatmap, mask, 0.7) == pytest.approx(expected)


def test_ciou_of_annotators_that_disagree_and_of_nothing():
    heatmap = np.array([[1.0, 1.0, 1.0, 0.0]])
    truth = np.array([[1.0, 0.5, 0.0, 0.5]])
    assert ciou(heatmap, truth, 0.5) == pytest.approx(1.5 / (2 + 1))
    assert ciou(heatmap, np.zeros((1, 4)), 2) == 0
    with pytest.raises(AvsolError, match='expected equal shapes'):
        ciou(heatmap, truth.T, 0.5)


@pytest.mark.parametrize('threshold', ['median', 'adaptive', 0.6])
def test_consensus_iou_over_samples(threshold):
    metric, values = ConsensusIoU(threshold), []
    for heatmap, mask in maps_and_masks(4):
        metric.update(torch.from_numpy(heatmap), mask)
        order = np.sort(heatmap.ravel())
        cut = {
            'median': order[order.size // 2],
            'adaptive': order[order.size - mask.sum()],
            0.6: 0.6,
        }[threshold]
        values.append(((heatmap >= cut) & mask).sum() / ((heatmap >= cut) | mask).sum())
    values = np.array(values)
    curve = [(values >= step).mean() for step in THRESHOLDS]
    assert plain(metric.compute()) == pytest.approx(
        {'ciou@0.5': (values >= 0.5).mean(), 'auc': auc(THRESHOLDS, curve), 'mean': values.mean()},
        abs=1e-6,
    )
    assert success_auc(values) == pytest.approx(auc(THRESHOLDS, curve))


def test_unknown_thresholds_are_refused():
    with pytest.raises(AvsolError, match="'mean'; expected median, adaptive or a number"):
        ConsensusIoU('mean')


def test_confidence_is_the_mean_of_the_hottest_quarter():
    heatmap = np.random.default_rng(0).permutation(64).reshape(8, 8)
    assert sample_confidence(heatmap) == np.mean(range(48, 64))
    assert sample_confidence(np.array([[1.0, 2.0, 3.0, 4.0, 5.0]])) == 4.5  # a quarter, rounded up


def slow_detection(confidences, cious, sounding, thresholds):
    """Precision and recall by the words of SLAVC, one sample after the other."""
    rows = []
    for threshold in thresholds:
        true = wrong = missed = 0
        for confidence, value, sounds in zip(confidences, cious, sounding):
            if confidence >= threshold:
                if sounds and value >= 0.5:
                    true += 1
                else:
                    wrong += 1
            elif sounds:
                missed += 1
        rows.append(
            (
                true / (true + wrong) if true + wrong else 1.0,
                true / (true + missed) if true + missed else 1.0,
            )
        )
    return rows


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.booleans())
@settings(deadline=None, max_examples=100)
def test_detection_scores_count_as_slavc_does(seed, count, published):
    rng = np.random.default_rng(seed)
    confidences = rng.integers(0, rng.choice([3, 1000]), count) / 7
    cious, sounding = rng.random(count), rng.random(count) < rng.choice([0.2, 0.6, 1])
    ascending = sorted(confidences)
    grid = ascending[:-1][::-1] if published else sorted(set(ascending), reverse=True)
    few = ascending[:: max(1, count // 10)] if published else grid
    rows = slow_detection(confidences, cious, sounding, grid)
    area, last = 0.0, 0.0
    if published:
        for i in range(len(rows) - 1):
            area += max(p for p, _ in rows[i:]) * (rows[i + 1][1] - rows[i][1])
    else:
        for i, (_, recall) in enumerate(rows):
            area += max(p for p, _ in rows[i:]) * (recall - last)
            last = recall
    best = max(
        2 * p * r / (p + r) if p + r else 0
        for p, r in slow_detection(confidences, cious, sounding, few)
    )
    scores = detection_scores(confidences, cious, sounding, published_grid=published)
    assert scores.average_precision == pytest.approx(area)
    assert scores.max_f1 == pytest.approx(best)
    if sounding.any():
        assert scores.loc_acc == pytest.approx((cious[sounding] >= 0.5).mean())
    else:
        assert math.isnan(scores.loc_acc)


def test_detection_scores_of_nothing_and_of_nonsense():
    assert all(math.isnan(v) for v in vars(detection_scores([], [], [])).values())
    with pytest.raises(AvsolError, match='one of each per sample'):
        detection_scores([1, 2], [1], [True, True])
    with pytest.raises(AvsolError, match='a confidence is NaN'):
        detection_scores([math.nan], [1], [True])


@pytest.mark.filterwarnings('ignore:The ``compute`` method')
def test_extended_scores_over_samples():
    metric, rows = ExtendedScores(), []
    for number, (heatmap, mask) in enumerate(maps_and_masks(8)):
        truth = None if number % 3 == 0 else mask
        metric.update(heatmap, truth)
        rows.append(
            (
                sample_confidence(heatmap),
                ciou(heatmap, mask, median_threshold(heatmap)),
                truth is not None,
            )
        )
    expected = detection_scores(*np.array(rows).T)
    assert plain(metric.compute()) == pytest.approx(
        {'ap': expected.average_precision, 'max_f1': expected.max_f1, 'loc_acc': expected.loc_acc},
        abs=1e-6,
    )
    assert math.isnan(plain(ExtendedScores().compute())['ap'])


def test_image_area_and_its_auc():
    heatmap = np.array([[0.2, 0.5, 0.6, 0.9]])
    assert image_area(heatmap, 0.5) == 0.5
    areas = np.random.default_rng(0).random(50)
    assert quiet_auc(areas) == pytest.approx(
        auc(THRESHOLDS, [(areas <= step).mean() for step in THRESHOLDS])
    )
    assert (quiet_auc([0, 0]), quiet_auc([1, 1])) == pytest.approx((1, 0.025))
    assert universal_threshold([0.1, 0.2, 0.3, 0.4, 0.5]) == 0.4
    for peaks in ([], [0.1, math.nan]):
        with pytest.raises(AvsolError, match='expected the highest value of each map'):
            universal_threshold(peaks)


def test_negative_audio_scores_per_kind():
    metric, areas, cious = NegativeAudioScores(0.6), {'silence': [], 'noise': []}, []
    for number, (heatmap, mask) in enumerate(maps_and_masks(9)):
        kind = (None, 'silence', 'noise')[number % 3]
        metric.update(heatmap, kind, mask if kind is None else None)
        if kind:
            areas[kind].append((heatmap > 0.6).mean())
        else:
            cious.append(ciou(heatmap, mask, 0.6))
    scores = plain(metric.compute())
    for kind, values in areas.items():
        assert scores[f'pia/{kind}'] == pytest.approx(np.mean(values))
        assert scores[f'auc_n/{kind}'] == pytest.approx(quiet_auc(values))
        assert scores[f'f/{kind}'] == pytest.approx(
            harmonic_mean(np.mean(cious), 1 - np.mean(values))
        )
    assert scores['auc'] == pytest.approx(success_auc(cious))
    assert math.isnan(scores['pia/offscreen'])
    with pytest.raises(AvsolError, match="'rain'; expected one of silence, noise, offscreen"):
        metric.update(np.ones((2, 2)), 'rain')


@pytest.mark.parametrize('build', [ConsensusIoU, lambda: NegativeAudioScores(0.5)])
def test_merged_states_are_the_state_of_all(build):
    def fill(samples):
        metric = build()
        for heatmap, mask in samples:
            if isinstance(metric, ConsensusIoU):
                metric.update(heatmap, mask)
            else:
                metric.update(heatmap, 'noise')
        return metric

    samples = list(maps_and_masks(10))
    whole, merged = fill(samples), fill(samples[:11])
    merged.merge_state(fill(samples[11:]))
    for name in whole.metric_state:
        torch.testing.assert_close(getattr(merged, name), getattr(whole, name))
