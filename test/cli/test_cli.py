"""The command line as a user meets it: exit status, one-line errors, nothing loaded in vain."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from processes import AVSOL, run_without, start_avsol
from waiting import PATIENCE_S

from avsol_ros import __version__, requirements
from avsol_ros.cli import VERBS, Verb, main
from avsol_ros.errors import printable

# What takes long to import, or is not there without ROS or for those who do not train.
HEAVY = ('rclpy', 'torch', 'torchaudio', 'lightning', 'torchmetrics', 'scipy', 'sklearn')

SOURCE = Path(__file__).resolve().parents[2]


@pytest.fixture
def verb(tmp_path, monkeypatch):
    """Return a function that makes a verb `sample` whose module has the given code."""

    def make(code: str, **settings):
        (tmp_path / 'sample_verb.py').write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, 'sample_verb', raising=False)
        monkeypatch.setitem(VERBS, 'sample', Verb('sample_verb', 'a sample', **settings))

    return make


def error_line(capsys) -> str:
    """Return what went to stderr, which must be one line."""
    printed = capsys.readouterr()
    assert printed.out == ''
    assert printed.err.count('\n') == 1 and printed.err.endswith('\n')
    return printed.err.strip()


def test_help_lists_every_verb(capsys):
    assert main(['--help']) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, entry in VERBS.items():
        assert any(line.split()[:1] == [name] and line.endswith(entry.help) for line in lines)


def test_no_verb_shows_the_help_and_fails(capsys):
    assert main([]) == 2
    assert 'usage: avsol' in capsys.readouterr().out


def test_version(capsys):
    assert main(['--version']) == 0
    assert capsys.readouterr().out == f'avsol {__version__}\n'


def test_misspelt_verb_gets_the_close_one(capsys):
    assert main(['evalaute']) == 2
    assert "did you mean 'evaluate'?" in error_line(capsys)


def test_unknown_verb_gets_all_of_them(capsys):
    assert main(['zzz']) == 2
    line = error_line(capsys)
    assert all(name in line for name in VERBS)


def test_verb_gets_its_arguments_and_gives_its_status(verb, capsys):
    verb('def main(argv):\n    print(argv)\n    return 3\n')
    assert main(['sample', 'clip.mp4', '--ros-args', '-p', 'hop:=0.25']) == 3
    assert capsys.readouterr().out == "['clip.mp4', '--ros-args', '-p', 'hop:=0.25']\n"


def test_verb_that_returns_nothing_succeeds(verb):
    verb('def main(argv):\n    pass\n')
    assert main(['sample']) == 0


def test_bad_input_is_one_line(verb, capsys):
    verb(
        'from avsol_ros.errors import AvsolError\n'
        'def main(argv):\n    raise AvsolError("no.mp4 does not exist")\n'
    )
    assert main(['sample']) == 1
    assert error_line(capsys) == 'avsol sample: error: no.mp4 does not exist'


def test_a_bug_keeps_its_traceback(verb):
    verb('def main(argv):\n    raise ZeroDivisionError\n')
    with pytest.raises(ZeroDivisionError):
        main(['sample'])


def test_interrupt_is_what_a_shell_expects(verb):
    verb('def main(argv):\n    raise KeyboardInterrupt\n')
    assert main(['sample']) == 130


@pytest.mark.parametrize(
    'code',
    [
        'import lightning_is_missing.fabric\ndef main(argv):\n    pass\n',
        'def main(argv):\n    import lightning_is_missing\n',
    ],
)
def test_missing_module_names_what_to_install(verb, capsys, monkeypatch, code):
    monkeypatch.setitem(requirements.TRAINING, 'lightning_is_missing', 'lightning')
    monkeypatch.setattr(metadata, 'version', lambda name: '1')
    verb(code)
    assert main(['sample']) == 1
    assert error_line(capsys).endswith("pip install 'avsol_ros[training]'")


@pytest.mark.parametrize(
    'words',
    [
        ['train', 'compact-cdf-dnm', '--out', 'out'],
        ['train', '--help'],
        ['synthesize', 'out'],
        ['evaluate', '--out', 'out'],
    ],
)
def test_a_verb_that_lacks_an_extra_names_all_of_it_and_writes_nothing(words, tmp_path):
    done = run_without(requirements.TRAINING, *words, cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == ''
    line = r'avsol \w+: error: the Python modules? [\w, ]+ (is|are) missing; pip install (.+)\n'
    assert re.fullmatch(line, done.stderr)[2] in (
        "'avsol_ros[training]'",  # which pip knows where it has installed avsol_ros
        "'jsonargparse[signatures]' lightning scipy scikit-learn tensorboard torchmetrics",
    )
    assert not list(tmp_path.iterdir())


def test_one_line_names_all_that_a_verb_lacks(tmp_path):
    done = run_without(
        ('lightning', 'scipy', 'torchmetrics'),
        *('train', 'compact-cdf-dnm', '--out', 'out'),
        cwd=tmp_path,
    )
    assert 'the Python modules lightning, scipy, torchmetrics are missing;' in done.stderr
    assert done.returncode == 1 and done.stderr.count('\n') == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('module', ['benchmark', 'metrics.timing'])
def test_programs_of_training_name_it_too(module):
    code = (
        'import runpy, sys; sys.argv[1:] = []; '
        'sys.modules.update(dict.fromkeys(["scipy", "sklearn"])); '
        f'runpy.run_module("avsol_ros.training.{module}", run_name="__main__")'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=SOURCE, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == '' and done.stderr.count('\n') == 1
    assert done.stderr.startswith(f'python -m avsol_ros.training.{module}: error: the Python ')
    assert 'missing; pip install' in done.stderr


def test_missing_module_of_the_package_itself_asks_for_a_build(verb, capsys):
    verb('import avsol_ros.no_such_module\ndef main(argv):\n    pass\n')
    assert main(['sample']) == 1
    assert 'avsol_ros.no_such_module is not installed; build' in error_line(capsys)


def test_ros_verb_without_ros_says_so(verb, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'rclpy', None)
    verb('import rclpy\ndef main(argv):\n    pass\n', needs_ros=True)
    assert main(['sample']) == 1
    assert 'needs ROS 2' in error_line(capsys)


def test_help_loads_nothing_heavy():
    code = (
        'import sys; from avsol_ros.cli import main; main(["--help"]); '
        'heavy = {"numpy", "torch", "cv2", "av", "rclpy", "lightning"} & set(sys.modules); '
        'sys.exit(f"loaded {heavy}" if heavy else 0)'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=SOURCE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_reader_that_leaves_early_causes_no_traceback(tmp_path):
    (tmp_path / 'endless.py').write_text(
        'def main(argv):\n    while True:\n        print("line")\n'
    )
    code = (
        'import sys; from avsol_ros import cli; '
        'cli.VERBS["endless"] = cli.Verb("endless", ""); sys.exit(cli.main(["endless"]))'
    )
    paths = os.pathsep.join([str(tmp_path), str(SOURCE)])
    with subprocess.Popen(
        [sys.executable, '-c', code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, 'PYTHONPATH': paths},
    ) as process:
        assert process.stdout.readline() == 'line\n'
        process.stdout.close()
        assert process.stderr.read() == ''
        assert process.wait(timeout=PATIENCE_S) == 1


@pytest.mark.parametrize(
    'words',
    [
        ['--help'],
        ['localize', '--help'],
        ['train', '--help'],
        ['annotations', 'schema'],
        ['models', 'compact-cam'],
        ['nosuch'],
    ],
)
def test_a_reader_that_is_gone_from_the_first_causes_no_traceback(words):
    ours, theirs = os.pipe()
    os.close(ours)
    with start_avsol(*words, stdout=theirs, stderr=subprocess.PIPE, cwd=SOURCE) as process:
        os.close(theirs)
        said = process.stderr.read()
        status = process.wait(PATIENCE_S)
    # argparse takes no notice of a reader that is gone before anything is buffered.
    assert status in {'nosuch': (2,), '--help': (0, 1)}.get(words[-1], (1,))
    assert said.startswith('avsol: error: there is no verb') if words == ['nosuch'] else not said


@pytest.mark.parametrize('words', [['--help'], ['localize', '--help'], ['annotations', 'schema']])
def test_a_closed_stdout_causes_no_traceback(words):
    closed = ['sh', '-c', 'exec "$@" >&-', 'sh', sys.executable, *AVSOL, *words]
    done = subprocess.run(closed, stderr=subprocess.PIPE, text=True, cwd=SOURCE)
    assert (done.returncode, 'Traceback' in done.stderr) == (0, False)


@pytest.mark.parametrize('name', list(VERBS))
def test_every_verb_has_help_under_its_own_name_without_ros_and_pytorch(name):
    done = run_without(HEAVY, name, '--help')
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.startswith(f'usage: avsol {name}')


@pytest.mark.parametrize('name', [name for name, verb in VERBS.items() if verb.needs_ros])
def test_a_verb_of_ros_says_at_once_that_there_is_none(name, tmp_path):
    out = {'demo': ['--out', tmp_path / 'out'], 'record': [tmp_path / 'out']}
    done = run_without(HEAVY, name, *out.get(name, ()))
    assert done.returncode == 1 and done.stdout == ''
    assert done.stderr.startswith(f'avsol {name}: error: this needs ROS 2')
    assert done.stderr.count('\n') == 1 and '`avsol localize`, which needs no ROS' in done.stderr
    assert not (tmp_path / 'out').exists()


# A command line with a shortened option for each verb that has long ones, else right.
SHORTENED = {
    'demo': '--chec',
    'localize': 'clip.mp4 --mod compact',
    'play': 'clip.mp4 --rat 1',
    'localizer': '--mod compact',
    'record': 'out --stor mcap',
    'recorder': '--unt 1',
    'synthesize': 'out --coun 1',
    'models': '--js',
    'build': 'compact-cdf-dnm m.safetensors --see 1',
    'convert': 'a b --see 1',
    'prepare': 'a b --worker 1',
    'train': 'compact-cdf-dnm --out out --epoch 1',
    'evaluate': '--windo 1',
    'annotations': 'stats a.json --js',
    'benchmark': '--repea 1',
    'weights': 'get vgg19 --fold out',
}


@pytest.mark.parametrize('name', list(VERBS))
def test_no_option_can_be_shortened(name, tmp_path):
    done = run_without(HEAVY, name, *SHORTENED[name].split(), cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ''
    option = [word for word in SHORTENED[name].split() if word.startswith('--')][-1]
    assert option in done.stderr.splitlines()[-1]
    assert 'Traceback' not in done.stderr and not list(tmp_path.iterdir())


def test_text_of_files_is_printed_in_one_line_that_no_terminal_obeys():
    assert printable('a\x1b[31mb\nc\x85 ü') == 'a\\x1b[31mb\\nc\\x85 ü'
    assert printable('a\udcff') == 'a?'
