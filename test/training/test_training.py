"""What is trained on what: features, pairs, gradients, learning, the command lines."""

import numpy as np
import pytest
import torch

pytest.importorskip('scipy')
pytest.importorskip('lightning')

from torch.nn import functional as F

from avsol_ros import cli
from avsol_ros.cli.train import parse
from avsol_ros.models.builder import ModelConfig, build_model, named_config
from avsol_ros.models.encoders import AudioFeatures
from avsol_ros.models.model_names import named_models
from avsol_ros.training.annotations.annotation_files import read_annotations
from avsol_ros.training.backbones import listener
from avsol_ros.training.datasets.batches import (
    Batches,
    TrainingPlan,
    ValidationPlan,
    event_units,
    loader,
    sequence_units,
)
from avsol_ros.training.datasets.features import FeatureSet, extract_features
from avsol_ros.training.datasets.segments import SyntheticSegments
from avsol_ros.training.evaluation.scoring import predict, score_windows
from avsol_ros.training.fit import Processes, make_trainer
from avsol_ros.training.metrics.deaf_maps import centre_prior
from avsol_ros.training.module import TrainingModule
from avsol_ros.training.objectives import feature_kinds, judge, tasks
from avsol_ros.training.settings import TrainSettings
from avsol_ros.training.synthetic.objects import CATEGORIES
from avsol_ros.training.synthetic.window_set import render_pictures, render_sounds, render_windows


def model(fusion='static', task='dnm', classes=CATEGORIES, **settings):
    torch.manual_seed(0)
    return build_model(ModelConfig(classes, fusion=fusion, task=task, dim=16, **settings))


@pytest.fixture(scope='module')
def segments():
    return SyntheticSegments('clean', 'train', 12, 0, 112, 8)


