"""Films of scenes: the truth beside each is whole, for all presets and seeds; both or neither."""

import numpy as np
import pytest

pytest.importorskip('scipy')

from avsol_ros.errors import AvsolError
from avsol_ros.training.annotations.annotation_files import read_annotations, write_annotations
from avsol_ros.training.synthetic import scene_films
from avsol_ros.training.synthetic.objects import CATEGORIES
from avsol_ros.training.synthetic.scene_films import (
    film_config,
    render_films,
    scene_annotation,
    write_film,
)
from avsol_ros.training.synthetic.window_set import PRESETS, SPLITS


def scene_of(preset, seed, seconds=10):
    config = film_config(64, 48, preset, seconds=seconds)
    return config.plan(np.random.default_rng([seed, SPLITS['demo'], 1, *config.key]))


@pytest.mark.parametrize('preset', PRESETS)
def test_the_truth_of_every_scene_can_be_written(preset, tmp_path):
    nameless = 0
    for seed in range(12):
        truth = scene_annotation(scene_of(preset, seed), 'a.mp4', 64, 48)
        write_annotations(tmp_path / 'a.json', [truth])  # refuses what is wrong
        things = [thing for frame in truth.frames for thing in frame.objects]
        assert all(t.category in CATEGORIES for t in things if not t.out_of_view)
        nameless += any(thing.category is None for thing in things)
    # Hard scenes have sounds of no category, as whistles are.
    assert (nameless > 2) == (preset == 'hard')


def test_a_film_and_its_truth_are_there_together(tmp_path):
    (path,) = render_films(tmp_path, 1, seconds=1, width=64, height=48, frame_rate=5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['scene_0000.json', 'scene_0000.mp4']
    assert read_annotations(path.with_suffix('.json'))[0].video == path.name


@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError(28, 'no space left')])
@pytest.mark.parametrize('part', ['film', 'truth'])
def test_a_failure_leaves_neither_film_nor_truth(tmp_path, monkeypatch, part, error):
    def fail(*_):
        raise error

    if part == 'film':
        monkeypatch.setattr(scene_films.MediaWriter, 'add_audio', fail)
    else:
        monkeypatch.setattr(scene_films, 'write_annotations', fail)
    with pytest.raises((KeyboardInterrupt, OSError, AvsolError)):
        write_film(scene_of('hard', 0, 1), tmp_path / 'a.mp4', 64, 48, 5)
    assert list(tmp_path.iterdir()) == []
