"""Hard scenes: strokes seen and heard together, honest truth at any time, weak labels."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip('scipy')

from avsol_ros import cli
from avsol_ros.errors import AvsolError
from avsol_ros.streams.windows import SAMPLE_RATE
from avsol_ros.training.annotations.model import ObjectTruth
from avsol_ros.training.annotations.window_truth import window_facts
from avsol_ros.training.synthetic.ambience import (
    AMBIENCES,
    draw_room,
    render_ambience,
    reverberate,
)
from avsol_ros.training.synthetic.clean_scenes import SceneConfig
from avsol_ros.training.synthetic.hard_scenes import HardConfig
from avsol_ros.training.synthetic.objects import CATEGORIES, STRANGERS
from avsol_ros.training.synthetic.rhythm import (
    UNKNOWN_VOICES,
    draw_onsets,
    render_beat,
    stroke_drive,
)
from avsol_ros.training.synthetic.sounds import DRIVE_RATE
from avsol_ros.training.synthetic.window_set import (
    PRESETS,
    render_pictures,
    render_sounds,
    render_windows,
)


def scenes(count, **changes):
    config = HardConfig(**changes)
    return [config.plan(np.random.default_rng([9, seed])) for seed in range(count)]


@pytest.mark.parametrize('category', [*CATEGORIES, *UNKNOWN_VOICES])
def test_a_voice_is_loudest_just_after_its_strokes(category):
    onsets = np.array([0.1, 0.9, 1.5])
    voiced = render_beat(category, 0.5, onsets, 2.2, np.random.default_rng(1))
    assert voiced.samples.shape == (round(2.2 * SAMPLE_RATE),)
    assert voiced.drive.shape == (round(2.2 * DRIVE_RATE),)
    power = voiced.samples.astype(float) ** 2

    def around(time):
        return power[round(time * SAMPLE_RATE) : round((time + 0.1) * SAMPLE_RATE)].mean()

    for onset in onsets:
        assert around(onset) > 1.5 * around(onset - 0.1)
    at = np.round(onsets * DRIVE_RATE).astype(int)
    np.testing.assert_allclose(voiced.drive[at], 1, atol=0.15)
    assert voiced.drive[round(0.6 * DRIVE_RATE)] < 0.05


def test_strokes_come_in_the_rhythm_asked_for():
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(50):
        onsets = draw_onsets(rng, 6.0, 0.5, 0.08)
        assert 0 <= onsets[0] < 0.08 and onsets[-1] < 6
        gaps.extend(np.diff(onsets))
    assert np.mean(gaps) == pytest.approx(0.5, abs=0.02) and np.min(gaps) >= 0.25
    drive = stroke_drive(np.array([0.3]), 1.0)
    assert drive[: round(0.25 * DRIVE_RATE)].max() == 0 and drive.max() == pytest.approx(1)


@pytest.mark.parametrize('kind', AMBIENCES)
def test_ambience_has_its_level_from_start_to_end(kind):
    wave = AMBIENCES[kind](np.random.default_rng(2), 2 * SAMPLE_RATE)
    parts = (wave.reshape(8, -1) ** 2).mean(1)
    assert parts.min() > 0.02 * parts.max()


def test_ambience_has_the_power_asked_for():
    for seed in range(12):
        wave = render_ambience(np.random.default_rng(seed), SAMPLE_RATE)
        assert np.mean(wave.astype(float) ** 2) == pytest.approx(1, rel=1e-3)


def test_a_room_keeps_the_direct_sound_and_dies_away():
    click = np.zeros(SAMPLE_RATE, np.float32)
    click[100] = 1
    heard = reverberate(click, draw_room(np.random.default_rng(4)))
    assert heard[100] == pytest.approx(1, abs=1e-5) and np.abs(heard[:100]).max() < 1e-5
    echo = (heard[101:].astype(float) ** 2).sum()
    assert 0.03 < echo < 0.35
    assert (heard[100 + round(0.6 * SAMPLE_RATE) :] ** 2).sum() < 1e-4


def test_a_scene_is_repeatable_and_loud_enough():
    for a, b in zip(scenes(4), scenes(4)):
        np.testing.assert_array_equal(a.draw(1.3, 80, 60), b.draw(1.3, 80, 60))
        np.testing.assert_array_equal(a.audio(), b.audio())
        assert a.truth(1.3, 80, 60) == b.truth(1.3, 80, 60)
        assert np.abs(a.audio()).max() <= 1


def test_truth_follows_the_sounds_at_any_time():
    starts = []
    for one in scenes(30):
        assert all(0 <= e.start < e.end <= one.seconds for e in one.events)
        starts += [e.start % 1 for e in one.events if e.audible and e.start > 0]
        for time in np.arange(0.05, one.seconds, 0.1):
            lines = one.truth(time, 112, 112)
            playing = [e for e in one.events if e.audible and e.start <= time < e.end]
            assert {o.track for o in lines if o.sounding and not o.out_of_view} == {
                e.source for e in playing if e.source is not None
            }
            assert [o.category for o in lines if o.out_of_view] == [
                e.category for e in playing if e.source is None
            ]
            for thing in lines:
                if thing.box:
                    x0, y0, x1, y1 = thing.box
                    assert 0 <= x0 < x1 <= 112 and 0 <= y0 < y1 <= 112
    assert np.histogram(starts, 5, (0, 1))[0].min() > 0


def test_things_of_no_category_are_in_the_picture_and_not_in_the_truth():
    found = 0
    for one in scenes(20, strangers=(2, 2)):
        strange = [o for o in one.objects if not o.annotated]
        assert {o.category for o in strange} <= set(STRANGERS) and len(strange) == 2
        tracks = {o.category for o in one.truth(0.5, 64, 64) if o.box}
        assert tracks <= set(CATEGORIES)
        audible = {e.source for e in one.events if e.audible and e.source is not None}
        assert all(one.objects[source].annotated for source in audible)
        found += any(
            e.source is not None and not one.objects[e.source].annotated for e in one.events
        )
    assert found > 5


def test_an_empty_view_holds_nothing_to_find():
    for one in scenes(6, p_empty=1.0):
        assert not any(o.box for o in one.truth(0.5, 64, 64))
        assert one.main_category() is None


def test_unseen_sounds_are_of_known_unknown_and_visible_categories():
    unseen = {'unknown': 0, 'visible': 0, 'other': 0}
    for one in scenes(70):
        here = {o.category for o in one.objects}
        for event in one.events:
            if event.audible and event.source is None:
                unseen[
                    'unknown'
                    if event.category in UNKNOWN_VOICES
                    else 'visible'
                    if event.category in here
                    else 'other'
                ] += 1
    assert min(unseen.values()) >= 3


def drive_at(scene, source, times):
    """Slow lookup of what moves an object."""
    out = np.zeros(len(times))
    for k, time in enumerate(times):
        for event in scene.events:
            if event.source == source and event.start <= time < event.end:
                place = min(int((time - event.start) * DRIVE_RATE), len(event.drive) - 1)
                out[k] = event.drive[place]
    return out


def test_a_silent_twin_moves_out_of_time_or_not_at_all():
    agreements, still = [], 0
    for one in scenes(50, p_twin=1.0, p_empty=0.0):
        for second in range(one.seconds):
            times = second + np.arange(0, 1, 0.02)
            heard = [
                sum(
                    e.audible and e.source == s and e.start <= t < e.end
                    for t in times
                    for e in one.events
                )
                for s in (0, 1)
            ]
            loud = [s for s in (0, 1) if heard[s] == len(times)]
            quiet = [s for s in (0, 1) if heard[s] == 0]
            if len(loud) != 1 or len(quiet) != 1:
                continue
            a, b = (drive_at(one, s, times) for s in (loud[0], quiet[0]))
            if b.std() < 1e-6:
                still += 1
            else:
                agreements.append(np.corrcoef(a, b)[0, 1])
    assert len(agreements) > 20 and still > 5
    assert np.mean(agreements) < 0 and np.quantile(agreements, 0.9) < 0.4


def test_silent_things_move_about_as_often_as_not():
    moving = []
    for one in scenes(60):
        for source in range(len(one.objects)):
            times = np.arange(0, one.seconds, 0.05)
            if not any(e.audible and e.source == source for e in one.events):
                moving.append(drive_at(one, source, times).std() > 0.05)
    assert 0.5 < np.mean(moving) < 0.9


def test_labels_name_what_sounds_for_half_a_second_and_one_event_per_clip():
    config = PRESETS['hard']
    data = render_windows('val', 80, config=config, size=16, frames=1, workers=1)
    dropped = 0
    for i in range(0, len(data), config.seconds):
        clip = slice(i, i + config.seconds)
        scene = config.plan(np.random.default_rng([0, 1, i // config.seconds, 1]))
        full = np.zeros((config.seconds, len(CATEGORIES)))
        for second in range(config.seconds):
            for event in scene.events:
                if event.audible and event.source is not None:
                    if np.ptp(np.clip([event.start, event.end], second, second + 1)) >= 0.5:
                        full[second, CATEGORIES.index(event.category)] = 1
        np.testing.assert_array_equal(data.facts['labels'][clip], full)
        assert data.labels[clip].any(0).sum() == full.any()
        kept = data.labels[clip].any(0)
        np.testing.assert_array_equal(data.labels[clip], full * kept)
        assert (full.sum(0)[kept] == full.sum(0).max()).all()
        dropped += full.any(0).sum() > 1
    assert dropped > 3


def thing(track, category, sounding, unseen=False):
    return ObjectTruth(track, category, None if unseen else (0, 0, 1, 1), sounding, unseen)


@pytest.mark.parametrize(
    'frames, expected',
    [
        (
            [[thing(0, 'bell', True), thing(1, 'bell', False)]] * 10,
            {
                'sounding': 1,
                'categories': 1,
                'silent': 1,
                'out_of_view': False,
                'lookalike': True,
                'impostor': False,
            },
        ),
        (
            [[thing(0, 'bell', True), thing(1, 'drum', True)]] * 5
            + [[thing(0, 'bell', False), thing(1, 'drum', True)]] * 5,
            {'sounding': 2, 'categories': 2, 'silent': 0, 'lookalike': False},
        ),
        (
            [[thing(0, 'bell', True)]] * 4 + [[thing(0, 'bell', False)]] * 6,
            {'sounding': 0, 'silent': 0},
        ),
        (
            [[thing(0, 'bell', False), thing(1, 'bell', True, True)]] * 10,
            {
                'sounding': 0,
                'silent': 1,
                'out_of_view': True,
                'lookalike': False,
                'impostor': True,
            },
        ),
        (
            [[thing(0, 'bell', False), thing(1, 'whistle', True, True)]] * 10,
            {'out_of_view': True, 'impostor': False},
        ),
        ([[]] * 10, {'sounding': 0, 'categories': 0, 'silent': 0, 'out_of_view': False}),
    ],
)
def test_facts_say_what_makes_a_window_hard(frames, expected):
    facts = window_facts(frames)
    assert {name: facts[name] for name in expected} == expected


def test_ambient_snr_is_that_of_the_mixture():
    for one in scenes(5, p_empty=0.0):
        for second in range(one.seconds):
            cut = slice(second * SAMPLE_RATE, (second + 1) * SAMPLE_RATE)
            objects = np.zeros(one.seconds * SAMPLE_RATE)
            for event in one.events:
                if event.audible:
                    start = round(event.start * SAMPLE_RATE)
                    end = min(len(objects), start + len(event.samples))
                    objects[start:end] += event.samples[: end - start]
            rest = one.audio() - objects
            measured = one.ambient_snr(second)
            if np.abs(objects[cut]).max() < 1e-6:
                assert measured == -np.inf
                continue
            expected = 10 * np.log10((objects[cut] ** 2).mean() / (rest[cut] ** 2).mean())
            assert measured == pytest.approx(expected, abs=1.5)


def test_windows_do_not_depend_on_workers_and_are_not_those_of_clean():
    # More scenes than one process takes at a time.
    config = dataclasses.replace(PRESETS['hard'], seconds=1)
    one, two = (
        render_windows('test', 18, workers=n, size=32, frames=2, config=config) for n in (1, 2)
    )
    np.testing.assert_array_equal(one.frames, two.frames)
    np.testing.assert_array_equal(one.audio, two.audio)
    assert one.truth == two.truth
    for name, fact in one.facts.items():
        np.testing.assert_array_equal(fact, two.facts[name])
        assert len(fact) == 18
    clean = render_windows('test', 18, config=SceneConfig(seconds=1), size=32, frames=2, workers=1)
    assert (clean.audio != one.audio).any(1).all()


def test_pretraining_data_of_hard_scenes():
    pictures, kinds = render_pictures(24, workers=1, size=32, preset='hard')
    np.testing.assert_array_equal(
        pictures, render_pictures(24, workers=1, size=32, preset='hard')[0]
    )
    sounds, heard = render_sounds(40, workers=1, preset='hard')
    assert sounds.shape == (40, SAMPLE_RATE) and sounds.dtype == np.int16
    assert len(set(kinds.tolist())) > 5 and len(set(heard.tolist())) > 6
    with pytest.raises(AvsolError, match="no preset 'soft'; expected one of clean, hard"):
        render_pictures(1, preset='soft')


@pytest.mark.parametrize(
    'changes, text',
    [
        ({'objects': (0, 2)}, 'objects is'),
        ({'area': (0.2, 0.1)}, 'area is'),
        ({'period': (0.1, 0.3)}, 'period is'),
        ({'p_sounding': 0.9, 'p_unseen': 0.2}, 'p_unseen'),
    ],
)
def test_bad_settings_are_named(changes, text):
    with pytest.raises(AvsolError, match=text):
        dataclasses.replace(PRESETS['hard'], **changes)


def test_synthesize_hard_scenes_as_a_user_types_it(tmp_path, capsys):
    assert (
        cli.main(
            [
                'synthesize',
                str(tmp_path),
                '--preset',
                'hard',
                '--count',
                '1',
                '--seconds',
                '2',
                '--size',
                '96x64',
                '--rate',
                '10',
            ]
        )
        == 0
    )
    assert capsys.readouterr().out.split()[0].endswith('scene_0000.mp4')
    assert (tmp_path / 'scene_0000.json').is_file()
