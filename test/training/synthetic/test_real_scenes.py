"""Scenes of real things: repeatable, of their own split, with the statistics of films."""

from dataclasses import replace

import numpy as np
import pytest
from material_folder import NAMES, make_material

pytest.importorskip('scipy')

from avsol_ros import cli
from avsol_ros.errors import AvsolError
from avsol_ros.streams.windows import SAMPLE_RATE
from avsol_ros.training.annotations.annotation_files import read_annotations
from avsol_ros.training.annotations.window_truth import FILLING
from avsol_ros.training.datasets.segments import open_segments
from avsol_ros.training.evaluation.open_source import open_source
from avsol_ros.training.synthetic.material import Material
from avsol_ros.training.synthetic.material_lists import SPLIT, SPLITS
from avsol_ros.training.synthetic.real_scenes import RealConfig
from avsol_ros.training.synthetic.window_set import (
    degrade,
    draw_square,
    preset_config,
    render_seconds,
    render_windows,
    split_config,
)

SPEECH = NAMES['person']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return make_material(tmp_path_factory.mktemp('real') / 'material')


@pytest.fixture
def config(folder):
    return RealConfig(str(folder))


def scenes(config, count):
    return [config.plan(np.random.default_rng([4, seed])) for seed in range(count)]


def test_a_scene_is_repeatable(config):
    for a, b in zip(scenes(config, 5), scenes(config, 5)):
        np.testing.assert_array_equal(a.draw(1.3, 80, 60), b.draw(1.3, 80, 60))
        np.testing.assert_array_equal(a.audio(), b.audio())
        assert a.truth(1.3, 80, 60) == b.truth(1.3, 80, 60)


def test_scenes_have_the_statistics_of_films(config):
    several, names, shares, middles, kinds = 0, [], [], [], []
    for scene in scenes(config, 250):
        things = scene.truth(0.5, 100, 100)
        boxes = np.array([one.box for one in things if one.box]).reshape(-1, 4)
        areas = np.prod(boxes[:, 2:] - boxes[:, :2], 1) / 1e4
        shares.extend(areas)
        several += len(areas) > 1 and areas.max() > 2 * areas.min()
        names += [one.category for one in scene.objects]
        middles += [(one.box[0] + one.box[2]) / 200 for one in things if one.box and one.sounding]
        kinds.append(
            (
                any(one.sounding and one.box for one in things),
                any(one.out_of_view for one in things),
                any(one.box and not one.sounding for one in things),
            )
        )
        assert np.isfinite(scene.audio()).all() and np.abs(scene.audio()).max() <= 1
    assert 0.02 < np.quantile(shares, 0.05) and np.quantile(shares, 0.95) < 0.95
    assert np.quantile(shares, 0.9) > 6 * np.quantile(shares, 0.1)
    assert several > 40
    assert max(set(names), key=names.count) == SPEECH
    assert np.mean(np.abs(np.array(middles) - 0.5) < 0.25) > 0.7
    in_view, unseen, silent = np.mean(kinds, 0)
    assert 0.6 < in_view < 0.8 and 0.1 < unseen < 0.35 and 0.3 < silent < 0.7
    quiet = [not heard and not away for heard, away, _ in kinds]
    assert 0.04 < np.mean(quiet) < 0.25


def test_what_sounds_moves_as_loud_as_it_sounds(folder):
    moving = RealConfig(str(folder), p_moves=1.0, p_sounding=1.0, p_unseen=0.0, p_restless=0.0)
    alike = []
    for scene in scenes(moving, 60):
        for event in scene.events:
            if event.source is None:
                continue
            assert event.audible and np.ptp(event.drive) > 0
            step = len(event.samples) // len(event.drive)
            loud = np.abs(event.samples[: step * len(event.drive)].reshape(-1, step)).max(1)
            alike.append(np.corrcoef(loud, event.drive)[0, 1] > 0.8)
    assert 0.4 < np.mean(alike) < 0.8
    for scene in scenes(replace(moving, p_moves=0.0), 10):
        assert not any(event.drive.any() for event in scene.events)


def test_a_whole_photograph_fills_the_picture_at_any_time(folder, monkeypatch):
    monkeypatch.setattr('avsol_ros.training.synthetic.real_scenes._MANY_PHOTOS', 1)
    config = RealConfig(str(folder), p_photo=1.0, things=(1.0,))
    for scene in scenes(config, 12):
        (thing,) = scene.objects
        assert min(thing.size) >= 1
        for time in (0.0, 0.9, 1.9):
            (truth, *_) = scene.truth(time, 160, 90)
            np.testing.assert_allclose(truth.box, (0, 0, 160, 90), atol=1e-6)
    # Its windows are marked, and scoring leaves them out.
    windows = render_windows('test', 8, 0, config, size=32, frames=2, workers=1, apart=True)
    np.testing.assert_array_equal(windows.facts['filling'], windows.facts['sounding'] > 0)
    assert windows.facts['filling'].any()


@pytest.mark.parametrize('split', SPLITS)
def test_scenes_of_a_split_take_files_of_that_split_only(split, config, monkeypatch):
    used = []
    read_sound, read_picture = Material.sound, Material.picture

    def noting(read):
        return lambda self, name: used.append(name) or read(self, name)

    monkeypatch.setattr(Material, 'sound', noting(read_sound))
    monkeypatch.setattr(Material, 'picture', noting(read_picture))
    render_windows(split, 12, 0, config, size=16, frames=1, workers=1)
    assert len(used) > 20 and all(f'_{split}' in name for name in used)


