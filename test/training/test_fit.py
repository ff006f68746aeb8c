"""Whole runs: what they leave, going on after a kill, several processes, films."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip('lightning')

from ave_dataset import make_ave
from material_folder import NAMES, make_material
from safetensors.torch import load_file

from avsol_ros import cli
from avsol_ros.errors import AvsolError
from avsol_ros.files import write_text
from avsol_ros.models.builder import build_model, named_config
from avsol_ros.models.checkpoint import load_checkpoint, read_notes
from avsol_ros.models.compact import CompactAudioEncoder, CompactVisualEncoder
from avsol_ros.training import callbacks, fit, pretrain
from avsol_ros.training.backbones import fill_encoders
from avsol_ros.training.datasets.ave import CATEGORIES as AVE_CATEGORIES
from avsol_ros.training.datasets.features import cached_features, extract_features
from avsol_ros.training.datasets.segments import AveSegments, SyntheticSegments
from avsol_ros.training.map_sheets import choose_windows
from avsol_ros.training.module import TrainingModule
from avsol_ros.training.settings import TrainSettings
from avsol_ros.training.synthetic.objects import CATEGORIES

SETTINGS = {
    'data': 'clean',
    'windows': 64,
    'validation': 24,
    'epochs': 3,
    'batch': 8,
    'device': 'cpu',
    'drawn': 3,
}

# Runs a training that dies where told: `step` n, `write` n (within the n-th checkpoint) or
# `best` n (after the n-th best model, before its checkpoint).
KILLED = """
import json, os, signal, sys
from pathlib import Path
from avsol_ros.training import callbacks, fit, module
from avsol_ros.training.settings import TrainSettings

where, count, settings, out = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4]
seen = 0

def die_at(place):
    global seen
    if place == where:
        seen += 1
        if seen == count:
            os.kill(os.getpid(), signal.SIGKILL)

step, write, best = module.TrainingModule.training_step, Path.write_bytes, fit.save_checkpoint

def training_step(self, batch):
    die_at('step')
    return step(self, batch)

