"""Named models: what config/models says, what is built from it, and the commands that show it."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from avsol_ros import cli
from avsol_ros.errors import AvsolError
from avsol_ros.models.builder import build_model, named_config
from avsol_ros.models.catalogue import build_without_values, run_without_values
from avsol_ros.models.checkpoint import load_checkpoint, read_notes, save_checkpoint
from avsol_ros.models.model_names import named_models

CLASSES = ('bell', 'drum', 'clock')
TABLE_2 = ['cam', 'tian'] + [
    f'{encoder}-{rest}'
    for encoder in ('vgg19', 'i3d')
    for rest in ('static-cls', 'static-avc', 'static-dnm', 'cdf-dnm')
]
LITE = ['lite-cam'] + [
    f'lite-{rest}' for rest in ('static-cls', 'static-avc', 'static-dnm', 'cdf-dnm', 'sync-dnm')
]
COMPACT = (
    ['compact-cam', 'compact-tian']
    + [
        f'compact-{fusion}-{task}'
        for fusion in ('static', 'cdf')
        for task in ('cls', 'avc', 'dnm')
    ]
    + ['compact-sync-dnm']
)


def test_every_row_of_table_2_has_a_name_and_its_place():
    assert list(named_models()) == TABLE_2 + LITE + COMPACT


@pytest.mark.parametrize('name', TABLE_2)
def test_rows_say_what_they_are(name):
    config = named_config(name, CLASSES)
    if name in ('cam', 'tian'):
        assert (config.method, config.fusion, config.task) == (name, 'static', 'cls')
    else:
        encoder, fusion, task = name.split('-')
        assert (config.method, config.visual, config.audio, config.fusion, config.task) == (
            'avsm',
            encoder,
            'vggish',
            fusion,
            task,
        )
        assert config.similarity == 'dot'
    assert config.visual.startswith(('vgg19', 'i3d'))


def test_rows_of_one_encoder_differ_in_fusion_and_task_alone():
    for encoder in ('vgg19', 'i3d', 'lite', 'compact'):
        rows = [
            named_config(name, CLASSES).as_dict()
            for name in named_models()
            if name.startswith(f'{encoder}-') and name.count('-') == 2
        ]
        for row in rows:
            for key in ('fusion', 'task', 'time_stride'):  # the last has no meaning in static
                del row[key]
        assert all(row == rows[0] for row in rows)


@pytest.mark.parametrize('name', COMPACT + LITE)
def test_every_small_model_runs_is_saved_and_is_restored(name, tmp_path):
    torch.manual_seed(0)
    frames = 2 if name in LITE else None
    model = build_model(replace(named_config(name, CLASSES), frames=frames)).eval()
    again = load_checkpoint(save_checkpoint(tmp_path / 'model.safetensors', model))
    assert again.config == model.config and type(again) is type(model)
    encoder = model.visual_encoder
    frames = torch.rand(2, encoder.frames, 3, encoder.image_size, encoder.image_size)
    samples = torch.rand(2, 16_000) * 2 - 1
    with torch.inference_mode():
        output = model(frames, samples)
        heat = model.heatmap(output)
        torch.testing.assert_close(again.heatmap(again(frames, samples)), heat)
    assert heat.shape == (2, encoder.grid, encoder.grid)
    assert heat.min() >= 0 and heat.max() <= 1


@pytest.mark.parametrize('name', TABLE_2 + LITE)
def test_rows_on_published_encoders_have_the_shapes_that_they_should(name):
    """Without memory for the weights: on the device meta."""
    model = build_without_values(named_config(name, CLASSES))
    encoder = model.visual_encoder
    output = run_without_values(model)
    assert model.heatmap(output).shape == (1, encoder.grid, encoder.grid)
    assert encoder.grid == (7 if name == 'tian' else 14)
    assert (output.avc_logit is not None) == name.endswith(('avc', 'dnm'))
    assert (output.class_logits is not None) == (not name.endswith('avc'))


def test_the_number_of_frames_can_be_chosen():
    config = named_config('i3d-cdf-dnm', CLASSES)
    steps = {
        frames: build_without_values(replace(config, frames=frames)).fusion.steps
        for frames in (None, 16)
    }
    assert steps == {None: 6, 16: 4}


def test_a_file_of_ones_own_is_a_model(tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text('visual: compact\nfusion: static\ndim: 16\n')
    assert named_config(path, CLASSES).dim == 16


@pytest.mark.parametrize(
    'text, message',
    [
        ('visual: [', 'is not YAML'),
        ('- a\n', "says \\['a'\\]; expected settings"),
        ('colour: red\n', 'says colour; expected settings among'),
        ('classes: [a]\n', 'says classes; expected'),
        ('dim: many\n', "mine.yaml: dim is 'many'; expected a positive integer"),
        ('visual: [i3d]\n', "visual is \\['i3d'\\]; expected one of compact"),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    path = tmp_path / 'mine.yaml'
    path.write_text(text)
    with pytest.raises(AvsolError, match=message):
        named_config(path, CLASSES)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(AvsolError, match="no model 'vgg16'; expected a YAML file or one of cam"):
        named_config('vgg16', CLASSES)


def test_the_table_of_models(capsys):
    assert cli.main(['models', '--json']) == 0
    entries = {entry['name']: entry for entry in json.loads(capsys.readouterr().out)}
    assert list(entries) == list(named_models())
    # Published: VGG19's convolutions 20,024,384 parameters, and 39.0 GFLOP a frame to conv5_4;
    # VGGish 72,141,184 parameters; pool5 is 7 x 7.
    static, cdf = entries['vgg19-static-dnm'], entries['vgg19-cdf-dnm']
    assert static['frozen'] == 20_024_384 + 72_141_184
    assert 16 * 39.0e9 < static['flops'] < 16 * 39.0e9 * 1.01
    assert (static['steps'], cdf['steps'], cdf['heatmap']) == (1, 16, 14)
    assert cdf['frozen'] < static['frozen']  # CDF leaves out VGGish's last layers
    assert cdf['weights'] == ['vgg19', 'vggish'] and entries['cam']['weights'] == ['vgg19']
    lite = entries['lite-static-dnm']
    assert lite['weights'] == ['efficientnet-lite0', 'aisfx', 'soundnet']
    assert entries['lite-cam']['weights'] == ['efficientnet-lite0']
    assert entries['tian']['heatmap'] == 7 and entries['compact-cdf-dnm']['weights'] == []
    trained = {task: entries[f'i3d-static-{task}']['trained'] for task in ('cls', 'avc', 'dnm')}
    assert trained['cls'] == trained['dnm'] > trained['avc']
    assert cli.main(['models', 'cam', 'i3d-cdf-dnm']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        len(lines) == 3
        and lines[0].startswith('name')
        and lines[1].split()[:2] == ['cam', 'vgg19']
    )
    assert lines[2].split()[:4] == ['i3d-cdf-dnm', 'i3d', '+', 'vggish']


def test_building_a_checkpoint_takes_published_weights(tmp_path, capsys, monkeypatch):
    """A file of the right keys and shapes stands in for the published one."""
    from avsol_ros.models.vggish import VGGish

    vggish = tmp_path / 'vggish.safetensors'
    torch.manual_seed(1)
    published = {
        name: torch.randn(shape) * 0.02 for name, shape in VGGish.published_shapes().items()
    }
    save_file(published, vggish)
    settings = tmp_path / 'small.yaml'
    settings.write_text('visual: compact\naudio: vggish\nfusion: cdf\ndim: 8\n')
    out = tmp_path / 'model.safetensors'
    assert (
        cli.main(
            [
                'build',
                str(settings),
                str(out),
                '--classes',
                'bell',
                'drum',
                '--weights',
                f'vggish={vggish}',
            ]
        )
        == 0
    )
    assert capsys.readouterr().out.strip() == str(out)
    model = load_checkpoint(out)
    assert model.config.classes == ('bell', 'drum') and read_notes(out)['training'] == 'none'
    kept = model.audio_encoder.state_dict()
    assert kept and all(torch.equal(value, published[name]) for name, value in kept.items())
    monkeypatch.setenv('AVSOL_WEIGHTS', str(tmp_path / 'none'))
    assert cli.main(['build', str(settings), str(out)]) == 1
    assert 'avsol weights get vggish' in capsys.readouterr().err


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['cam', 'model.pt'], 'expected a name that ends in .safetensors'),
        (
            ['cam', 'model.safetensors', '--weights', 'vgg19'],
            "--weights 'vgg19'; expected NAME=FILE",
        ),
        (['resnet', 'model.safetensors'], "no model 'resnet'"),
    ],
)
def test_bad_arguments_of_build(arguments, message, capsys):
    assert cli.main(['build', *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
