"""What a reader of the pictures relies on: places, colours, sizes, and untouched cold parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avsol_ros.drawing import palette
from avsol_ros.drawing.heat_colours import draw_heatmap
from avsol_ros.drawing.overlay import draw_localization
from avsol_ros.drawing.waveform import draw_waveform, strip_height
from avsol_ros.localization import Box, WindowResult, visible_heat

SIZES = [(240, 320), (480, 640), (1920, 1080), (37, 23)]


def localization(heatmap, avc=0.9):
    return WindowResult(0, 1_000_000_000, avc, np.asarray(heatmap, np.float32))


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=30, deadline=None)
@given(st.integers(8, 90), st.integers(8, 90), st.integers(2, 20), st.integers(0, 2**32))
def test_cold_parts_keep_their_look(height, width, cells, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = image.copy()
    assert np.array_equal(draw_heatmap(image, np.zeros((cells, cells))), before)
    half = np.zeros((cells, 2))
    half[:, 0] = 1
    drawn = draw_heatmap(image, half)
    assert np.array_equal(image, before), 'the image that was given is left alone'
    quarter = width // 4
    assert np.array_equal(drawn[:, width - quarter :], before[:, width - quarter :])
    assert drawn.shape == image.shape and drawn.dtype == np.uint8


def test_more_heat_covers_more():
    image = np.full((10, 10, 3), 40, np.uint8)
    change = [
        np.abs(draw_heatmap(image, np.full((4, 4), heat)).astype(int) - 40).sum()
        for heat in np.linspace(0, 1, 12)
    ]
    assert change[0] == 0 and all(a <= b for a, b in zip(change, change[1:])) and change[-1] > 0


def test_heat_beyond_its_range_or_undefined_is_drawn_all_the_same():
    drawn = draw_heatmap(noise(20, 20), np.array([[np.nan, 2.0], [-1.0, 0.5]]))
    assert drawn.shape == (20, 20, 3)


@pytest.mark.parametrize('height, width', SIZES)
@pytest.mark.parametrize('sound', [False, True])
def test_sizes(height, width, sound):
    boxes = [Box(2, 2, width / 2, height / 2, 0.9, 'a class with a very long name', 0.5)]
    audio = noise(100, 53)[..., 0].ravel() / 255 if sound else None
    for result in (None, localization(np.eye(14))):
        drawn = draw_localization(noise(height, width), result, boxes if result else [], audio)
        strip = strip_height(height, width) if sound else 0
        assert drawn.shape == (height + strip, width, 3) and drawn.dtype == np.uint8
        assert strip % 2 == 0


def test_found_boxes_lie_exactly_on_their_borders():
    image = np.zeros((480, 640, 3), np.uint8)
    box = Box(100, 200, 300, 400, 0.9, 'bell', 0.8)
    drawn = draw_localization(image, localization(np.zeros((14, 14))), [box])
    for row, column in ((200, 250), (399, 250), (300, 100), (300, 299)):
        assert tuple(drawn[row, column]) == palette.FOUND
    for row, column in ((198, 298), (400, 250), (300, 99), (300, 300)):
        assert tuple(drawn[row, column]) == (0, 0, 0)
    assert tuple(drawn[300, 200]) == (0, 0, 0), 'nothing inside'


def test_colours_of_the_truth():
    image = np.zeros((480, 640, 3), np.uint8)
    truth = [
        {'category': 'bell', 'box': [50, 100, 150, 200], 'sounding': True},
        {'category': 'horn', 'box': [300, 250, 500, 400], 'sounding': False},
    ]
    drawn = draw_localization(image, localization(np.zeros((2, 2)), 0.1), [], truth=truth)
    assert tuple(drawn[150, 50]) == palette.TRUTH_SOUNDING
    assert tuple(drawn[250, 400]) == palette.TRUTH_SILENT
    assert not (drawn == palette.TRUTH_OUT_OF_VIEW).all(-1).any()
    truth = [{'category': 'hum', 'box': None, 'sounding': True, 'out_of_view': True}]
    drawn = draw_localization(image, localization(np.zeros((2, 2)), 0.1), [], truth=truth)
    for edge in (drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]):
        assert (edge == palette.TRUTH_OUT_OF_VIEW).all()


def test_a_box_beyond_the_image_is_drawn_at_its_edge():
    box = Box(-50, -50, 1000, 1000, 0.9, 'bell', 0.8)
    drawn = draw_localization(np.zeros((100, 100, 3), np.uint8), localization(np.eye(3)), [box])
    assert tuple(drawn[99, 50]) == palette.FOUND and tuple(drawn[50, 99]) == palette.FOUND


def test_the_avc_bar_grows_with_the_probability():
    box = Box(10, 200, 60, 260, 0.9, 'bell', 0.8)

    def bar(avc):
        drawn = draw_localization(
            np.zeros((480, 640, 3), np.uint8), localization(np.zeros((2, 2)), avc), [box]
        )
        return (drawn[:34, 320:] == palette.FOUND).all(-1).sum()

    assert 0 < bar(0.5) < bar(0.75) < bar(1.0)
    assert bar(1.0) == pytest.approx(2 * bar(0.5), rel=0.05)


def test_the_caption_tells_whether_something_sounds():
    image = np.zeros((480, 640, 3), np.uint8)
    pictures = [
        draw_localization(image, None, []),
        draw_localization(image, localization(np.zeros((2, 2)), 0.4), []),
        draw_localization(
            image, localization(np.zeros((2, 2)), 0.4), [Box(10, 200, 60, 260, 0.9, 'bell', 0.8)]
        ),
    ]
    captions = [picture[:34, :300] for picture in pictures]
    assert not np.array_equal(captions[0], captions[1])
    assert not np.array_equal(captions[1], captions[2])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 20), st.floats(1e-6, 1.0))
def test_without_avc_heat_is_shown_beside_its_peak(seed, height, width, peak):
    heat = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    heat *= np.float32(peak) / heat.max()
    shown = visible_heat(heat, None)
    np.testing.assert_allclose(shown, heat / heat.max(), rtol=1e-6)
    assert shown.max() == 1 and shown.dtype == np.float32
    np.testing.assert_array_equal(visible_heat(shown, None), shown)
    np.testing.assert_array_equal(visible_heat(heat, 0.0), heat)


def test_no_heat_stays_none():
    np.testing.assert_array_equal(visible_heat(np.zeros((3, 4), np.float32), None), 0)


def test_a_picture_without_avc_shows_attention_and_says_so():
    image = np.full((480, 640, 3), 60, np.uint8)
    attention = np.zeros((14, 14), np.float32)
    attention[6:9, 6:9] = 0.01
    box = Box(270, 200, 420, 310, 1.0, 'bell', 0.8)
    drawn = draw_localization(image, localization(attention, None), [box])
    assert np.abs(drawn[230:280, 310:380].astype(int) - 60).mean() > 40, 'heat is seen'
    probable = draw_localization(image, localization(attention, 0.9), [box])
    assert np.abs(probable[230:280, 310:380].astype(int) - 60).max() == 0
    caption, usual = drawn[:34, 340:], probable[:34, 340:]
    assert not (caption == palette.FOUND).all(-1).any(), 'no bar'
    assert (usual == palette.FOUND).all(-1).any() and (caption > 100).any()
    empty = [
        draw_localization(image, localization(np.zeros((2, 2)), avc), [])[:34, :300]
        for avc in (None, 0.1)
    ]
    assert not np.array_equal(*empty)


@pytest.mark.parametrize('avc', [None, 0.9])
@pytest.mark.parametrize('height, width', SIZES)
def test_boxes_without_a_class_are_sounding_objects(height, width, avc):
    area = (2, height / 2, width / 2, height - 2, 0.9)
    drawn, named = (
        draw_localization(
            noise(height, width), localization(np.eye(14), avc), [Box(*area, name, 0.9)]
        )
        for name in ('', 'sounding object')
    )
    caption = round(2.2 * min(max(13.0, 0.034 * min(height, width)), 64.0))
    assert np.array_equal(drawn[caption:], named[caption:])


def test_the_strip_marks_the_window():
    second = 1_000_000_000
    audio = 0.5 * np.sin(np.arange(4 * 16000) / 5)
    strip = draw_waveform(
        audio, 80, 400, 10 * second, window=(11 * second, 12 * second), time_ns=int(13.5 * second)
    )
    colored = (strip == palette.FOUND).all(-1).any(0)
    assert colored[100:200].all() and not colored[:99].any() and not colored[201:].any()
    white = (strip == (255, 255, 255)).all(-1)[:50].all(0)
    assert np.flatnonzero(white).tolist() == [350]


@pytest.mark.parametrize('samples', [0, 1, 50, 399])
def test_a_strip_of_little_sound(samples):
    assert draw_waveform(np.zeros(samples, np.float32), 44, 400).shape == (44, 400, 3)


def test_louder_sound_is_drawn_higher():
    def height(level):
        strip = draw_waveform(level * np.tile([1.0, -1.0], 4000), 100, 50, window=(0, 10**9))
        return (strip == palette.FOUND).all(-1).sum(0)[25]

    assert height(0.01) < height(0.05) < height(0.1)