def write_bytes(path, data):
    if callbacks.LAST in path.name:
        write(path, data[:len(data) // 2])
        die_at('write')
    return write(path, data)

def save_best(*given, **notes):
    path = best(*given, **notes)
    die_at('best')
    return path

module.TrainingModule.training_step, Path.write_bytes, fit.save_checkpoint = (
    training_step, write_bytes, save_best)
fit.train_run(TrainSettings(**settings), 0, Path(out))
"""

# Runs a training with the statistics of batch normalization frozen.
SHARED = """
import json, sys
from pathlib import Path
import torch
from avsol_ros.training import fit, module
from avsol_ros.training.settings import TrainSettings

settings, out = json.loads(sys.argv[-2]), Path(sys.argv[-1])
start = module.TrainingModule.on_train_epoch_start

def frozen_statistics(self):
    start(self)
    if settings['precision'] == '32-true':
        for part in self.model.modules():
            if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
                part.eval()

module.TrainingModule.on_train_epoch_start = frozen_statistics
if __name__ == '__main__':  # processes that render import this file again
    fit.train_run(TrainSettings(**settings), 0, out)
"""


@pytest.fixture(scope='module', autouse=True)
def cache(tmp_path_factory):
    """Features are computed once for all tests, and by none for its user."""
    folder = tmp_path_factory.mktemp('cache')
    before = os.environ.get('AVSOL_CACHE')
    os.environ['AVSOL_CACHE'] = str(folder)
    yield folder
    os.environ.pop('AVSOL_CACHE')
    if before is not None:
        os.environ['AVSOL_CACHE'] = before


def settings(model='compact-static-dnm', **changes):
    return TrainSettings(model, **{**SETTINGS, **changes})


def quiet(line):
    pass


@pytest.fixture(scope='module')
def whole(tmp_path_factory, cache):
    """Run a training that nothing interrupted."""
    out = tmp_path_factory.mktemp('whole')
    lines = []
    fit.train_run(settings(), 0, out, lines.append)
    return out, lines


def test_a_run_on_scenes_of_real_things_has_their_categories_and_its_folder(tmp_path):
    folder, out = make_material(tmp_path / 'material'), tmp_path / 'out'
    real = settings(data='real', material=folder, windows=12, validation=8, epochs=1, drawn=1)
    fit.train_run(real, 0, out, quiet)
    config = load_checkpoint(out / 'model.safetensors').config
    assert config.classes == tuple(sorted(NAMES.values()))
    assert json.loads((out / 'settings.json').read_text())['material'] == str(folder.resolve())
    with pytest.raises(AvsolError, match='holds another run.*material: '):
        other = make_material(tmp_path / 'other')
        fit.train_run(replace(real, material=other), 0, out, quiet)


def test_a_run_on_other_data_tells_of_no_folder(whole):
    assert 'material' not in json.loads((whole[0] / 'settings.json').read_text())


def same_files(one: Path, other: Path):
    a, b = (load_file(folder / 'model.safetensors') for folder in (one, other))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    states = [torch.load(folder / 'last.ckpt', weights_only=True) for folder in (one, other)]
    assert flat(states[0]) == flat(states[1])
    assert (one / 'metrics.csv').read_bytes() == (other / 'metrics.csv').read_bytes()
    for name in ('settings.json', 'result.json'):
        assert json.loads((one / name).read_text()) == json.loads((other / name).read_text())


def flat(state, path=''):
    """Everything in a checkpoint that must not depend on when it was written."""
    if isinstance(state, dict):
        return {
            key: value
            for name, part in state.items()
            for key, value in flat(part, f'{path}/{name}').items()
            if 'loops' not in key
        }
    if isinstance(state, (list, tuple)):
        return flat(dict(enumerate(state)), path)
    return {path: state.tolist() if isinstance(state, torch.Tensor) else state}


def test_a_run_leaves_its_best_model_and_how_it_came_to_be(whole, capsys):
    out, lines = whole
    rows = [line.split(',') for line in (out / 'metrics.csv').read_text().splitlines()]
    assert [row[0] for row in rows] == ['epoch', '1', '2', '3']
    table = [dict(zip(rows[0], map(float, row))) for row in rows[1:]]
    best = max(table, key=lambda row: row['val_selection'])
    for row in table:
        assert row['val_selection'] == pytest.approx(
            (row['val_avc_accuracy'] + row['val_class_accuracy']) / 2, abs=1e-6
        )
    notes = json.loads(read_notes(out / 'model.safetensors')['training'])
    assert notes['metrics']['epoch'] == best['epoch'] and notes['seed'] == 0
    assert notes['windows'] == 64 and 'clean' in notes['data']
    assert load_checkpoint(out / 'model.safetensors').config.task == 'dnm'
    assert sum('epoch ' in line and '/3' in line for line in lines) == 3
    assert len(list((out / 'maps').glob('epoch_0?.png'))) == 3
    assert any((out / 'tensorboard').glob('events*'))
    assert not list(out.rglob('*.part*'))


def test_a_finished_run_is_not_trained_again_and_others_keep_out(whole, capsys):
    out, _ = whole
    before = (out / 'last.ckpt').stat().st_mtime_ns
    argv = ['train', 'compact-static-dnm', '--out', str(out)]
    for name, value in SETTINGS.items():
        argv += [f'--{name}', str(value)]
    assert cli.main(argv) == 0
    assert 'is trained' in capsys.readouterr().out
    assert cli.main([*argv, '--rate', '0.001']) == 1
    error = capsys.readouterr().err
    assert '(rate: 0.002, here 0.001)' in error and error.count('\n') == 1
    other = [word.replace('static', 'cdf') for word in argv]
    assert cli.main(other) == 1
    error = capsys.readouterr().err
    assert f'{out} holds another run, of compact-static-dnm (fusion: static, here cdf);' in error
    assert 'else another --out' in error and error.count('\n') == 1
    assert cli.main([*argv, '--seed', '1']) == 1
    assert (out / 'last.ckpt').stat().st_mtime_ns == before


@pytest.mark.parametrize(
    'where, count',
    [
        pytest.param('write', 2, marks=pytest.mark.slow),
        pytest.param('step', 9, marks=pytest.mark.slow),
        pytest.param('best', 1, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_ends_as_if_nothing_had_happened(whole, tmp_path, where, count):
    killed = subprocess.run(
        [
            sys.executable,
            '-c',
            KILLED,
            where,
            str(count),
            json.dumps({'model': 'compact-static-dnm', **SETTINGS}),
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -9, killed.stderr
    assert not (tmp_path / 'result.json').exists()
    assert (tmp_path / 'last.ckpt').exists() == (where != 'best')
    lines = []
    fit.train_run(settings(), 0, tmp_path, lines.append)
    assert any('going on' in line for line in lines) == (where != 'best')
    same_files(whole[0], tmp_path)


@pytest.fixture(scope='module')
def whole_on_films(tmp_path_factory, cache, films):
    """Train on films whose pictures two workers crop, uninterrupted."""
    out = tmp_path_factory.mktemp('whole_on_films')
    fit.train_run(on_films(films), 0, out, quiet)
    return out


def on_films(films):
    return settings(data=str(films), batch=4, workers=2, drawn=0)


@pytest.mark.parametrize(
    'where, count',
    [
        pytest.param('write', 3, marks=pytest.mark.slow),  # after two whole epochs
        pytest.param('write', 2, marks=pytest.mark.slow),
        pytest.param('step', 15, marks=pytest.mark.slow),
        pytest.param('best', 1, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_with_workers_ends_as_if_nothing_had_happened(
    whole_on_films, films, tmp_path, where, count
):
    given = {**asdict(on_films(films)), 'cache': None}
    killed = subprocess.run(
        [sys.executable, '-c', KILLED, where, str(count), json.dumps(given), str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -9, killed.stderr
    fit.train_run(on_films(films), 0, tmp_path, quiet)
    same_files(whole_on_films, tmp_path)


def test_a_run_killed_after_its_last_epoch_only_says_its_result(whole, tmp_path):
    out = tmp_path / 'run'
    shutil.copytree(whole[0], out)
    (out / 'result.json').unlink()
    fit.train_run(settings(), 0, out, quiet)
    same_files(whole[0], out)


def test_ctrl_c_is_told_from_an_error(tmp_path, monkeypatch, whole):
    def interrupt(self, batch):
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(TrainingModule, 'training_step', interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit.train_run(settings(), 0, tmp_path, quiet)
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores further ones


def test_nothing_is_half_written_where_the_disk_is_full(whole, tmp_path, monkeypatch):
    write = Path.write_bytes

    def full(path, data):
        if callbacks.LAST in path.name:
            write(path, data[:1000])
            raise OSError(28, 'No space left on device')
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'write_bytes', full)
        with pytest.raises(AvsolError, match='No space left'):
            fit.train_run(settings(), 0, tmp_path, quiet)
    fit.train_run(settings(), 0, tmp_path, quiet)
    same_files(whole[0], tmp_path)


@pytest.mark.slow
def test_two_processes_validate_as_one_and_learn_as_one_but_for_statistics(tmp_path):
    """
    With the statistics of batch normalization frozen, two processes make the same steps as one.

    Those statistics are per process on CPUs: PyTorch synchronizes them on GPUs only.
    """
    chosen = {
        'model': 'compact-static-dnm',
        **SETTINGS,
        'epochs': 2,
        'precision': '32-true',
        'drawn': 0,
    }
    (tmp_path / 'shared.py').write_text(SHARED)
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'GLOO_SOCKET_IFNAME': 'lo'}
    for processes in (1, 2):
        done = subprocess.run(
            [
                sys.executable,
                '-m',
                'torch.distributed.run',
                '--standalone',
                '--nproc-per-node',
                str(processes),
                str(tmp_path / 'shared.py'),
                json.dumps(chosen),
                str(tmp_path / str(processes)),
            ],
            capture_output=True,
            text=True,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
    tables = [
        np.genfromtxt(tmp_path / name / 'metrics.csv', delimiter=',', names=True)
        for name in ('1', '2')
    ]
    for name in tables[0].dtype.names:
        np.testing.assert_allclose(tables[0][name], tables[1][name], rtol=1e-4, atol=1e-6)
    one, two = (load_file(tmp_path / name / 'model.safetensors') for name in ('1', '2'))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    'model',
    ['compact-cdf-dnm', 'compact-static-avc', 'compact-cdf-cls', 'compact-cam', 'compact-tian'],
)
def test_every_kind_of_model_can_be_trained(model, tmp_path):
    path = fit.train_run(settings(model, epochs=1), 0, tmp_path, quiet)
    assert load_checkpoint(path).config == named_config(model, CATEGORIES)
    result = json.loads((tmp_path / 'result.json').read_text())['best']
    assert ('val_avc_accuracy' in result) == ('dnm' in model or 'avc' in model)
    assert ('val_class_accuracy' in result) == ('avc' not in model)


def test_several_seeds_share_their_features(tmp_path, capsys):
    argv = ['train', 'compact-static-cls', '--out', str(tmp_path), '--seed', '4', '5']
    for name, value in {**SETTINGS, 'epochs': 1, 'drawn': 0}.items():
        argv += [f'--{name}', str(value)]
    assert cli.main(argv) == 0
    assert 'computing features' not in capsys.readouterr().out
    states = [load_file(tmp_path / f'seed{seed}' / 'model.safetensors') for seed in (4, 5)]
    assert any(not torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_features_in_files_are_those_in_memory(tmp_path):
    net = load_checkpoint('compact')
    segments = SyntheticSegments('clean', 'val', 6, 1, 112, 8)
    lines = []
    found = [
        cached_features(
            net.visual_encoder,
            net.audio_encoder,
            segments,
            ('mean', 'maps', 'embedding'),
            tmp_path,
            report=lines.append,
        )
        for _ in range(2)
    ]
    assert len(lines) == 1
    expected = extract_features(net.visual_encoder, net.audio_encoder, segments)
    for one in found:
        assert one.visual is None
        for name in ('mean', 'maps', 'embedding', 'labels', 'clips'):
            assert torch.equal(getattr(one, name), getattr(expected, name))


def test_a_damaged_cache_is_named(tmp_path):
    net = load_checkpoint('compact')
    segments = SyntheticSegments('clean', 'val', 4, 1, 112, 8)

    def get():
        return cached_features(
            net.visual_encoder, net.audio_encoder, segments, ('mean',), tmp_path, report=quiet
        )

    get()
    os.truncate(next(tmp_path.glob('*/mean')), 100)
    with pytest.raises(AvsolError, match='has 100 bytes'):
        get()


def test_drawn_windows_are_of_different_scenes():
    labels = np.zeros((40, 2))
    labels[::2] = 1
    clips = np.arange(40) // 4
    chosen = choose_windows(labels, clips, 6)
    assert len(chosen) == 6 and sum(i % 2 == 0 for i in chosen) == 4
    assert choose_windows(np.ones((2, 1)), np.zeros(2), 6) == [0]


@pytest.fixture(scope='module')
def films(tmp_path_factory):
    """Return a prepared AVE folder of a few films."""
    folder = tmp_path_factory.mktemp('ave')
    make_ave(folder / 'raw', spoiled=False)
    assert (
        cli.main(['prepare', str(folder / 'raw'), str(folder / 'prepared'), '--workers', '2']) == 0
    )
    return str(folder / 'prepared')


def test_pictures_that_are_not_augmented_are_encoded_once(films, tmp_path):
    model = build_model(named_config('compact-static-dnm', AVE_CATEGORIES))
    data = fit.open_data(model, settings(data=films, cache=tmp_path), torch.device('cpu'), quiet)
    assert data.augmented and data.train.mean is None and data.train.embedding is not None
    assert data.validation.mean is not None and len(data.validation) == 20


def test_features_of_films_are_known_by_their_labels_too(films, tmp_path):
    shutil.copytree(films, tmp_path / 'films')
    before = AveSegments(tmp_path / 'films', 'val', 112, 8).key
    assert before == AveSegments(films, 'val', 112, 8).key
    for name in ('Annotations.txt', 'valSet.txt'):
        path = tmp_path / 'films' / name
        path.write_text(path.read_text().replace('banjoVal_01&good&1&9', 'banjoVal_01&good&2&9'))
    assert AveSegments(tmp_path / 'films', 'val', 112, 8).key != before


@pytest.mark.slow
def test_films_give_the_same_whoever_reads_them(films, tmp_path):
    for workers in (0, 2):
        fit.train_run(
            settings(data=films, epochs=2, batch=16, workers=workers),
            0,
            tmp_path / str(workers),
            quiet,
        )
    same_files(tmp_path / '0', tmp_path / '2')
    fit.train_run(
        settings(data=films, epochs=2, batch=16, augment=False), 0, tmp_path / 'still', quiet
    )
    tables = [(tmp_path / name / 'metrics.csv').read_text() for name in ('0', 'still')]
    assert tables[0] != tables[1]
    notes = json.loads(read_notes(tmp_path / '0' / 'model.safetensors')['training'])
    assert 'AVE' in notes['data']


@pytest.mark.parametrize('model', ['compact-tian', 'compact-cam', 'compact-cdf-dnm'])
def test_every_kind_of_model_can_be_trained_on_films(model, films, tmp_path):
    path = fit.train_run(
        settings(model, data=films, epochs=1, batch=20, workers=0), 0, tmp_path, quiet
    )
    assert len(load_checkpoint(path).config.classes) == 28


def test_published_encoders_must_be_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('AVSOL_WEIGHTS', str(tmp_path))
    assert (
        cli.main(['train', 'vgg19-static-dnm', '--out', str(tmp_path / 'out'), '--data', 'clean'])
        == 1
    )
    error = capsys.readouterr().err
    assert 'avsol weights get vgg19' in error and error.count('\n') == 1


def test_encoders_are_pretrained_once(tmp_path, monkeypatch):
    calls = []

    def pretend(seed, preset, keep, **_):
        write_text(keep / 'visual.ckpt', 'half of it')
        calls.append((seed, preset))
        torch.manual_seed(seed)
        return CompactVisualEncoder(), CompactAudioEncoder()

    monkeypatch.setattr(pretrain, 'pretrain_encoders', pretend)
    nets = []
    for name in ('compact-cdf-dnm', 'compact-cam'):
        nets.append(build_model(named_config(name, CATEGORIES)))
        fill_encoders(nets[-1], 'pretrain', 3, 'clean', tmp_path)
    assert calls == [(3, 'clean')]
    assert not list(tmp_path.glob('*.begun'))
    first, second = (net.visual_encoder.state_dict() for net in nets)
    assert all(torch.equal(first[name], second[name]) for name in first)
