"""Truth boxes surround the pixels that are painted: every shape, turn, camera shape and preset."""

from dataclasses import replace

import numpy as np
import pytest
from material_folder import make_material

pytest.importorskip('scipy')

from avsol_ros.training.synthetic.material import Material, make_cutout
from avsol_ros.training.synthetic.objects import CATEGORIES, make_sprite
from avsol_ros.training.synthetic.real_scenes import RealConfig
from avsol_ros.training.synthetic.scene_films import film_config, scene_annotation
from avsol_ros.training.synthetic.stage import Camera, Scene, SceneObject
from avsol_ros.training.synthetic.window_set import (
    PRESETS,
    SPLITS,
    TRUTH_RATE,
    draw_square,
    render_windows,
    square_truth,
)

ASPECTS = (0.5, 0.75, 1.0, 4 / 3, 16 / 9, 2.4)
_PAINTED = 0.06  # least opacity that counts; at the rims of shapes there is less
_SOLID = 0.5  # the same for cut-outs, whose rims are soft


def alone(thing, aspect, level, events=(), camera=None):
    """A scene of one object before an even background of the given brightness."""
    backdrop = np.full((12, 12, 3), level, np.float32)
    return Scene([thing], events, 1, aspect, backdrop, np.zeros(4), np.zeros(0), camera)


def painted_box(dark, bright, opacity=_PAINTED):
    """
    The box of the pixels that an object covers, whatever its colours.

    :param dark: the object before a black background: (H, W, 3) uint8.
    :param bright: the same before one of brightness 100.
    :param opacity: from which a pixel counts.
    """
    shift = (bright.astype(float) - dark).mean(2)
    covered = 1 - shift / shift.max() > opacity
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)


def overlap(a, b):
    """Intersection over union of two boxes."""
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    inside = max(width, 0) * max(height, 0)
    return inside / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inside)


@pytest.mark.parametrize('aspect', ASPECTS)
@pytest.mark.parametrize('category', CATEGORIES)
def test_a_box_in_the_square_surrounds_the_painted_pixels(category, aspect):
    sprite = make_sprite(category, np.random.default_rng(3), 240)
    for turn in np.linspace(-np.pi, np.pi, 9)[:-1] + 0.2:
        thing = SceneObject(category, sprite, (0.3, 0.24), (0.52, 0.47), (0.0, 0.0), turn, {})
        (truth,) = square_truth(alone(thing, aspect, 0.0), 0.0, 224)
        painted = painted_box(
            *(draw_square(alone(thing, aspect, level), 0.0, 224) for level in (0.0, 100.0))
        )
        # Tips that are thinner than a pixel are painted faintly.
        np.testing.assert_allclose(truth.box, painted, atol=2.5)


def objects_of(config, count=6):
    """
    Every annotated object of some scenes, alone with what moves it in a moving view.

    :returns: scenes of one object, before a dark and before a brighter background.
    """
    camera = Camera(0.006, 0.08, np.random.default_rng(0).uniform(0.3, 6, (5, 2)))
    for seed in range(count):
        scene = config.plan(np.random.default_rng([seed, 77]))
        for index, thing in enumerate(scene.objects):
            if thing.annotated:
                events = [replace(e, source=0) for e in scene.events if e.source == index]
                yield [alone(thing, scene.aspect, v, events, camera) for v in (0.0, 100.0)]


@pytest.mark.parametrize('preset', PRESETS)
def test_boxes_of_moving_objects_in_the_square_surround_the_painted_pixels(preset):
    overlaps = []
    for scenes in objects_of(PRESETS[preset]):
        for time in (0.15, 1.45, 3.05):
            (truth,) = square_truth(scenes[0], time, 112)
            painted = painted_box(*(draw_square(scene, time, 112) for scene in scenes))
            np.testing.assert_allclose(truth.box, painted, atol=2)
            overlaps.append(overlap(np.array(truth.box), painted))
    assert len(overlaps) >= 30 and np.mean(overlaps) > 0.9


@pytest.mark.parametrize('preset', PRESETS)
@pytest.mark.parametrize('width, height', [(320, 240), (427, 240), (180, 320)])
def test_boxes_of_films_surround_the_painted_pixels(preset, width, height):
    for scenes in objects_of(film_config(width, height, preset)):
        frame = scene_annotation(scenes[0], 'a.mp4', width, height).frames[3]
        painted = painted_box(*(scene.draw(frame.time, width, height) for scene in scenes))
        np.testing.assert_allclose(frame.objects[0].box, painted, atol=2.5)


@pytest.fixture(scope='module')
def material(tmp_path_factory):
    return make_material(tmp_path_factory.mktemp('boxes') / 'material')


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('aspect', ASPECTS)
@pytest.mark.parametrize('name', ['dog_train_0.png', 'person_train_0.png', 'piano_train_0.png'])
def test_a_box_surrounds_what_is_solid_of_a_cutout(name, aspect, flip, material):
    rgba = Material(material).picture(name)[:, :: -1 if flip else 1].astype(np.float32)
    rgba[..., 3] /= 255
    sprite = make_cutout(rgba)
    for turn in np.linspace(-np.pi, np.pi, 9)[:-1] + 0.2:
        thing = SceneObject(name, sprite, (0.45, 0.3), (0.52, 0.47), (0.0, 0.0), turn, {})
        (truth,) = square_truth(alone(thing, aspect, 0.0), 0.0, 224)
        pictures = (draw_square(alone(thing, aspect, level), 0.0, 224) for level in (0.0, 100.0))
        np.testing.assert_allclose(truth.box, painted_box(*pictures, _SOLID), atol=2.5)


def test_boxes_of_real_scenes_surround_what_is_solid(material):
    overlaps = []
    config = replace(RealConfig(str(material)), p_photo=0.0, seconds=4)
    for scenes in objects_of(config, 16):
        for time in (0.15, 1.45, 3.05):
            (truth,) = square_truth(scenes[0], time, 112)
            pictures = (draw_square(scene, time, 112) for scene in scenes)
            painted = painted_box(*pictures, _SOLID)
            np.testing.assert_allclose(truth.box, painted, atol=2.5)
            overlaps.append(overlap(np.array(truth.box), painted))
    assert len(overlaps) >= 30 and np.mean(overlaps) > 0.93


def test_windows_carry_the_boxes_of_the_square():
    windows = render_windows('test', 8, size=96, apart=True)
    for index in range(8):
        scene = PRESETS['clean'].plan(np.random.default_rng([0, SPLITS['test'], index]))
        for k, truth in enumerate(windows.truth[index]):
            time = index % 4 + (k + 0.5) / TRUTH_RATE
            assert truth == square_truth(scene, time, 96)
