"""Maps that do not hear, against slow versions of themselves."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from avsol_ros.localization import upsample
from avsol_ros.training.metrics.deaf_maps import (
    DeafMaps,
    centre_prior,
    deaf_map,
    motion_map,
    random_maps,
    standardized,
)


def frames(count, height=60, width=80, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8))


def slow_motion(images):
    """By single differences, and blurred by SciPy."""
    small = [cv2.resize(image, (112, 112)).astype(float) / 255 for image in images]
    total = np.zeros((112, 112))
    for before, after in zip(small, small[1:]):
        for channel in range(3):
            total += np.abs(after[..., channel] - before[..., channel]) / 3
    mean = total / (len(small) - 1)
    return ndimage.gaussian_filter(mean, 6, mode='mirror', truncate=4)


def slow_standard(heat):
    values = [float(v) for v in heat.ravel()]
    mean = sum(values) / len(values)
    deviation = (sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5
    return np.array([(v - mean) / deviation for v in values]).reshape(heat.shape)


def test_the_centre_prior_is_a_gaussian_of_a_quarter_of_the_picture():
    for height, width in ((5, 7), (126, 224), (1, 1)):
        heat = centre_prior(height, width)
        for y in (0, height // 2, height - 1):
            for x in (0, width // 2, width - 1):
                away = ((y + 0.5 - height / 2) / (height / 4)) ** 2
                away += ((x + 0.5 - width / 2) / (width / 4)) ** 2
                assert heat[y, x] == pytest.approx(np.exp(-away / 2), rel=1e-5)
        assert heat.dtype == np.float32


def test_motion_is_the_mean_difference_of_neighbouring_frames():
    images = frames(8)
    np.testing.assert_allclose(motion_map(images), slow_motion(images), atol=1e-4)
    # Of more frames so many are taken, the first and the last among them.
    many = frames(22, seed=1)
    np.testing.assert_allclose(motion_map(many), slow_motion(many[::3]), atol=1e-4)
    assert not motion_map(images[:1]).any() and not motion_map([images[0]] * 8).any()


def test_motion_is_where_something_moves():
    images = [np.full((120, 240, 3), 90, np.uint8) for _ in range(8)]
    for k, image in enumerate(images):
        image[80:100, 150 + 5 * k : 170 + 5 * k] = 250
    y, x = np.unravel_index(motion_map(images).argmax(), (112, 112))
    assert 80 <= y / 112 * 120 <= 100 and 150 <= x / 112 * 240 <= 205


def test_the_deaf_map_adds_three_standardized_maps():
    rng = np.random.default_rng(3)
    maps = {
        name: rng.normal(level, spread, (9, 16)).astype(np.float32)
        for name, level, spread in (
            ('motion', 0.01, 1e-3),
            ('confidence', 7, 2),
            ('centre prior', 0, 1),
            ('random', 0, 100),
        )
    }
    expected = sum(slow_standard(maps[name]) for name in ('motion', 'confidence', 'centre prior'))
    np.testing.assert_allclose(deaf_map(maps), expected, atol=1e-4)
    assert not standardized(np.full((4, 5), 0.3, np.float32)).any()
    maps['motion'][:] = 0  # a still picture
    expected = slow_standard(maps['confidence']) + slow_standard(maps['centre prior'])
    np.testing.assert_allclose(deaf_map(maps), expected, atol=1e-4)


def test_all_maps_of_a_window():
    images, seen = frames(8), []

    def confidence(image):
        seen.append(image)
        return np.arange(6, dtype=np.float32).reshape(2, 3)

    deaf = DeafMaps(4, confidence)
    assert deaf.names == ('centre prior', 'random', 'motion', 'confidence', 'deaf')
    maps = deaf(2, images, 30, 40)
    assert tuple(maps) == deaf.names
    assert all(heat.shape == (30, 40) and heat.dtype == np.float32 for heat in maps.values())
    assert seen[0] is images[4]
    np.testing.assert_array_equal(maps['random'], upsample(random_maps(3, 4)[2], 30, 40))
    np.testing.assert_array_equal(maps['motion'], upsample(motion_map(images), 30, 40))
    np.testing.assert_array_equal(maps['deaf'], deaf_map(maps))
    # In any order the same random maps.
    np.testing.assert_array_equal(maps['random'], DeafMaps(4)(2, images, 30, 40)['random'])


def test_maps_that_need_what_is_not_there_are_left_out():
    assert DeafMaps(0).names == ('centre prior', 'random', 'motion')
    blind = DeafMaps(0, lambda image: image, pictures=False)
    assert blind.names == ('centre prior', 'random')
    assert tuple(blind(0, (), 5, 6)) == blind.names
