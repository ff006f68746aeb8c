"""Ctrl-C while a model is trained or its encoders are: what is kept, and that it goes on."""

import os
import re
import signal
import subprocess

import numpy as np
import pytest
import torch

pytest.importorskip('lightning')

from processes import start_avsol
from waiting import PATIENCE_S

from avsol_ros import cli
from avsol_ros.stopping import Interrupted
from avsol_ros.training import pretrain
from avsol_ros.training.module import TrainingModule

TRAIN = ['train', 'compact-static-cls', '--data', 'clean', '--windows', '32', '--validation', '16']
TRAIN += ['--batch', '8', '--drawn', '0', '--device', 'cpu']


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp('cache')


@pytest.mark.parametrize(
    ('epoch', 'line'),
    [
        (1, 'interrupted in epoch 1 of 3; the same command begins again'),
        (2, 'interrupted; epoch 1 is kept, and the same command goes on with epoch 2'),
        (3, 'interrupted; epochs 1 to 2 are kept, and the same command goes on with epoch 3'),
    ],
)
def test_epochs_are_kept(epoch, line, cache, tmp_path, monkeypatch, capsys):
    step = TrainingModule.training_step

    def training_step(self, batch):
        if self.current_epoch == epoch - 1:
            raise KeyboardInterrupt
        return step(self, batch)

    handler = signal.getsignal(signal.SIGINT)
    argv = [*TRAIN, '--epochs', '3', '--cache', str(cache), '--out', str(tmp_path)]
    try:
        with monkeypatch.context() as patch:
            patch.setattr(TrainingModule, 'training_step', training_step)
            assert cli.main(argv) == 130
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores further ones
    assert capsys.readouterr().err == f'avsol train: {line}\n'
    assert cli.main(argv) == 0
    lines = (tmp_path / 'metrics.csv').read_text().splitlines()
    assert [row.partition(',')[0] for row in lines] == ['epoch', '1', '2', '3']


@pytest.mark.parametrize('moment', ['features', 'epoch'])
def test_ctrl_c_ends_a_training_with_one_line(moment, cache, tmp_path):
    """As in a terminal, to all its processes."""
    mine = tmp_path / 'cache' if moment == 'features' else cache
    argv = [*TRAIN, '--epochs', '10000', '--cache', mine, '--out', tmp_path / 'out']
    argv[argv.index('32')] = '640' if moment == 'features' else '32'  # enough for two processes
    with start_avsol(*argv, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            begins = {'features': 'computing features', 'epoch': 'epoch 1/'}[moment]
            while not (line := process.stdout.readline()).startswith(begins):
                assert line
            os.killpg(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == 130
    if moment == 'epoch':
        assert re.fullmatch(
            r'avsol train: interrupted; epochs? 1 .*kept, and the same command goes on with epoch '
            r'\d+\n',
            said,
        )
        return
    assert re.fullmatch(
        'avsol train: interrupted.*; the same command begins again\n|'
        r'avsol train: interrupted; features of \d+ of 640 windows are kept, and .* goes on\n',
        said,
    )
    assert not (tmp_path / 'out').exists()


# Pretraining of the encoders.


@pytest.fixture
def rendered(monkeypatch):
    """Noise in place of rendered pictures and sounds; the list tells when it was asked for."""
    asked = []

    def pictures(count, seed, *, preset, progress):
        asked.append('pictures')
        rng = np.random.default_rng(seed)
        progress('rendering pictures', count, count, 'pictures')
        return rng.integers(0, 256, (count, 112, 112, 3), np.uint8), np.arange(count) % 12

    def sounds(count, seed, *, preset, progress):
        asked.append('sounds')
        rng = np.random.default_rng(seed)
        return rng.integers(-9999, 9999, (count, 16_000), np.int16), np.arange(count) % 12

    monkeypatch.setattr(pretrain, 'render_pictures', pictures)
    monkeypatch.setattr(pretrain, 'render_sounds', sounds)
    return asked


def train(keep, stop_after=None, told=None):
    """Train both encoders; Ctrl-C comes after a line of the report that begins so."""

    def report(line):
        if stop_after is not None and line.startswith(stop_after):
            raise KeyboardInterrupt

    def progress(*given):
        if told is not None:
            told.append(given)

    return pretrain.pretrain_encoders(
        3,
        'clean',
        pictures=160,
        sounds=160,
        epochs=2,
        held_out=32,
        report=report,
        progress=progress,
        keep=keep,
    )


@pytest.mark.slow
def test_a_pretraining_goes_on_with_the_same_bits(rendered, tmp_path):
    told = []
    whole = train(None, told=told)
    assert ('pretraining the visual encoder', 4, 4, 'steps') in told
    assert ('pretraining the audio encoder', 4, 4, 'steps') in told
    del rendered[:]
    for moment in ('visual: epoch 1/2', 'visual: epoch 2/2', 'audio: epoch 1/2'):
        with pytest.raises(Interrupted, match='epochs of the pretraining are kept.*goes on'):
            train(tmp_path, moment)
    resumed = train(tmp_path)
    assert rendered == ['pictures', 'pictures', 'sounds', 'sounds']
    for one, other in zip(whole, resumed):
        mine, theirs = one.state_dict(), other.state_dict()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
        assert not other.training


def test_a_damaged_state_of_a_pretraining_is_not_gone_on_with(rendered, tmp_path):
    state = tmp_path / 'visual.ckpt'
    for _ in range(2):
        with pytest.raises(Interrupted):  # in the second run too: it begins again
            train(tmp_path, 'visual: epoch 1/2')
        assert state.stat().st_size > 100
        state.write_bytes(state.read_bytes()[:100])
    assert rendered == ['pictures'] * 2


def test_a_pretraining_that_keeps_nothing_says_so(rendered):
    with pytest.raises(Interrupted, match='begins the pretraining again'):
        train(None, 'visual: epoch 1/2')


def test_a_pretraining_without_a_whole_epoch_does_not_say_that_one_is_kept(rendered, tmp_path):
    with pytest.raises(Interrupted, match='begins the pretraining again'):
        train(tmp_path, 'visual: rendered')
    assert not list(tmp_path.iterdir())
