"""Models and data that are not there are refused before anything heavy is imported or written."""

import sys

import pytest
from films import write_film
from processes import run_without

from avsol_ros.cli import main

# What takes long to import; where it is blocked, a refusal shows that it was not needed.
HEAVY = ('torch', 'torchaudio', 'lightning', 'torchmetrics', 'scipy', 'rosbags')

NO_MATERIAL = "--material is 'nosuch', which is no folder; expected a folder with manifest.csv"
NO_LIST = "--material is 'empty', a folder without manifest.csv; "
NO_CHECKPOINT = "no model 'nosuch': it is neither a file nor a shipped model (compact)"
NO_ROW = "no model 'nosuch'; expected a YAML file or one of cam, "
NO_DATA = (
    "--data is 'nosuch'; expected clean, hard, real or a folder that avsol prepare has written"
)


def refusal(folder, *words):
    """Run avsol in a folder, which stays as it was; give the one line of its error."""
    before = sorted(folder.rglob('*'))
    done = run_without(HEAVY, *words, cwd=folder)
    assert done.returncode == 1 and done.stdout == '', done.stderr
    assert done.stderr.count('\n') == 1
    start = f'avsol {words[0]}: error: '
    assert done.stderr.startswith(start)
    assert sorted(folder.rglob('*')) == before
    return done.stderr.removeprefix(start).strip()


@pytest.mark.parametrize(
    'words, text',
    [
        ('train nosuch --out out', NO_ROW),
        ('train compact-cdf-dnm --data nosuch --out out', NO_DATA),
        ('train compact-cdf-dnm --data empty --out out', 'a folder without manifest.json; '),
        ('train compact-cdf-dnm --encoders nosuch --out out', NO_CHECKPOINT),
        ('train compact-cdf-dnm --seed 0 1 --data nosuch --out out', NO_DATA),
        ('train compact-cdf-dnm --data real --material nosuch --out out', NO_MATERIAL),
        ('train compact-cdf-dnm --data real --material empty --out out', NO_LIST),
        ('train compact-cdf-dnm --material empty --out out', '--material goes with --data real'),
        ('evaluate --data real --material nosuch --out out', NO_MATERIAL),
        ('evaluate --data hard --material empty', '--material goes with --data real, and --data'),
        ('evaluate bag --material empty', '--material does not go with a bag'),
        ('synthesize out --preset real --material nosuch', NO_MATERIAL),
        ('synthesize out --material empty', '--material goes with --preset real, and --preset'),
        ('evaluate nosuch', NO_CHECKPOINT),
        ('evaluate nosuch --out out', "'nosuch' is no bag either"),
        ('evaluate --data nosuch --out out', NO_DATA),
        ('evaluate bag nosuch --out out', NO_CHECKPOINT),
        ('localize clip.mp4 --model nosuch --out out', NO_CHECKPOINT),
        ('localize clip.mp4 --model nosuch', NO_CHECKPOINT),
        ('benchmark nosuch', NO_CHECKPOINT),
        ('benchmark nosuch.yaml', "no model 'nosuch.yaml'; expected a YAML file or one of cam, "),
        ('build nosuch m.safetensors', NO_ROW),
        ('models nosuch', NO_ROW),
        ('localize clip.mp4 --out clip.mp4', 'cannot make the folder clip.mp4 (Not a directory)'),
        ('evaluate --data prepared', 'prepared needs --annotations: '),
        ('localize nosuch.mp4', 'nosuch.mp4 does not exist; expected a film, or a folder'),
        ('localize nosuch.mp4 --out out', 'nosuch.mp4 does not exist; '),
        ('evaluate bag --annotations nosuch', "--annotations is 'nosuch', which does not exist; "),
        ('evaluate --recorded nosuch', "--recorded is 'nosuch', which does not exist; "),
        ('evaluate nosuch.mcap', 'there is no bag nosuch.mcap'),
        ('convert nosuch out', 'nosuch does not exist; expected a bag, a film or a dataset'),
        ('prepare nosuch out', 'nosuch has no Annotations.txt; '),
        ('build cam m.safetensors --weights vgg19=nosuch', "--weights vgg19 is 'nosuch', which "),
    ],
)
def test_a_name_of_nothing_is_refused_early(words, text, tmp_path):
    write_film(tmp_path / 'clip.mp4', seconds=0.2)
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'prepared').mkdir()
    (tmp_path / 'prepared' / 'manifest.json').touch()
    (tmp_path / 'bag').mkdir()
    (tmp_path / 'bag' / 'metadata.yaml').touch()
    assert text in refusal(tmp_path, *words.split())


@pytest.mark.parametrize('verb', ['demo', 'localizer'])
def test_nodes_too(verb, tmp_path):
    pytest.importorskip('rclpy')
    assert NO_CHECKPOINT in refusal(tmp_path, verb, '--model', 'nosuch')


@pytest.mark.parametrize(
    'words, text',
    [
        ('train compact-cfd-dnm --out out', 'did you mean compact-cdf-dnm'),
        ('models vgg19-cdf', 'did you mean vgg19-cdf-dnm'),
        ('train compact-cdf-dnm --data hrad --out out', 'did you mean hard?'),
        ('localize clip.mp4 --model compct', 'did you mean compact?'),
        ('localize clip.mp4 --model cam', '`avsol build cam cam.safetensors` writes a file'),
        ('localize clip.mp4 --model run', 'in this folder there is run/model.safetensors'),
    ],
)
def test_what_may_be_meant_is_told(words, text, tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'model.safetensors').touch()
    assert text in refusal(tmp_path, *words.split())


@pytest.mark.parametrize(
    'words',
    [
        ('localize', 'clip.mp4', '--out', ''),
        ('train', 'compact-cam', '--out', ''),
        ('evaluate', '--data', 'hard', '--out', ''),
        ('synthesize', ''),
        ('prepare', 'films', ''),
        ('convert', 'clip.mp4', ''),
        ('build', 'compact-cam', ''),
    ],
)
def test_an_empty_name_is_not_the_folder_where_one_is(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        sys.exit(main(list(words)))
    assert end.value.code == 2
    assert 'the name is empty; expected a file or folder' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('words', 'text'),
    [
        ('', 'the following arguments are required: model, --out; '),
        ('cam --out out --epochs two', "--epochs: 'two'; expected a whole number; "),
        ('cam --out out --rate fast', "--rate: 'fast'; expected a number; "),
        ('cam --out out --precision 8', "--precision: '8'; expected 'auto', '32-true', "),
        ('cam --out out --augment maybe', "--augment: 'maybe' is none of the values that it "),
    ],
)
def test_wrong_settings_are_called_as_on_the_command_line(words, text, capsys):
    pytest.importorskip('jsonargparse')
    with pytest.raises(SystemExit) as end:
        sys.exit(main(['train', *words.split()]))
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f'avsol train: error: {text}') and said.count('\n') == 1


def test_settings_of_training_may_be_written_as_options_of_other_verbs():
    pytest.importorskip('jsonargparse')
    from avsol_ros.cli.train import parse

    words = [
        'cam',
        '--out',
        'a--b',
        '--encoder-seed=4',
        '--same-clip',
        '0.25',
        '--scene_seed',
        '3',
    ]
    settings, _, out = parse(words)
    assert (settings.encoder_seed, settings.same_clip, settings.scene_seed) == (4, 0.25, 3)
    assert str(out) == 'a--b'
