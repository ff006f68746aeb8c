"""Contact sheets: every picture in its place, and frames chosen evenly."""

import cv2
import numpy as np
import pytest

from avsol_ros.drawing import palette
from avsol_ros.drawing.overlay import draw_localization
from avsol_ros.drawing.sheet import LocalizationSheet, contact_sheet, tile_caption
from avsol_ros.localization import Box, WindowResult

SECOND = 1_000_000_000


def found(avc=0.9, boxes=()):
    return WindowResult(0, SECOND, avc, np.zeros((4, 4), np.float32), boxes, {'bell': 0.8})


def flat(level, height=90, width=160):
    return np.full((height, width, 3), level, np.uint8)


def levels(sheet):
    """Grey levels of the tiles, row by row: those that fill a large part of a tile."""
    grey = sheet[(sheet == sheet[..., :1]).all(-1)][:, 0]
    shown = [level for level, count in enumerate(np.bincount(grey)) if count > 40_000]
    return sorted(shown, key=lambda level: np.argwhere((sheet == level).all(-1))[0].tolist())


def test_contact_sheet_holds_every_picture():
    colors = [(200, 10 * i, 0) for i in range(7)]
    pictures = [np.full((60, 80, 3), color, np.uint8) for color in colors]
    sheet = contact_sheet(
        pictures,
        [f'{i} s\nhit' for i in range(7)],
        3,
        'title',
        [palette.HIT, palette.MISS] + [None] * 5,
        [(palette.FOUND, 'found')],
        tile_width=200,
    )
    for color in colors:
        assert (sheet == color).all(-1).sum() >= 200 * 150
    for mark in (palette.HIT, palette.MISS, palette.FOUND):
        assert (sheet == mark).all(-1).any()
    rows = [np.flatnonzero((sheet == color).all(-1).any(1))[0] for color in colors]
    assert rows[0] == rows[2] < rows[3] == rows[5] < rows[6]


def test_contact_sheet_wants_a_caption_for_each_picture():
    with pytest.raises(ValueError):
        contact_sheet([np.zeros((10, 10, 3), np.uint8)], [])


@pytest.mark.parametrize(
    'frames, expected, most, shown',
    [
        (5, 5, 10, [0, 1, 2, 3, 4]),
        (20, 20, 10, list(range(0, 20, 2))),
        (21, 21, 10, list(range(0, 21, 3))),
        (19, 0, 10, list(range(19))),
        (20, 0, 10, list(range(0, 20, 2))),
        (45, 0, 10, list(range(0, 45, 4))),
    ],
)
def test_frames_of_a_sheet_are_chosen_evenly(frames, expected, most, shown):
    sheet = LocalizationSheet(expected, most)
    for index in range(frames):
        sheet.add(flat(100 + index), found(0.1), (), f'{index} s')
    assert len(sheet) == len(shown)
    assert levels(sheet.draw('title')) == [100 + index for index in shown]


@pytest.mark.parametrize('height, width, tile', [(90, 160, (225, 400)), (160, 90, (533, 300))])
def test_frames_are_drawn_at_the_size_of_their_tile(height, width, tile):
    box = Box(20, 40, 60, 80, 0.9, 'bell', 0.8)
    result = found(boxes=(box,))
    truth = [{'category': 'bell', 'box': [20, 40, 60, 80], 'sounding': True}]
    sheet = LocalizationSheet()
    sheet.add(flat(90, height, width), result, [box], 'one', truth)
    small = LocalizationSheet()
    small.add(flat(90, *tile), result, [box], 'one', truth, source_width=width)
    scale = tile[1] / width
    scaled = [{**truth[0], 'box': [scale * side for side in truth[0]['box']]}]
    expected = draw_localization(flat(90, *tile), result, [box.scaled(scale)], truth=scaled)
    for drawn in (sheet.draw('title'), small.draw('title')):
        difference = cv2.matchTemplate(drawn, expected, cv2.TM_SQDIFF)
        _, _, (left, top), _ = cv2.minMaxLoc(difference)
        assert np.array_equal(drawn[top : top + tile[0], left : left + tile[1]], expected)


@pytest.mark.parametrize('truth, legend', [(None, False), ([], True)])
def test_the_legend_explains_the_truth_where_one_is_known(truth, legend):
    sheet = LocalizationSheet()
    sheet.add(flat(90), found(), (), 'one', truth, palette.HIT)
    drawn = sheet.draw('title')
    assert (drawn == palette.FOUND).all(-1).any() and (drawn == palette.HIT).all(-1).any()
    assert (drawn == palette.TRUTH_SILENT).all(-1).any() == legend


def test_captions_say_what_was_found():
    box, unnamed = Box(0, 0, 1, 1, 0.9, 'bell', 0.3), Box(0, 0, 1, 1, 0.7, '', 0.7)
    assert tile_caption('1 s', found(), [box]) == '1 s\nfound bell 0.80, AVC 0.90'
    assert tile_caption('1 s', found(), [unnamed]) == '1 s\nfound sounding object 0.70, AVC 0.90'
    assert tile_caption('1 s', found(None), []) == '1 s\nfound nothing, no AVC'
    assert tile_caption('1 s', None, []) == '1 s\nnot localized'
