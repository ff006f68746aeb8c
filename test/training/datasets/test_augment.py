"""Augmentation: a flip and a crop, one for all frames of a segment, and nothing else."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from avsol_ros.training.datasets.augment import RATIO, SCALE, augment, augmentation_rng, draw_crop

CHANCES = st.tuples(st.integers(0, 5), st.integers(0, 100), st.integers(0, 40_000))


def ramps(height, width):
    """Red tells the column, green the row, as shares of 255."""
    image = np.zeros((height, width, 3), np.float64)
    image[:, :, 0] = (np.arange(width) + 0.5) / width
    image[:, :, 1] = ((np.arange(height) + 0.5) / height)[:, None]
    return np.rint(image * 255).astype(np.uint8)


def region(picture):
    """Read off ramps which part of the picture is shown: left, right, top, bottom; flipped."""
    x = picture[:, :, 0].mean(axis=0) / 255
    y = picture[:, :, 1].mean(axis=1) / 255
    step_x, step_y = (x[-1] - x[0]) / (len(x) - 1), (y[-1] - y[0]) / (len(y) - 1)
    ends = x[0] - step_x / 2, x[-1] + step_x / 2
    return *sorted(ends), y[0] - step_y / 2, y[-1] + step_y / 2, x[-1] < x[0]


@settings(deadline=None)
@given(CHANCES, st.sampled_from([(120, 160), (256, 455), (90, 60)]))
def test_crop_is_within_its_bounds(chance, shape):
    frames = [ramps(*shape)] * 3
    out = augment(frames, 56, augmentation_rng(*chance))
    assert out.shape == (3, 56, 56, 3) and out.dtype == np.uint8
    assert (out == out[0]).all()
    left, right, top, bottom, _ = region(out[0])
    width, height = right - left, bottom - top
    slack = 0.03  # whole pixels, and 8 bits
    assert -slack < left and right < 1 + slack and -slack < top and bottom < 1 + slack
    assert SCALE[0] - 2 * slack < width * height < 1 + 2 * slack
    assert RATIO[0] * 0.9 < width / height < RATIO[1] * 1.1


@settings(deadline=None)
@given(CHANCES)
def test_the_same_chance_gives_the_same_pictures(chance):
    frames = [np.random.default_rng(i).integers(0, 256, (40, 60, 3), np.uint8) for i in range(2)]
    first = augment(frames, 32, augmentation_rng(*chance))
    assert np.array_equal(first, augment(frames, 32, augmentation_rng(*chance)))
    # Every frame by itself gets what it gets among others.
    assert np.array_equal(first[1:], augment(frames[1:], 32, augmentation_rng(*chance)))


def test_half_are_flipped_and_crops_differ():
    regions = [
        region(augment([ramps(60, 80)], 32, augmentation_rng(0, 1, segment))[0])
        for segment in range(400)
    ]
    flipped = sum(r[4] for r in regions)
    assert 140 < flipped < 260
    areas = np.array([(r[1] - r[0]) * (r[3] - r[2]) for r in regions])
    assert areas.min() < 0.55 and areas.max() > 0.9
    # Segments, epochs and seeds have chances of their own, and none that of drawing pairs.
    draws = {
        augmentation_rng(seed, epoch, segment).random()
        for seed in range(4)
        for epoch in range(4)
        for segment in range(4)
    }
    draws |= {
        np.random.default_rng([seed, epoch]).random() for seed in range(4) for epoch in range(4)
    }
    assert len(draws) == 80


def test_the_whole_picture_is_what_the_live_system_sees():
    frame = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    squeezed = cv2.resize(frame, (64, 64), interpolation=cv2.INTER_AREA)
    seen = {
        augment([frame], 64, augmentation_rng(0, 0, segment), scale=(1, 1), ratio=(1, 1))[
            0
        ].tobytes()
        for segment in range(20)
    }
    assert seen == {squeezed.tobytes(), squeezed[:, ::-1].tobytes()}


def test_an_impossible_crop_is_the_whole_picture():
    crop = draw_crop(np.random.default_rng(0), scale=(1.0, 1.0), ratio=(3.0, 4.0))
    assert crop == (0.0, 0.0, 1.0, 1.0)


def test_small_pictures_are_enlarged():
    assert augment([ramps(3, 2)], 16, augmentation_rng(0, 0, 0)).shape == (1, 16, 16, 3)