def toy_features(n=192, classes=3, seed=0):
    """Cells and sounds that carry their class plainly; one cell per window holds the object."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(classes, size=n)
    visual = rng.random((n, 1, 4, 4, 96)).astype(np.float32) * 0.05
    places = rng.integers(4, size=(n, 2))
    visual[np.arange(n), 0, places[:, 0], places[:, 1], kinds] = 3
    embedding = rng.random((n, 128)).astype(np.float32) * 0.05
    embedding[np.arange(n), kinds] = 3
    labels = F.one_hot(torch.from_numpy(kinds), classes).float()
    return FeatureSet(
        labels,
        torch.arange(n) // 4,
        mean=torch.from_numpy(visual),
        embedding=torch.from_numpy(embedding),
    ), places


def fit(net, features, tmp_path, epochs, batch, rate=2e-3, seed=0, validation=None):
    """Train on features, by the trainer that the command line uses."""
    sounds = len(features) if 'avc' in tasks(net) else None
    units = event_units(features.labels)
    plan = TrainingPlan(units, sounds, batch, seed)
    net.freeze_encoders()
    module = TrainingModule(net, rate, 0.02, epochs * len(plan))
    trainer = make_trainer(
        TrainSettings('compact-static-dnm', epochs=epochs),
        '32-true',
        torch.device('cpu'),
        Processes(),
        tmp_path,
        [],
    )
    held_out = features if validation is None else validation
    trainer.fit(
        module,
        loader(Batches(features), plan),
        loader(
            Batches(held_out),
            ValidationPlan(event_units(held_out.labels), sounds and len(held_out), batch),
        ),
    )
    net.eval()
    return module.metrics


def outcome(net, features, videos, others):
    heard = torch.cat([videos, others])
    return judge(
        net,
        features.mean[videos].permute(0, 4, 1, 2, 3),
        AudioFeatures(None, features.embedding[heard]),
        features.labels[videos],
    )


def test_batches_are_those_of_one_process_however_many_share_them():
    units = np.flatnonzero(np.random.default_rng(0).random(200) < 0.7)
    alone = TrainingPlan(units, 200, 32, seed=5)
    shares = [TrainingPlan(units, 200, 32, 5, rank, 4) for rank in range(4)]
    seen = []
    for epoch in (0, 1):
        for plan in (alone, *shares):
            plan.set_epoch(epoch)
        for whole, *parts in zip(alone, *shares):
            for name in ('videos', 'others'):
                got = np.stack([getattr(part, name) for part in parts], 1).ravel()
                np.testing.assert_array_equal(got, getattr(whole, name))
            assert set(whole.videos) <= set(units) and (whole.videos != whole.others).all()
        seen.append(np.concatenate([request.videos for request in alone]))
        assert len(set(seen[-1])) == len(seen[-1]) == len(units) // 32 * 32
    assert (seen[0] != seen[1]).any()


def test_validation_takes_every_window_once_and_the_same_pairs_in_any_layout():
    units = np.arange(3, 40)
    found = [
        {
            int(v): int(o)
            for share in range(world)
            for request in ValidationPlan(units, 50, size, share, world)
            for v, o in zip(request.videos, request.others)
        }
        for world, size in ((1, 64), (1, 5), (3, 4))
    ]
    assert found[0] == found[1] == found[2] and sorted(found[0]) == units.tolist()


def test_sequences_are_whole_clips():
    clips = np.array([0, 0, 0, 1, 1, 2, 2, 2, 5])
    np.testing.assert_array_equal(sequence_units(clips, 3), [[0, 1, 2], [5, 6, 7]])


@pytest.mark.parametrize('fusion', ['static', 'cdf'])
def test_cached_features_give_what_the_whole_model_gives(segments, fusion):
    net = model(fusion).eval()
    features = extract_features(net.visual_encoder, listener(net), segments)
    visual = features.mean if fusion == 'static' else features.visual
    with torch.inference_mode():
        output = net.fuse(
            visual.permute(0, 4, 1, 2, 3).float(),
            AudioFeatures(features.maps.float(), features.embedding),
        )
    live = predict(net, segments.rendered)
    for i, found in enumerate(live):
        # Cached features are bfloat16.
        np.testing.assert_allclose(output.localization[i], found.heatmap, atol=0.03)
        assert float(output.avc_logit[i].sigmoid()) == pytest.approx(found.avc, abs=0.03)
    np.testing.assert_array_equal(features.labels, segments.labels)
    np.testing.assert_array_equal(features.clips, np.arange(12) // 4)


def test_losses_are_the_papers():
    """Section 5.1: both binary cross-entropies, classification only where AVC = yes."""
    features, _ = toy_features(8)
    net = model(classes=('a', 'b', 'c')).eval()
    videos, others = torch.arange(4), torch.tensor([4, 5, 6, 7])
    found = outcome(net, features, videos, others)
    right = net.fuse(
        features.mean[videos].permute(0, 4, 1, 2, 3),
        AudioFeatures(None, features.embedding[videos]),
    )
    wrong = net.fuse(
        features.mean[videos].permute(0, 4, 1, 2, 3),
        AudioFeatures(None, features.embedding[others]),
    )
    z = torch.cat([right.avc_logit, wrong.avc_logit]).sigmoid()
    torch.testing.assert_close(found.losses['avc'], -torch.cat([z[:4].log(), (1 - z[4:]).log()]))
    p, y = right.class_logits.sigmoid(), features.labels[videos]
    torch.testing.assert_close(
        found.losses['class'], -(y * p.log() + (1 - y) * (1 - p).log()).mean(1)
    )
    again = outcome(net, features, videos, torch.tensor([7, 7, 7, 7]))
    assert torch.equal(found.losses['class'], again.losses['class'])
    assert not torch.equal(found.losses['avc'], again.losses['avc'])


def test_right_and_wrong_sounds_share_their_batch_statistics():
    """Normalized apart, either kind of sound would be told by its statistics alone."""
    net = model('cdf', classes=('a', 'b', 'c')).train()
    net.freeze_encoders()
    generator = torch.Generator().manual_seed(0)
    visual = torch.rand(4, 96, 8, 5, 5, generator=generator)
    maps = torch.rand(8, 128, 24, 16, generator=generator)
    labels = torch.eye(3)[[0, 1, 2, 0]]
    before = judge(net, visual, AudioFeatures(maps, None), labels).losses['avc'][:4]
    maps[4:] *= 5
    after = judge(net, visual, AudioFeatures(maps, None), labels).losses['avc'][:4]
    assert (before - after).abs().max() > 1e-3


def test_tian_learns_one_class_or_background_each_second():
    net = model(classes=('a', 'b', 'c'), method='tian', task='cls').eval()
    generator = torch.Generator().manual_seed(0)
    visual = torch.rand(8, 96, 1, 14, 14, generator=generator)
    embedding = torch.rand(8, 128, generator=generator)
    labels = torch.tensor([[[1, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1.0]]] * 2)
    found = judge(net, visual, AudioFeatures(None, embedding), labels)
    log_p = net.classify(
        net.attend(visual, AudioFeatures(None, embedding))[1].unflatten(0, (2, 4))
    ).log_softmax(2)
    for clip in range(2):
        expected = [
            -log_p[clip, 0, 0],
            -log_p[clip, 1, 3],
            -log_p[clip, 2, 2],
            -log_p[clip, 3, 1:3].mean(),
        ]
        for second, value in enumerate(expected):
            torch.testing.assert_close(found.losses['class'][clip * 4 + second], value)


@pytest.mark.parametrize('task', ['dnm', 'avc', 'cls'])
def test_each_task_trains_what_it_should(task, tmp_path):
    features, _ = toy_features(64)
    net = model(task=task, classes=('a', 'b', 'c'))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    metrics = fit(net, features, tmp_path, 1, 16)
    changed = {k for k, v in net.state_dict().items() if not torch.equal(v, before[k])}
    # Neither weights nor statistics of the encoders.
    assert not any(k.startswith(('visual_encoder', 'audio_encoder')) for k in changed)
    assert any(k.startswith('fusion.visual') for k in changed)
    accuracies = [v for k, v in metrics.items() if k.startswith('val') and k.endswith('accuracy')]
    assert metrics['val_selection'] == pytest.approx(np.mean(accuracies))
    assert len(accuracies) == (2 if task == 'dnm' else 1)
    if task == 'avc':
        assert not any(k.startswith('head') for k in before)
    else:  # weight decay alone moves weights; a classifier that learned moves its bias
        moved = (net.head.classifier.bias - before['head.classifier.bias']).abs().max()
        assert moved > 1e-3


def test_training_finds_the_object_in_plain_features(tmp_path):
    features, _ = toy_features(256)
    held_out, places = toy_features(64, seed=1)
    net = model(classes=('a', 'b', 'c'))
    metrics = fit(net, features, tmp_path, 60, 32, validation=held_out)
    with torch.inference_mode():
        output = net.fuse(
            held_out.mean.permute(0, 4, 1, 2, 3), AudioFeatures(None, held_out.embedding)
        )
    peaks = output.similarity.flatten(1).argmax(1).numpy()
    assert (peaks == places[:, 0] * 4 + places[:, 1]).mean() > 0.9
    right = (output.class_logits.argmax(1) == held_out.labels.argmax(1)).float().mean()
    assert right > 0.9 and metrics['val_class_accuracy'] == pytest.approx(float(right))
    assert metrics['val_avc_accuracy'] > 0.75  # a third of the wrong sounds fit


def test_every_model_says_what_it_needs_and_has_settings():
    for name in named_models():
        net = build_model_without_weights(name)
        kinds = feature_kinds(net)
        assert ('maps' in kinds) == ('cdf' in name or 'sync' in name)
        assert ('embedding' in kinds) == ('cdf' not in name and 'cam' not in name)
        settings, seeds, _ = parse([name, '--out', 'x', '--seed', '3', '4', '3'])
        assert settings.model == name and seeds == [3, 4]
        assert settings.rate == (0.002 if name.startswith('compact') else 0.0005)


def build_model_without_weights(name):
    with torch.device('meta'):
        return build_model(named_config(name, CATEGORIES))


def test_the_command_line_wins_over_files_and_those_over_the_models(tmp_path):
    (tmp_path / 'mine.yaml').write_text('epochs: 7\nbatch: 8\n')
    settings, _, _ = parse(
        ['vgg19-static-dnm', '--out', 'x', '--config', str(tmp_path / 'mine.yaml'), '--batch', '9']
    )
    assert (settings.epochs, settings.batch, settings.rate) == (7, 9, 0.0005)


def test_settings_are_those_of_the_model_whatever_else_is_named(tmp_path):
    settings, _, _ = parse(['--out', 'runs/compact-tian', 'compact-cdf-dnm'])
    assert (settings.model, settings.epochs) == ('compact-cdf-dnm', 8)
    settings, _, _ = parse([str(tmp_path / 'mine.yaml'), '--out', 'runs/compact-tian'])
    assert settings.epochs == TrainSettings('mine').epochs


@pytest.mark.parametrize('steps', [1, 2, 3, 4, 5, 6, 10])
def test_the_schedule_takes_any_number_of_steps(steps):
    made = TrainingModule(model(), 1e-3, 0.02, steps).configure_optimizers()
    rates = []
    for _ in range(steps):
        made['optimizer'].step()
        rates.append(made['lr_scheduler']['scheduler'].get_last_lr()[0])
        made['lr_scheduler']['scheduler'].step()
    assert max(rates) <= 1e-3 and rates[-1] <= max(rates)


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


def test_synthesize_as_a_user_types_it(tmp_path, capsys):
    assert (
        cli.main(
            [
                'synthesize',
                str(tmp_path),
                '--count',
                '2',
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
    printed = capsys.readouterr().out.split()
    assert [p.rpartition('/')[2] for p in printed] == ['scene_0000.mp4', 'scene_0001.mp4']
    [truth] = read_annotations(tmp_path / 'scene_0001.json')
    assert (truth.width, truth.height, len(truth.frames)) == (96, 64, 20)


@pytest.mark.parametrize(
    'arguments, text',
    [
        (['train', 'compact-static-dnm', '--out', 'OUT', '--epochs', '0'], '--epochs is 0'),
        (
            ['train', 'compact-static-dnm', '--out', 'OUT', '--data', 'no'],
            "data is 'no'; expected",
        ),
        (['train', 'compact-static-dnm', '--out', 'OUT', '--encoders', 'no'], "no model 'no'"),
        (['train', 'no', '--out', 'OUT'], "no model 'no'"),
        (['train', 'compact-static-dnm', '--out', '/proc/x'], 'cannot make the folder /proc/x'),
        (['evaluate', 'nowhere'], "no model 'nowhere'"),
        (['evaluate', '--windows', '0'], '--windows is 0'),
        (['synthesize', 'x', '--count', '0'], '--count is 0'),
        (['synthesize', 'x', '--seed', '-1'], '--seed is -1'),
        (['synthesize', '/proc/x'], 'cannot make the folder /proc/x'),
        (['evaluate', '--seed', '-3'], '--seed is -3'),
    ],
)
def test_bad_arguments_are_named(arguments, text, tmp_path, capsys):
    assert cli.main([word.replace('OUT', str(tmp_path)) for word in arguments]) == 1
    printed = capsys.readouterr().err
    assert text in printed and len(printed.splitlines()) == 1


@pytest.mark.parametrize(
    'words, text',
    [
        ([], 'arguments are required: --out'),
        (['--out', 'out', '--epochs', 'x'], '--epochs: '),
        (['--out', 'out', '--epoch', '1'], 'unrecognized arguments: --epoch 1'),
        (['--out', 'out', '--colour', 'x'], 'colour'),
    ],
)
def test_wrong_options_of_training_are_named(words, text, capsys):
    assert cli.main(['train', 'compact-static-dnm', *words]) == 2
    printed = capsys.readouterr().err
    assert text in printed and len(printed.splitlines()) == 1
