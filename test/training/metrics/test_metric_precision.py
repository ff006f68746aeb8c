"""HmBoxAUC of adversarial maps against scikit-learn and against counting by threshold."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from avsol_ros.errors import AvsolError
from avsol_ros.training.metrics import box_mask, frame_scores, hmbox_auc, peak_in_box
from avsol_ros.training.metrics.timing import draw_maps, draw_masks, main


def slow_hmbox_auc(heatmap, mask):
    """Equations 1 and 2, threshold by threshold."""
    area = last = 0.0
    for threshold in sorted(set(heatmap.ravel().tolist()), reverse=True):
        chosen = heatmap >= threshold
        hits = (chosen & mask).sum()
        area += hits / chosen.sum() * (hits / mask.sum() - last)
        last = hits / mask.sum()
    return area


def ranks(heatmap):
    """Values that scikit-learn accepts, in the order of any that it refuses."""
    return np.unique(np.asarray(heatmap, np.float64) + 0.0, return_inverse=True)[1].ravel()


FLOAT32 = np.finfo(np.float32)
EXTREMES = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    float(FLOAT32.max),
    float(FLOAT32.min),
    float(FLOAT32.tiny),
    float(FLOAT32.smallest_subnormal),
    -float(FLOAT32.smallest_subnormal),
    float(np.nextafter(np.float32(0.5), np.float32(1))),
    0.5,
]


@st.composite
def adversarial(draw):
    """Maps of few or of extreme values, of both signs, and any number of masks."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(['extremes', 'float64', 'neighbours', 'normal', 'integers']))
    if kind == 'extremes':
        heatmap = rng.choice(EXTREMES, (height, width)).astype(np.float32)
    elif kind == 'float64':
        heatmap = rng.choice([5e-324, -5e-324, 1e308, -1e308, 1 + 2**-52, 1.0], (height, width))
    elif kind == 'neighbours':
        bits = np.float32(0.7).view(np.uint32) + rng.integers(0, 4, (height, width), np.uint32)
        heatmap = bits.view(np.float32)
    elif kind == 'normal':
        heatmap = rng.standard_normal((height, width)).astype(
            draw(st.sampled_from([np.float16, np.float32, np.float64]))
        )
    else:
        heatmap = rng.integers(-3, 3, (height, width)).astype(
            draw(st.sampled_from([np.int8, np.int64]))
        )
    count = draw(st.sampled_from([1, 2, 8, 9, 17, 33, 70]))
    return heatmap, rng.random((count, height, width)) < draw(st.sampled_from([0.1, 0.5, 0.9]))


@given(adversarial())
@settings(deadline=None, max_examples=200)
def test_many_masks_of_adversarial_maps(case):
    heatmap, masks = case
    areas = hmbox_auc(heatmap, masks)
    assert areas.dtype == np.float64 and areas.shape == (len(masks),)
    for area, mask in zip(areas, masks):
        if mask.any():
            expected = average_precision_score(mask.ravel(), ranks(heatmap))
            assert area == pytest.approx(expected, abs=1e-12)
        else:
            assert np.isnan(area)


@given(adversarial())
@settings(deadline=None, max_examples=50)
def test_adversarial_maps_follow_the_equations(case):
    heatmap, masks = case
    mask = masks[0]
    mask.flat[0] = True
    assert hmbox_auc(heatmap, mask) == pytest.approx(slow_hmbox_auc(heatmap, mask), abs=1e-12)


@pytest.mark.parametrize('kind', ['live', 'noise', 'logits', 'levels'])
@pytest.mark.parametrize('size, count', [(224, 1), (224, 10), (57, 40)])
def test_maps_of_real_size(kind, size, count):
    rng = np.random.default_rng(5)
    heatmap, masks = draw_maps(kind, 1, size, rng)[0], draw_masks(count, size, rng)
    expected = [average_precision_score(mask.ravel(), heatmap.ravel()) for mask in masks]
    np.testing.assert_allclose(hmbox_auc(heatmap, masks), expected, rtol=0, atol=1e-13)


def test_every_half_float_is_sorted_as_it_compares():
    values = np.arange(2**16, dtype=np.uint16).view(np.float16)
    heatmap = values[np.isfinite(values)].reshape(2, -1)
    mask = np.random.default_rng(0).random(heatmap.shape) < 0.3
    expected = average_precision_score(mask.ravel(), ranks(heatmap))
    assert hmbox_auc(heatmap, mask) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_any_float(dtype):
    generator = torch.Generator().manual_seed(0)
    heatmap = torch.rand(40, 30, generator=generator).to(dtype).requires_grad_()
    mask = torch.rand(40, 30, generator=generator) < 0.2
    expected = average_precision_score(
        mask.numpy().ravel(), heatmap.detach().double().numpy().ravel()
    )
    assert hmbox_auc(heatmap, mask) == pytest.approx(expected, abs=1e-12)


