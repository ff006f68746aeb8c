"""Synthetic scenes: honest truth, repeatable pixels, sounds and movements that belong together."""

import numpy as np
import pytest

pytest.importorskip('scipy')

from avsol_ros.errors import AvsolError
from avsol_ros.media.film_reader import MediaReader, VideoChunk
from avsol_ros.streams.windows import SAMPLE_RATE
from avsol_ros.training.annotations.annotation_files import read_annotations
from avsol_ros.training.synthetic.clean_scenes import SceneConfig, plan_scene
from avsol_ros.training.synthetic.objects import CATEGORIES, make_sprite, outline_box, paste
from avsol_ros.training.synthetic.scene_films import render_demo_clip
from avsol_ros.training.synthetic.sounds import DRIVE_RATE, VOICES, render_voice
from avsol_ros.training.synthetic.window_set import render_windows

CLEAN_BLOCKS = [
    [147.9, 172.5, 183.7, 160.5],
    [138.0, 172.9, 174.9, 166.4],
    [133.7, 146.8, 150.1, 159.9],
    [114.8, 124.6, 136.2, 150.0],
]


def scene(seed, config=SceneConfig(), schedule=None):
    return plan_scene(np.random.default_rng(seed), config, schedule)


def test_there_are_at_least_ten_categories_each_with_look_and_voice():
    assert len(CATEGORIES) >= 10
    assert set(CATEGORIES) == set(VOICES)


@pytest.mark.parametrize('category', CATEGORIES)
@pytest.mark.parametrize('angle', [0.0, 0.7])
def test_truth_box_is_the_box_of_the_drawn_pixels(category, angle):
    sprite = make_sprite(category, np.random.default_rng(3))
    grey = np.full((200, 300, 3), 127.0, np.float32)
    picture = grey.copy()
    paste(picture, sprite, (140, 90), (60, 50), angle)
    changed = np.abs(picture - grey).max(2) > 8
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    drawn = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose(outline_box(sprite, (140, 90), (60, 50), angle), drawn, atol=3.5)


def test_colour_does_not_tell_the_category():
    means = np.array(
        [
            [
                make_sprite(c, np.random.default_rng([seed, 9])).rgba[..., :3].mean((0, 1))
                for seed in range(40)
            ]
            for c in CATEGORIES
        ]
    )
    between = means.mean(1).std(0)
    assert (between < 0.35 * means.std(1).mean(0)).all()


@pytest.mark.parametrize('category', CATEGORIES)
def test_voices_have_the_length_asked_for_and_stay_in_range(category):
    voiced = render_voice(category, 0.4, 1.5, np.random.default_rng(0))
    assert voiced.samples.shape == (1.5 * SAMPLE_RATE,)
    assert voiced.drive.shape == (1.5 * DRIVE_RATE,)
    assert 0.5 < np.abs(voiced.samples).max() <= 1
    assert np.isfinite(voiced.drive).all()


def test_a_scene_is_repeatable():
    a, b = scene(5), scene(5)
    np.testing.assert_array_equal(a.draw(1.3, 80, 60), b.draw(1.3, 80, 60))
    np.testing.assert_array_equal(a.audio(), b.audio())
    assert a.truth(1.3, 80, 60) == b.truth(1.3, 80, 60)
    assert (a.draw(1.3, 80, 60) != scene(6).draw(1.3, 80, 60)).any()


def test_objects_cover_3_to_20_percent_and_stay_in_view():
    shares = []
    for seed in range(60):
        one = scene(seed)
        for time in np.arange(0, one.seconds, 0.37):
            for thing in one.truth(time, 100, 100):
                if thing.box:
                    x0, y0, x1, y1 = thing.box
                    assert 0 <= x0 < x1 <= 100 and 0 <= y0 < y1 <= 100
                    shares.append((x1 - x0) * (y1 - y0) / 1e4)
    assert 0.03 <= np.quantile(shares, 0.02) and np.quantile(shares, 0.98) <= 0.20


def test_truth_and_labels_follow_the_schedule():
    config = SceneConfig(objects=(2, 2), noise_db=(-60,))
    one = scene(1, config, [[0], [], [1], [None], [0, 1]])
    names = [thing.category for thing in one.objects]
    assert [one.labels(s) for s in range(5)] == [[names[0]], [], [names[1]], [], sorted(names)]
    for second, expected in enumerate([{0}, set(), {1}, {2}, {0, 1}]):
        lines = one.truth(second + 0.5, 64, 64)
        assert {o.track for o in lines if o.sounding} == expected
        assert [o for o in lines if o.out_of_view] == [o for o in lines if o.box is None]
    power = (one.audio().reshape(5, -1) ** 2).mean(1)
    assert power[1] < 0.02 * power[[0, 2, 3, 4]].min()
    unseen = [o for o in one.truth(3.5, 64, 64) if o.out_of_view]
    assert len(unseen) == 1 and unseen[0].category not in names


