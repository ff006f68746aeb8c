"""What README and docs tell a reader to type and to write runs."""

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from doc_files import MAKERS, make_files
from doc_pages import COMMANDS, PAGES, ROOT
from doc_tables import launch_arguments
from stand_ins import stand_in

from avsol_ros import cli
from avsol_ros.nodes.parameters import LOCALIZER

# Commands that no test runs, by how they begin, and why.
NOT_RUN = {
    'pip install': 'network; test_packaging holds what pip installs against the imports',
    'apt install': 'changes the machine',
    'dnf install': 'changes the machine',
    'pre-commit install': 'changes the repository',
    'cd ~/ros2_ws/src': 'network',
    'rosdep install': 'changes the machine',
    'colcon build': 'test_packaging builds a workspace',
    'export ': 'changes the shell; test_dds_settings holds the settings against what DDS does',
    'ros2 ': 'a ROS installation; its arguments are checked here',
    'ffmpeg ': 'another program',
    'python test/support': 'writes the docs; test_doc_tables compares what it would write',
    'torchrun ': 'hours and GPUs; test_fit trains in several processes',
    'for model in': 'hours',
    'avsol benchmark compact i3d-static-dnm': 'minutes; test_speed times engines and models',
    'avsol localizer --': 'runs until it is stopped; test/nodes starts it, options are checked',
    'avsol play clip.mp4': 'needs a subscriber; test/nodes starts it, options are checked',
    'avsol record my_run': 'runs until it is stopped; test/nodes starts it, options are checked',
    'avsol recorder --': 'runs until it is stopped; test/nodes starts it, options are checked',
}
# What a command gets in addition, so that it ends in seconds.
SMALL = {
    'train': ['--windows', '80', '--validation', '40', '--epochs', '1'],
    'evaluate': ['--windows', '4'],
    'benchmark': ['--engine', 'torch', '--repeat', '1'],
    'synthesize': ['--count', '1', '--seconds', '1', '--size', '64x64', '--rate', '5'],
    'avsol_ros.training.benchmark': ['--windows', '8'],
    'avsol_ros.training.metrics.timing': [
        *('--frames', '2', '--rounds', '1', '--size', '56'),
        *('--seeds', '0', '--maps', 'live'),
    ],
}
# Verbs whose last path is what they write.
WRITING = ('convert', 'prepare', 'build')
# Verbs that do something when called without arguments; others are then only mentioned.
ALONE = ('models', 'weights')

REPLAY = next(command for command in COMMANDS if '\navsol play my_bag' in command)


def words_of(command, program):
    """Words after the program's name; None of a command of another program."""
    words = shlex.split(command)
    return words[1:] if Path(words[0]).name == program else None


def excused(command):
    return any(command.startswith(beginning) for beginning in NOT_RUN)


AVSOL = [c for c in COMMANDS if words_of(c, 'avsol') and c != REPLAY]
RUN = [
    c
    for c in AVSOL
    if not excused(c) and (len(words_of(c, 'avsol')) > 1 or c.split()[-1] in (*ALONE, '--version'))
]
MODULES = [c for c in COMMANDS if (words_of(c, 'python') or [''])[0] == '-m']


def test_every_command_is_run_or_has_a_reason_why_not():
    mentioned = [c for c in AVSOL if len(words_of(c, 'avsol')) == 1]
    made = [c for c in COMMANDS if words_of(c, 'make')]
    known = {REPLAY, *RUN, *MODULES, *mentioned, *made}
    assert [c for c in COMMANDS if c not in known and not excused(c)] == []
    unused = [begin for begin in NOT_RUN if not any(c.startswith(begin) for c in COMMANDS)]
    assert unused == []


def test_verbs_mentioned_exist():
    for command in AVSOL:
        verb = words_of(command, 'avsol')[0]
        assert verb in cli.VERBS or verb in ('--help', '--version'), command