def test_zeros_of_both_signs_are_one_threshold():
    mask = np.array([[True, False, False, False]])
    assert hmbox_auc(np.array([[0.0, -0.0, -0.0, 0.0]]), mask) == 0.25
    assert hmbox_auc(np.array([[-0.0, 0.0, 1.0, -1.0]]), mask) == pytest.approx(1 / 3)


def test_layout_of_memory_does_not_matter():
    rng = np.random.default_rng(1)
    heatmap, mask = rng.random((20, 30), np.float32), rng.random((20, 30)) < 0.4
    expected = hmbox_auc(heatmap, mask)
    assert hmbox_auc(np.asfortranarray(heatmap), mask) == expected
    assert hmbox_auc(heatmap[::-1, ::-1], mask[::-1, ::-1]) == expected
    assert hmbox_auc(heatmap, np.asfortranarray(mask).astype(np.uint8) * 255) == expected


def test_inputs_stay_as_they_are():
    heatmap, masks = np.array([[-0.0, 0.5], [0.2, -1]], np.float32), np.ones((3, 2, 2), bool)
    before = heatmap.tobytes()
    frame_scores(heatmap, masks)
    assert heatmap.tobytes() == before and masks.all()


def test_empty_and_full_masks():
    heatmap = np.arange(6.0).reshape(2, 3)
    scores = frame_scores(heatmap, np.array([np.zeros((2, 3)), np.ones((2, 3))]))
    assert np.isnan(scores.areas[0]) and np.isnan(scores.signals[0]) and not scores.hits[0]
    assert (scores.areas[1], scores.signals[1], scores.hits[1], scores.peak) == (1, 5, True, 5)
    nothing = frame_scores(heatmap, np.empty((0, 2, 3), bool))
    assert len(nothing.areas) == len(nothing.hits) == 0 and nothing.peak == 5


def test_of_equal_peaks_the_first_counts():
    for first, second in itertools.combinations(range(12), 2):
        heatmap = np.zeros((3, 4))
        heatmap.flat[[first, second]] = 0.9
        masks = np.zeros((2, 3, 4), bool)
        masks[0].flat[first] = masks[1].flat[second] = True
        assert peak_in_box(heatmap, masks).tolist() == [True, False]


@pytest.mark.parametrize(
    'heatmap, message',
    [
        (np.array([[0, np.nan]]), '1 of 2 values of the heatmap are NaN or infinite'),
        (np.array([[np.inf, -np.inf, 1]]), '2 of 3 values'),
        (np.full((2, 2), np.inf, np.float16), '4 of 4 values'),
        (torch.tensor([[float('nan'), 0]], dtype=torch.bfloat16), '1 of 2 values'),
        (np.zeros((1, 2, 2)), r'shape \(1, 2, 2\)'),
        (np.zeros((0, 3)), r'shape \(0, 3\)'),
        (np.zeros((2, 2), complex), 'complex128'),
        (np.array([['a']]), 'holds <U1'),
    ],
)
def test_maps_that_are_refused(heatmap, message):
    for metric in (hmbox_auc, peak_in_box, frame_scores):
        with pytest.raises(AvsolError, match=message) as error:
            metric(heatmap, np.ones(tuple(heatmap.shape)[-2:], bool))
        assert '\n' not in str(error.value)


@pytest.mark.parametrize('shape', [(3, 2), (2,), (1, 1, 2, 3), (5, 3, 2)])
def test_masks_of_another_shape_are_refused(shape):
    with pytest.raises(AvsolError, match='expected equal shapes'):
        hmbox_auc(np.zeros((2, 3)), np.ones(shape, bool))


def test_two_boxes_share_a_mask_with_a_live_map():
    heatmap = draw_maps('live', 1, 64, np.random.default_rng(2))[0]
    mask = box_mask([(3, 4, 30, 40), (20, 20, 64, 64)], 64, 64)
    assert hmbox_auc(heatmap, mask) == pytest.approx(
        average_precision_score(mask.ravel(), heatmap.ravel()), abs=1e-13
    )


def test_benchmark_prints_both_times_and_their_ratio(capsys):
    assert (
        main(['--size', '32', '--frames', '10', '--rounds', '1', '--seeds', '3', '--maps', 'live'])
        == 0
    )
    title, header, _, *rows = capsys.readouterr().out.splitlines()
    assert 'HmBoxAUC at 32 x 32' in title and 'scikit-learn, ms' in header
    assert [row.split('|')[2].strip() for row in rows] == ['1', '10']
    assert all(float(row.split('|')[6]) > 0 and float(row.split('|')[8]) < 1e-12 for row in rows)


def test_benchmark_refuses_sizes_below_one():
    with pytest.raises(AvsolError, match='--size, --frames or --rounds is below 1'):
        main(['--rounds', '0'])