def test_a_sounding_bell_moves_and_a_transformer_does_not():
    moved = {}
    for seed in range(200):
        one = scene(seed, SceneConfig(objects=(1, 1), p_mute_motion=0), [[], [0]])
        name = one.objects[0].category
        if name not in ('bell', 'transformer') or name in moved:
            continue
        boxes = np.array(
            [[one.truth(s + t, 100, 100)[0].box for t in np.arange(0, 1, 0.1)] for s in (0, 1)]
        )
        # Beyond the steady drift: second differences of the box's borders.
        jerk = np.abs(np.diff(boxes, 2, axis=1)).mean((1, 2))
        moved[name] = (jerk[0], jerk[1])
    assert moved['bell'][1] > 5 * moved['bell'][0] + 0.1
    assert moved['transformer'][1] < 0.1


def test_windows_do_not_depend_on_workers_and_splits_differ():
    # More scenes than one process takes at a time.
    shape = {'config': SceneConfig(seconds=1), 'size': 48, 'frames': 4}
    one = render_windows('test', 18, workers=1, **shape)
    two = render_windows('test', 18, workers=2, **shape)
    assert len(one) == 18 and one.frames.shape == (18, 4, 48, 48, 3)
    assert one.audio.shape == (18, SAMPLE_RATE) and one.labels.shape == (18, len(CATEGORIES))
    np.testing.assert_array_equal(one.frames, two.frames)
    np.testing.assert_array_equal(one.audio, two.audio)
    assert one.truth == two.truth and all(len(window) == 10 for window in one.truth)
    other = render_windows('train', 4, workers=1, **shape)
    assert (other.frames != one.frames[:4]).any()


def test_clean_windows_stay_as_they_were():
    # The shipped checkpoint and the demo clip are made of these. Means over blocks, because
    # other processors and versions of OpenCV may round single pixels differently.
    one = render_windows('test', 1, workers=1)
    blocks = one.frames[0].astype(float).reshape(8, 4, 28, 4, 28, 3).mean((0, 2, 4, 5))
    np.testing.assert_allclose(blocks, CLEAN_BLOCKS, atol=0.6)
    loudness = np.sqrt((one.audio[0].astype(float).reshape(8, -1) ** 2).mean(1))
    np.testing.assert_allclose(
        loudness, [2894, 2337, 1538, 2574, 2506, 1673, 2513, 2627], rtol=2e-3
    )
    np.testing.assert_array_equal(
        one.audio[0, 1000:1008], [-353, 3418, 4886, 2498, -7, 743, 2135, 379]
    )
    (thing,) = one.truth[0][3]
    assert (thing.track, thing.category, thing.sounding) == (0, 'bell', True)
    np.testing.assert_allclose(thing.box, [68.6625, 48.5192, 97.0745, 75.6596], atol=1e-3)


def test_bad_settings_are_named():
    with pytest.raises(AvsolError, match='objects'):
        SceneConfig(objects=(0, 2))
    with pytest.raises(AvsolError, match='area'):
        SceneConfig(area=(0.2, 0.1))
    with pytest.raises(AvsolError, match='p_sounding'):
        SceneConfig(p_sounding=0.9, p_out_of_view=0.2)


def test_the_demo_clip_is_a_film_with_sound_and_truth(tmp_path):
    path = render_demo_clip(tmp_path / 'clip.mp4', seed=9, width=160, height=120, frame_rate=10)
    [truth] = read_annotations(path.with_suffix('.json'))
    assert truth.video == path.name and len(truth.frames) == 100
    states = [{(o.track, o.out_of_view) for o in f.objects if o.sounding} for f in truth.frames]
    assert states[0] == {(0, False)} and states[35] == set() and states[60] == {(1, False)}
    assert len(states[90]) == 1 and next(iter(states[90]))[1]
    with MediaReader(path) as reader:
        assert (reader.info.width, reader.info.height) == (160, 120)
        chunks = list(reader)
    assert sum(isinstance(chunk, VideoChunk) for chunk in chunks) == 100
    samples = sum(len(c.samples) for c in chunks if not isinstance(c, VideoChunk))
    assert abs(samples - 10 * SAMPLE_RATE) < 2048