def test_every_make_target_exists():
    commands = [c for c in COMMANDS if words_of(c, 'make')]
    assert {'make demo', 'make test', 'make lint'} <= set(commands)
    for command in commands:
        words = words_of(command, 'make')
        subprocess.run(['make', '-n', *words], cwd=ROOT, check=True, capture_output=True)
        for path in re.findall(r'test/[\w/.]+', command):
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize(
    'command',
    [pytest.param(c, marks=pytest.mark.slow if c.startswith('avsol train') else ()) for c in RUN],
)
def test_a_command_of_avsol_runs(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = words_of(command, 'avsol')
    if words[-1] in ('--help', '--version'):
        assert cli_status(words) == 0
        return
    verb, arguments = words[0], words[1:]
    make_files(sources(verb, arguments))
    if verb == 'train':
        # Pretraining takes minutes; so do large encoders, and their weights are not here.
        monkeypatch.setenv('AVSOL_CACHE', str(tmp_path / 'cache'))
        arguments = ['compact-static-dnm', *arguments[1:], '--encoders', 'compact']
    arguments = without_network(verb, arguments, tmp_path, monkeypatch)
    small = [] if 'my_bag' in arguments else SMALL.get(verb, [])
    capsys.readouterr()
    assert cli_status([verb, *arguments, *small]) == 0
    assert capsys.readouterr().out


def cli_status(words):
    try:
        return cli.main(words)
    except SystemExit as ended:  # of --help
        return ended.code


def sources(verb, arguments):
    """What a command reads, among its arguments."""
    options = next((i for i, word in enumerate(arguments) if word.startswith('-')), len(arguments))
    paths = arguments[:options]
    return (paths[:-1] if verb in WRITING else paths) + arguments[options:]


def without_network(verb, arguments, folder, monkeypatch):
    """The arguments of a command, published weights stood in for."""
    monkeypatch.setenv('AVSOL_WEIGHTS', str(folder / 'weights'))
    monkeypatch.setattr('avsol_ros.cli.weights.fetch_weights', lambda name, *_: print(name))
    if verb != 'build':
        return arguments
    files = [f'{name}={stand_in(name, folder)}' for name in ('vgg19', 'vggish')]
    return [*arguments, '--weights', *files]


@pytest.mark.parametrize('command', MODULES)
def test_a_module_runs(command, tmp_path, monkeypatch, capsys):
    pytest.importorskip('scipy')
    pytest.importorskip('sklearn')
    monkeypatch.chdir(tmp_path)
    _, module, *arguments = words_of(command, 'python')
    make_files(arguments)
    monkeypatch.setattr(sys, 'argv', ['python', *arguments, *SMALL[module]])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module, run_name='__main__')
    assert ended.value.code == 0
    assert capsys.readouterr().out


@pytest.mark.ros
def test_a_bag_is_replayed_live_recorded_and_scored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_files(['my_bag'])
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    done = subprocess.run(
        ['bash', '-c', REPLAY],
        env={**os.environ, 'PATH': path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # Windows of one second every quarter second, in three seconds.
    assert 'recorded: avsol_localizer: 9 windows, heat from 32FC1' in done.stdout


@pytest.mark.parametrize('command', [c for c in AVSOL if excused(c)])
def test_options_of_commands_that_are_not_run_exist(command, capsys):
    verb, *arguments = words_of(command, 'avsol')
    assert cli_status([verb, '--help']) == 0
    said = capsys.readouterr().out
    for option in [word for word in arguments if word.startswith('--')]:
        assert re.search(rf'{option}\b', said), option


def test_arguments_for_ros_exist():
    known = {p.name: p for p in LOCALIZER}
    arguments = re.findall(r'^\| `(\w+)`', launch_arguments(), re.M)
    for command in COMMANDS:
        if command.startswith('ros2 launch avsol_ros'):
            assert set(re.findall(r'(\w+):=', command)) <= set(arguments), command
        elif command.startswith('ros2 run avsol_ros'):
            assert command.split()[3] in cli.VERBS, command
            assert set(re.findall(r'-p (\w+):=', command)) <= set(known), command
        elif command.startswith('ros2 param'):
            assert command.split()[4] in known, command
            assert known[command.split()[4]].live or ' set ' not in command, command


@pytest.mark.parametrize(
    'page', [page for page in PAGES if page.blocks('python')], ids=lambda page: page.name
)
def test_python_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in page.blocks('python'):
        make_files(re.findall(rf"'({'|'.join(map(re.escape, MAKERS))})'", block))
        exec(compile(block, page.name, 'exec'), names)
