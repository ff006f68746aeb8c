"""The training recipe: pairs, gradients, learning, the command lines."""

import json

import numpy as np
import pytest
import torch

pytest.importorskip('scipy')

from avsol_ros import cli
from avsol_ros.checkpoint import load_checkpoint, read_notes, save_checkpoint
from avsol_ros.models.builder import ModelConfig, build_model
from avsol_ros.models.compact import CompactAudioEncoder
from avsol_ros.training.objects import CATEGORIES
from avsol_ros.training.recipe import (
    FeatureSet,
    TrainConfig,
    extract_features,
    losses,
    other_sounds,
    train,
)
from avsol_ros.training.scoring import centre_prior, predict, score_windows
from avsol_ros.training.windowset import render_pictures, render_sounds, render_windows


def model(fusion='static', task='dnm', classes=CATEGORIES):
    torch.manual_seed(0)
    return build_model(ModelConfig(classes, fusion=fusion, task=task, dim=16))


@pytest.fixture(scope='module')
def windows():
    return render_windows('train', 12, workers=1)


def toy_features(n=192, classes=3, seed=0):
    """Cells and sounds that carry their class plainly; one cell per window holds the object."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(classes, size=n)
    visual = rng.random((n, 1, 4, 4, 96)).astype(np.float32) * 0.05
    places = rng.integers(4, size=(n, 2))
    visual[np.arange(n), 0, places[:, 0], places[:, 1], kinds] = 3
    embedding = rng.random((n, 128)).astype(np.float32) * 0.05
    embedding[np.arange(n), kinds] = 3
    labels = torch.nn.functional.one_hot(torch.from_numpy(kinds), classes).float()
    return FeatureSet(torch.from_numpy(visual), None, torch.from_numpy(embedding),
                      labels), places


def test_no_window_gets_its_own_sound_as_the_wrong_one():
    rng = np.random.default_rng(0)
    for sounds in (2, 3, 100):
        videos = rng.integers(sounds, size=500)
        others = other_sounds(videos, sounds, rng)
        assert (others != videos).all() and others.min() >= 0 and others.max() < sounds
    counts = np.bincount(other_sounds(np.zeros(30_000, int), 4, rng), minlength=4)
    assert counts[0] == 0 and (abs(counts[1:] - 10_000) < 500).all()


@pytest.mark.parametrize('fusion', ['static', 'cdf'])
def test_cached_features_give_what_the_whole_model_gives(windows, fusion):
    net = model(fusion).eval()
    audio = CompactAudioEncoder()
    audio.load_state_dict(net.audio_encoder.state_dict())
    features = extract_features(net.visual_encoder, audio, windows)
    if fusion == 'static':
        features = features.averaged()
    index = torch.arange(len(windows))
    with torch.inference_mode():
        output = net.fuse(features.sight(index).float(), features.sound(index))
    live = predict(net, windows)
    for i, found in enumerate(live):
        # Cached features are bfloat16.
        np.testing.assert_allclose(output.localization[i], found.heatmap, atol=0.03)
        assert float(output.avc_logit[i].sigmoid()) == pytest.approx(found.avc, abs=0.03)
    np.testing.assert_array_equal(features.labels, windows.labels)


def test_classification_teaches_only_where_avc_is_yes():
    features, _ = toy_features(8)
    net = model(classes=('a', 'b', 'c')).eval()
    videos = torch.arange(4)
    one = losses(net, features, videos, torch.tensor([4, 5, 6, 7]))
    other = losses(net, features, videos, torch.tensor([7, 7, 7, 7]))
    assert one[1].item() == other[1].item() and one[0].item() != other[0].item()


@pytest.mark.parametrize('task', ['dnm', 'avc', 'cls'])
def test_each_task_trains_what_it_should(task):
    features, _ = toy_features(64)
    net = model(task=task, classes=('a', 'b', 'c'))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    train(net, features, TrainConfig(epochs=1, batch=16), report=lambda line: None)
    changed = {k for k, v in net.state_dict().items() if not torch.equal(v, before[k])}
    assert not any(k.startswith(('visual_encoder', 'audio_encoder')) for k in changed)
    assert any(k.startswith('fusion.visual') for k in changed)
    if task == 'avc':
        assert not any(k.startswith('head') for k in before)
    else:  # weight decay alone moves weights; a classifier that learned moves its bias
        moved = (net.head.classifier.bias - before['head.classifier.bias']).abs().max()
        assert moved > 1e-3


def test_training_finds_the_object_in_plain_features():
    features, _ = toy_features(256)
    held_out, places = toy_features(64, seed=1)
    net = model(classes=('a', 'b', 'c'))
    lines = []
    train(net, features, TrainConfig(epochs=80, batch=32), report=lines.append)
    assert len(lines) == 80 and 'avc' in lines[0] and 'cls' in lines[0]
    index = torch.arange(64)
    with torch.inference_mode():
        output = net.fuse(held_out.sight(index), held_out.sound(index))
    peaks = output.similarity.flatten(1).argmax(1).numpy()
    assert (peaks == places[:, 0] * 4 + places[:, 1]).mean() > 0.9
    assert (output.class_logits.argmax(1) == held_out.labels.argmax(1)).float().mean() > 0.9


def test_training_is_repeatable():
    features, _ = toy_features(64)
    nets = []
    for _ in range(2):
        net = model(classes=('a', 'b', 'c'))
        train(net, features, TrainConfig(epochs=2, batch=16, seed=3), report=lambda line: None)
        nets.append(net.state_dict())
    for key, value in nets[0].items():
        torch.testing.assert_close(value, nets[1][key], rtol=1e-4, atol=1e-5)


def test_a_map_of_the_truth_scores_perfectly_and_a_centre_prior_poorly():
    held_out = render_windows('test', 40, workers=1, size=48, frames=1)
    truth = np.zeros((40, 48, 48), np.float32)
    for i, frames in enumerate(held_out.truth):
        for thing in frames[5]:
            if thing.sounding and thing.box:
                x0, y0, x1, y1 = np.round(thing.box).astype(int)
                truth[i, y0:y1, x0:x1] = 0.9
                truth[i, (y0 + y1) // 2, (x0 + x1) // 2] = 1
    perfect = score_windows(truth, held_out)
    prior = score_windows(np.stack([centre_prior(48)] * 40), held_out)
    assert perfect.hmbox_auc > 0.8 and perfect.pibr > 0.95 and perfect.pnsr == 0
    assert prior.hmbox_auc < 0.3 and prior.pnsr > 1
    assert perfect.ave_frames + perfect.other_frames == 400


def test_pretraining_data_is_repeatable_and_balanced():
    pictures, kinds = render_pictures(60, workers=1, size=32)
    again, _ = render_pictures(60, workers=1, size=32)
    np.testing.assert_array_equal(pictures, again)
    assert pictures.dtype == np.uint8 and len(set(kinds.tolist())) > 8
    sounds, kinds = render_sounds(60, workers=1)
    assert sounds.shape == (60, 16_000) and sounds.dtype == np.int16
    assert len(set(kinds.tolist())) > 8 and (np.abs(sounds).max(1) > 1000).all()


def test_train_and_evaluate_as_a_user_types_them(tmp_path, capsys):
    start = save_checkpoint(tmp_path / 'start.safetensors', model())
    out = tmp_path / 'new.safetensors'
    assert cli.main(['train', str(out), '--fusion', 'static', '--windows', '160', '--epochs', '1',
                     '--encoders', str(start)]) == 0
    assert 'epoch 1/1' in capsys.readouterr().out
    assert load_checkpoint(out).config.fusion == 'static'
    assert json.loads(read_notes(out)['training'])['windows'] == 160
    assert cli.main(['evaluate', str(out), '--windows', '8', '--json']) == 0
    table = json.loads(capsys.readouterr().out)
    assert [row['model'] for row in table['rows']] == [str(out), 'centre prior', 'noise']
    assert all(0 <= row['hmbox_auc'] <= 1 for row in table['rows'])
    assert cli.main(['evaluate', str(out), '--windows', '8']) == 0
    assert 'HmBoxAUC' in capsys.readouterr().out


def test_synthesize_as_a_user_types_it(tmp_path, capsys):
    assert cli.main(['synthesize', str(tmp_path), '--count', '2', '--seconds', '2', '--size',
                     '96x64', '--rate', '10']) == 0
    printed = capsys.readouterr().out.split()
    assert [p.rpartition('/')[2] for p in printed] == ['scene_0000.mp4', 'scene_0001.mp4']
    truth = json.loads((tmp_path / 'scene_0001.json').read_text())
    assert (truth['width'], truth['height'], len(truth['frames'])) == (96, 64, 20)


@pytest.mark.parametrize('arguments, text', [
    (['train', 'x.pt'], 'x.pt is to hold 1 model(s); expected a name that ends in .safetensors'),
    (['train', 'x.safetensors', '--seed', '0', '1'], 'is to hold 2 model(s)'),
    (['train', 'x.safetensors', '--epochs', '0'], '--epochs is 0'),
    (['evaluate', 'nowhere'], "no model 'nowhere'"),
    (['evaluate', '--windows', '0'], '--windows is 0'),
    (['synthesize', 'x', '--count', '0'], '--count is 0'),
    (['synthesize', 'x', '--seed', '-1'], '--seed is -1'),
    (['synthesize', '/proc/x'], 'cannot make the folder /proc/x'),
    (['train', '/proc/x/m.safetensors'], 'cannot make the folder /proc/x'),
    (['evaluate', '--seed', '-3'], '--seed is -3'),
])
def test_bad_arguments_are_named(arguments, text, capsys):
    assert cli.main(arguments) == 1
    printed = capsys.readouterr().err
    assert text in printed and len(printed.splitlines()) == 1
