"""The table of a clip: what counts as a hit, and the picture of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from films import write_film

from avsol_ros.drawing import palette
from avsol_ros.drawing.overlay import draw_localization
from avsol_ros.errors import AvsolError
from avsol_ros.localization import Box, Localization, WindowResult, visible_heat
from avsol_ros.offline.film_summary import draw_sheet, format_table, load_truth, second_by_second

SECOND = 1_000_000_000
SIZE = (160, 120)
BELL, HORN = (16, 12, 64, 60), (96, 60, 144, 108)


def result(start, where=None, name='bell'):
    heatmap = np.zeros((30, 40), np.float32)
    boxes = ()
    if where:
        x0, y0, x1, y1 = (v // 4 for v in where)
        heatmap[y0:y1, x0:x1] = 0.5
        heatmap[(y0 + y1) // 2, (x0 + x1) // 2] = 0.9
        boxes = (Box(*where, 0.9, name, 0.8),)
    return WindowResult(
        round(start * SECOND),
        round((start + 1) * SECOND),
        0.9 if where else 0.1,
        heatmap,
        boxes,
        {'bell': 0.8, 'horn': 0.2},
        (120, 160),
    )


def truth(*sounding, seconds=1):
    objects = [
        {
            'track': i,
            'category': name,
            'box': list(box),
            'sounding': name in sounding,
            'out_of_view': False,
        }
        for i, (name, box) in enumerate({'bell': BELL, 'horn': HORN}.items())
    ]
    if 'unseen' in sounding:
        objects.append(
            {'track': 2, 'category': 'hum', 'box': None, 'sounding': True, 'out_of_view': True}
        )
    return {
        'video': 'clip.mp4',
        'width': 160,
        'height': 120,
        'frames': [{'time': i / 10, 'objects': objects} for i in range(10 * seconds)],
    }


@pytest.mark.parametrize(
    'sounding, found, hit, why',
    [
        (['bell'], result(0, BELL), True, ''),
        (['bell', 'horn'], result(0, HORN, 'horn'), True, ''),
        (['bell'], result(0, HORN, 'bell'), False, 'wrong place'),
        (['bell'], result(0, BELL, 'horn'), False, 'wrong class'),
        (['bell', 'horn'], result(0, BELL, 'horn'), False, 'wrong class'),
        (['bell'], result(0), False, 'not found'),
        (['bell'], None, False, 'not localized'),
        ([], result(0), True, ''),
        ([], result(0, BELL), False, 'nothing in view sounds'),
        (['unseen'], result(0), True, ''),
        (['unseen'], result(0, BELL), False, 'nothing in view sounds'),
        ([], None, False, 'not localized'),
    ],
)
def test_what_counts_as_a_hit(sounding, found, hit, why):
    (row,) = second_by_second([found] if found else [], 0, SECOND, SIZE, truth(*sounding))
    assert row.hit is hit and why in row.why
    assert row.truth == {'': 'nothing', 'unseen': 'out of view'}.get(
        ', '.join(sounding), ', '.join(sounding)
    )


def test_rows_are_of_windows_that_do_not_overlap():
    results = [result(start / 4, BELL) for start in range(13)]
    rows = second_by_second(results, 0, round(4.2 * SECOND), SIZE)
    assert [row.start for row in rows] == [0, 1, 2, 3]
    assert [row.result for row in rows] == [results[0], results[4], results[8], results[12]]
    assert all(row.hit is None and row.box == list(BELL) for row in rows)


def test_places_are_told_in_pixels_of_the_clip_though_smaller_pictures_travelled():
    (row,) = second_by_second([result(0, BELL)], 0, SECOND, (320, 240), truth('bell'))
    assert row.box == [2 * v for v in BELL] and row.hit


def test_the_text_has_a_line_for_each_second():
    rows = second_by_second(
        [result(0, BELL), result(1)], 0, 3 * SECOND, SIZE, truth('bell', seconds=3)
    )
    lines = format_table(rows).splitlines()
    assert len(lines) == 5
    assert 'bell' in lines[2] and lines[2].endswith('hit')
    assert lines[3].endswith('miss: not found') and 'not localized' in lines[4]
    json.dumps([row.as_dict() for row in rows])


def test_a_result_comes_back_from_its_record():
    before = result(3, BELL)
    after = WindowResult.from_dict(json.loads(json.dumps(before.as_dict(SECOND))))
    assert (after.start_ns, after.end_ns, after.boxes) == (
        before.start_ns,
        before.end_ns,
        before.boxes,
    )
    assert before.as_dict(SECOND)['start'] == 2.0
    assert np.abs(after.heatmap - before.heatmap).max() < 0.003
    assert before.peak == pytest.approx((42, 38)) and after.peak == pytest.approx((42, 38))


@pytest.mark.parametrize(
    'sounding, where, hit, why',
    [
        (['bell'], BELL, True, ''),
        (['bell'], HORN, False, 'wrong place'),
        ([], BELL, False, 'nothing in view sounds'),
        ([], None, True, ''),
    ],
)
def test_a_model_without_avc_and_classes_is_judged_by_the_place(sounding, where, hit, why):
    found = replace(result(0, where, ''), avc=None, class_scores={})
    (row,) = second_by_second([found], 0, SECOND, SIZE, truth(*sounding))
    assert (row.hit, row.why, row.avc) == (hit, why, None)
    assert row.found == ('sounding object' if where else None)
    head, _, line = format_table([row]).splitlines()
    assert line[head.index('AVC') :].split()[0] == '-' and line.endswith('hit' if hit else why)
    assert json.loads(json.dumps(row.as_dict()))['avc'] is None


def test_a_window_without_avc_is_not_a_missing_one():
    found = replace(result(0, BELL), avc=None)
    lines = format_table(second_by_second([found], 0, 2 * SECOND, SIZE)).splitlines()
    assert 'bell' in lines[2] and 'no window' not in lines[2] and 'no window' in lines[3]


def test_what_a_model_does_not_say_is_null_in_the_record():
    before = replace(result(3, BELL, ''), avc=None, class_scores={})
    record = json.loads(json.dumps(before.as_dict(0), allow_nan=False))
    assert record['avc'] is None and record['boxes'][0]['class'] is None
    after = WindowResult.from_dict(record)
    assert after.avc is None and after.boxes == before.boxes and after.class_scores == {}


def test_annotations_beside_a_clip(tmp_path):
    clip = tmp_path / 'clip.mp4'
    assert load_truth(clip) is None
    beside = tmp_path / 'clip.json'
    beside.write_text('{"some": "thing else"}')
    assert load_truth(clip) is None
    beside.write_text(json.dumps(truth('bell')))
    assert load_truth(clip)['width'] == 160
    both = [dict(truth('bell'), video='other.mp4', width=99), truth('bell')]
    beside.write_text(json.dumps({'version': 2, 'videos': both}))
    assert load_truth(clip)['width'] == 160
    beside.write_text(json.dumps({'version': 2, 'videos': both[:1]}))
    assert load_truth(clip) is None
    for frame in (
        {},
        [],
        {'time': 'x', 'objects': []},
        {'time': 0, 'objects': [{}]},
        {'time': 0, 'objects': [{'sounding': True, 'category': 'bell', 'box': None}]},
    ):
        beside.write_text(json.dumps({**truth('bell'), 'frames': [frame]}))
        with pytest.raises(AvsolError, match='clip.json is no annotation'):
            load_truth(clip)


def test_live_and_recorded_pictures_show_the_same_score():
    image = np.full((120, 160, 3), 90, np.uint8)
    recorded = result(0, BELL)
    live = Localization(
        0,
        SECOND,
        SECOND,
        recorded.heatmap,
        recorded.avc,
        ('bell', 'horn'),
        np.array([0.8, 0.2], np.float32),
        np.zeros((2, 30, 40), np.float32),
        (120, 160),
    )
    own = [replace(box, class_score=0.33) for box in recorded.boxes]
    assert (
        draw_localization(image, live, own) == draw_localization(image, recorded, recorded.boxes)
    ).all()


@pytest.mark.parametrize('names', [('bell', 'horn'), ()])
def test_live_and_recorded_pictures_without_avc_agree(names):
    image = np.full((120, 160, 3), 90, np.uint8)
    attention = np.zeros((14, 14), np.float32)
    attention[4:7, 5:9] = 1 / 12
    live = Localization(
        0,
        SECOND,
        SECOND,
        attention,
        None,
        names,
        np.array([0.8, 0.2], np.float32)[: len(names)],
        np.zeros((len(names), 14, 14), np.float32),
        (120, 160),
    )
    box = Box(*BELL, 1.0, 'bell' if names else '', 0.8 if names else 1.0)
    recorded = WindowResult(
        0,
        SECOND,
        None,
        visible_heat(attention, None),
        (box,),
        dict(zip(names, (0.8, 0.2))),
        (120, 160),
    )
    recorded = WindowResult.from_dict(recorded.as_dict(0))
    assert (
        draw_localization(image, live, [box]) == draw_localization(image, recorded, recorded.boxes)
    ).all()


def test_the_sheet_is_drawn_without_avc_and_classes(tmp_path):
    clip = write_film(tmp_path / 'clip.mp4', seconds=2)
    rows = second_by_second(
        [replace(result(i, BELL, ''), avc=None, class_scores={}) for i in range(2)],
        0,
        2 * SECOND,
        SIZE,
    )
    sheet = draw_sheet(clip, rows)
    assert (sheet == palette.FOUND).all(-1).any()


def test_the_sheet_shows_what_was_found_and_what_is_true(tmp_path):
    clip = write_film(tmp_path / 'clip.mp4', seconds=3)
    rows = second_by_second(
        [result(0, BELL), result(1, BELL)], 0, 3 * SECOND, SIZE, truth('bell', seconds=3)
    )
    sheet = draw_sheet(clip, rows)
    for color in (
        palette.FOUND,
        palette.TRUTH_SOUNDING,
        palette.TRUTH_SILENT,
        palette.HIT,
        palette.MISS,
    ):
        assert (sheet == color).all(-1).any()
    assert sheet.shape[1] > 3 * 400
