"""The named benchmark: as hard as it says, and its dynamics are in its pixels and sounds."""

import json

import numpy as np
import pytest

pytest.importorskip('scipy')

from avsol_ros.training.synthetic import avsol_synth_1
from avsol_ros.training.synthetic.avsol_synth_1 import render_split, score_oracles, statistics
from avsol_ros.training.synthetic.oracles import movement, onset_cue, twins_told_apart


@pytest.fixture(scope='module')
def windows():
    return render_split('test', 130, workers=1)


def test_windows_of_the_test_split_are_from_scenes_of_their_own(windows):
    assert len(windows) == 130 and len(set(windows.scene.tolist())) == 130
    train = render_split('train', 8, size=16, frames=1, workers=1)
    assert len(set(train.scene.tolist())) == 2


def test_synchrony_tells_twins_apart_at_8_frames_a_second(windows):
    told = twins_told_apart(windows)
    assert len(told) > 25 and told.mean() > 0.85


def test_rules_that_know_less_score_less(windows):
    rows = {row['rule']: row for row in score_oracles(windows)}
    everything = {name: row['all'][0] for name, row in rows.items()}
    assert everything['centre prior'] < 0.25
    assert (
        everything['any object']
        < everything['right category']
        < everything['right category, in time']
        < everything['truth of the window']
    )
    assert everything['moves most'] < 0.6
    twins = {name: row['look-alike'] for name, row in rows.items()}
    assert twins['right category, in time'][0] > 1.4 * twins['right category'][0]
    assert twins['right category'][1] < 0.65 < twins['right category, in time'][1]


def test_every_difficulty_is_there_and_most_frames_are_ave(windows):
    found = statistics(windows)
    assert sum(found['frames'].values()) == 1300
    assert 0.65 < (found['frames']['single'] + found['frames']['multiple']) / 1300 < 0.9
    assert min(found['windows_with'].values()) >= 3
    assert found['windows_with']['look-alike'] > 25
    assert (windows.labels.sum(1) <= 1).all()
    low, middle, high = found['ambient_snr_db']
    assert low < 5 < middle < 18 < high


def test_the_cue_of_a_click_peaks_where_it_is_heard():
    rng = np.random.default_rng(0)
    audio = rng.normal(0, 30, 16_000)
    audio[9000:10_000] += rng.normal(0, 6000, 1000)  # at 0.5625 s: frame 4 of 8
    assert onset_cue(audio.astype(np.int16), 8).argmax() == 4


def test_movement_is_measured_where_the_box_is():
    frames = np.full((8, 64, 64, 3), 90, np.uint8)
    frames[3, 20:30, 20:30] = 200
    frames[6, 50:60, 50:60] = 200
    boxes = np.tile([18.0, 18, 32, 32], (10, 1))
    assert movement(frames, boxes).argmax() == 3


def test_tables_as_a_user_prints_them(capsys):
    assert avsol_synth_1.main(['--windows', '1', '--split', 'val']) == 0
    printed = capsys.readouterr().out
    assert 'avsol-synth-1, split val: 1 windows, 10 frames' in printed
    assert 'right category, in time' in printed and 'non-AVE, audible' in printed
    assert avsol_synth_1.main(['--windows', '1', '--preset', 'clean', '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['benchmark'] == 'clean' and found['told_apart'] is None


def test_a_count_that_makes_no_sense_is_named(capsys):
    with pytest.raises(SystemExit):
        avsol_synth_1.main(['--windows', '0'])
    assert '--windows is 0; expected at least 1' in capsys.readouterr().err