def test_splits_that_a_folder_has_not_take_its_files_for_testing(config):
    assert split_config(config, 'demo').split == 'test'


def test_windows_do_not_depend_on_workers(config):
    config = replace(config, seconds=1)
    one = render_windows('test', 18, 0, config, 32, 2, workers=1)
    two = render_windows('test', 18, 0, config, 32, 2, workers=2)
    assert one.labels.shape == (18, len(NAMES)) and one.labels.any()
    np.testing.assert_array_equal(one.frames, two.frames)
    np.testing.assert_array_equal(one.audio, two.audio)
    np.testing.assert_array_equal(one.labels, two.labels)
    streamed = list(render_seconds('test', 18, 0, config, 32, 2, first=7, workers=1))
    np.testing.assert_array_equal(one.frames[7:], [row[0] for row in streamed])


def test_labels_name_what_sounds_in_view(config):
    windows = render_windows('train', 30, 0, config, 16, 1, workers=1)
    for labels, truth in zip(windows.labels, windows.truth):
        heard = {one.category for one in truth[5] if one.sounding and one.box}
        assert heard == {name for name, on in zip(config.categories, labels) if on}


def test_all_frames_of_a_window_have_the_same_blur_noise_and_blocks(folder):
    config = RealConfig(str(folder), things=(1.0,), split='test', seconds=1)
    still = 0
    for index in range(40):
        scene = config.plan(np.random.default_rng([0, 2, index, 2]))
        first, last = (draw_square(scene, time, 32) for time in (0.25, 0.75))
        if (first == last).all():
            windows = render_windows('test', index + 1, 0, config, 32, 2, workers=1)
            np.testing.assert_array_equal(*windows.frames[index])
            assert (windows.frames[index][0] != first).any()
            still += 1
            break
    assert still
    assert degrade(first, np.random.default_rng(0)).shape == first.shape


def test_long_clips_change_what_sounds(config):
    clips = scenes(replace(config, seconds=10), 8)
    assert all(len({event.start for event in clip.events}) > 1 for clip in clips if clip.objects)
    for clip in clips:
        assert all(0 <= event.start < event.end <= 10 for event in clip.events)
        assert len(clip.audio()) == 10 * SAMPLE_RATE


def test_segments_have_the_categories_of_the_folder_and_a_key_of_its_lists(folder, tmp_path):
    copy = make_material(tmp_path / 'copy')
    train, val = open_segments('real', 32, 2, 6, 4, material=copy)
    assert train.classes == val.classes == tuple(sorted(NAMES.values()))
    assert train.labels.shape == (6, 3) and len(list(val.stream())) == 4
    before = train.key
    lines = (copy / SPLIT).read_text().splitlines()
    (copy / SPLIT).write_text('\n'.join([lines[0], *lines[2:], lines[1]]) + '\n')
    assert open_segments('real', 32, 2, 6, 4, material=copy)[0].key != before


def test_scoring_leaves_out_windows_that_something_fills(folder):
    source = open_source('real', windows=60, material=folder)
    assert source.categories == tuple(sorted(NAMES.values()))
    samples = source.samples(1, 32)
    everything = render_windows(
        'test', 60, 0, preset_config('real', folder), 32, 1, workers=1, apart=True
    )
    assert 0 < len(samples) < 60
    assert len(samples) == 60 - everything.facts['filling'].sum()
    for index in range(len(samples)):
        truth = samples[index].truth
        for thing in truth.frames[5].sounding:
            x0, y0, x1, y1 = thing.box
            assert (x1 - x0) * (y1 - y0) / 32**2 < FILLING + 0.1
    assert 'over 60%' in source.about['Left out']


def test_a_folder_goes_with_real_scenes_only(folder):
    with pytest.raises(AvsolError, match="--material goes with --data real, and --data is 'hard'"):
        open_source('hard', material=folder)


@pytest.mark.parametrize(
    'changes, text',
    [
        ({'things': (0.5, 0.4)}, 'things'),
        ({'area': (0.5, 0.2)}, 'area'),
        ({'p_sounding': 0.9, 'p_unseen': 0.2}, 'p_sounding'),
    ],
)
def test_bad_settings_are_named(changes, text):
    with pytest.raises(AvsolError, match=text):
        RealConfig('folder', **changes)


def test_films_of_real_scenes_as_a_user_makes_them(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('AVSOL_MATERIAL', str(folder))
    words = [
        '--preset',
        'real',
        '--count',
        '2',
        '--seconds',
        '2',
        '--size',
        '96x64',
        '--rate',
        '5',
    ]
    assert cli.main(['synthesize', str(tmp_path / 'out'), *words]) == 0
    assert 'scene_0001.mp4' in capsys.readouterr().out
    for number in range(2):
        (truth,) = read_annotations(tmp_path / 'out' / f'scene_{number:04d}.json')
        assert truth.categories == tuple(sorted(NAMES.values())) and len(truth.frames) == 20


def test_a_folder_that_is_not_whole_is_refused_before_anything_is_written(
    folder, tmp_path, capsys
):
    words = ['--preset', 'real', '--material', str(tmp_path)]
    assert cli.main(['synthesize', str(tmp_path / 'out'), *words]) == 1
    assert 'a folder without manifest.csv; expected' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
