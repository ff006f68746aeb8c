"""Features whose computation is interrupted: what is done is kept, and the rest is the same."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from avsol_ros.models.checkpoint import load_checkpoint
from avsol_ros.stopping import Interrupted
from avsol_ros.training.datasets.features import cached_features, extract_features
from avsol_ros.training.datasets.segments import Segment, SyntheticSegments

COUNT = 80  # two batches and a half
KINDS = ('mean', 'maps', 'embedding')

# Computes features, keeping them after each batch, and waits when so many are done.
HELD = """
import sys
from pathlib import Path
from test_features import compute
from avsol_ros.training.datasets import features

features._MARK_S = -1.0
def hold(name, done, total, unit):
    if done == int(sys.argv[2]):
        print('held', flush=True)
        sys.stdin.read()
compute(Path(sys.argv[1]), hold)
"""


class Noise:
    """Segments of noise, each always the same; ``begins`` tells where reading began."""

    about, key = f'{COUNT} windows of noise', 'noise'

    def __init__(self):
        self.begins = []

    def __len__(self):
        return COUNT

    def stream(self, first=0, frames=True):
        self.begins.append(first)
        for index in range(first, COUNT):
            rng = np.random.default_rng(index)
            yield Segment(
                rng.integers(0, 256, (8, 112, 112, 3), np.uint8),
                rng.normal(size=16_000).astype(np.float32),
                rng.integers(0, 2, 12, np.uint8),
                index // 10,
            )


def compute(cache, progress, segments=None, report=lambda line: None):
    net = load_checkpoint('compact')
    return cached_features(
        net.visual_encoder,
        net.audio_encoder,
        segments or Noise(),
        KINDS,
        cache,
        report=report,
        progress=progress,
    )


@pytest.fixture(scope='module')
def whole():
    """Features of a run that nobody interrupted."""
    net = load_checkpoint('compact')
    return extract_features(net.visual_encoder, net.audio_encoder, Noise(), KINDS)


def stop_at(number, told=None):
    def progress(name, done, total, unit):
        if told is not None:
            told.append((name, done, total, unit))
        if done == number:
            raise KeyboardInterrupt

    return progress


def same(one, other):
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in (*KINDS, 'labels', 'clips')
    )


def test_what_ctrl_c_interrupts_goes_on_with_the_same_bits(whole, tmp_path):
    for done, kept in ((32, 32), (64, 64), (80, 80)):
        with pytest.raises(Interrupted) as caught:
            compute(tmp_path, stop_at(done))
        assert str(caught.value) == (
            f'interrupted; features of {kept} of 80 windows are kept, and the same command goes on'
        )
    segments, lines, told = Noise(), [], []
    assert same(compute(tmp_path, stop_at(None, told), segments, lines.append), whole)
    assert lines == ['computing features of 80 windows of noise; 80 are there already']
    assert segments.begins == [80] and told == [
        ('features of 80 windows of noise', 80, 80, 'windows')
    ]
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*KINDS, 'labels.npy', 'clips.npy', 'features.json']
    )
    assert same(compute(tmp_path, stop_at(0)), whole), 'nothing is computed again'


def test_a_kill_loses_no_more_than_since_the_last_mark(whole, tmp_path):
    process = subprocess.Popen(
        [sys.executable, '-c', HELD, tmp_path, '64'],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == 'held\n'
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    segments = Noise()
    assert same(compute(tmp_path, stop_at(None), segments), whole)
    assert segments.begins == [64]
    assert [path.suffix for path in tmp_path.iterdir()] == ['']


@pytest.mark.parametrize('damage', [b'', None])
def test_what_cannot_be_read_is_computed_again(whole, tmp_path, damage):
    with pytest.raises(KeyboardInterrupt):
        compute(tmp_path, stop_at(32))
    (mark,) = tmp_path.glob('*.begun/begun.npz')
    if damage is None:
        (mark.parent / 'mean').write_bytes(b'')  # a file of features is cut
    else:
        mark.write_bytes(damage)
    segments = Noise()
    assert same(compute(tmp_path, stop_at(None), segments), whole)
    assert segments.begins == [0]


def test_without_a_whole_batch_nothing_is_left(tmp_path):
    with pytest.raises(Interrupted, match='before the first features; the same command begins'):
        compute(tmp_path, stop_at(0))
    assert list(tmp_path.iterdir()) == []


def test_scenes_can_be_rendered_from_any_window_on():
    segments = SyntheticSegments('clean', 'val', 23, 1, 32, 2)
    for first in (0, 7, 20):
        rows = list(segments.stream(first))
        assert len(rows) == 23 - first
        expected = SyntheticSegments('clean', 'val', 23, 1, 32, 2)
        expected.make()
        for index, row in enumerate(rows, first):
            frames, audio = expected.read(index)
            assert np.array_equal(row.frames, frames) and np.array_equal(row.audio, audio)
            assert np.array_equal(row.labels, expected.labels[index])
            assert row.clip == expected.clips[index]
