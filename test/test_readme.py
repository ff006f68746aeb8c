"""README says what is so: its commands run, its tables are those of the code."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ave_dataset import make_ave
from bag_files import scene_messages, write_sqlite
from stand_ins import stand_in

from avsol_ros import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / 'README.md').read_text()
BLOCKS = re.findall(r'```bash\n(.*?)```', README, re.S)
COMMANDS = [line for block in BLOCKS for line in block.strip().splitlines()]
# A script whose lines need each other.
REPLAY = next(block for block in BLOCKS if 'avsol play my_bag' in block)
INLINE = re.findall(r'`((?:avsol|make) [^`<]+)`', README)

# What a command gets in addition, so that it ends in seconds.
SMALL = {
    'train': ['--windows', '80', '--validation', '40', '--epochs', '1'],
    'evaluate': ['--windows', '4'],
    'benchmark': ['--engine', 'torch', '--repeat', '1'],
    'synthesize': ['--count', '1', '--seconds', '1', '--size', '64x64', '--rate', '5'],
}


def make_bag(folder):
    write_sqlite(folder / 'my_bag', scene_messages(3))


def without_network(verb, arguments, folder, monkeypatch):
    """The arguments of a command, published weights stood in for."""
    monkeypatch.setenv('AVSOL_WEIGHTS', str(folder / 'weights'))
    monkeypatch.setattr('avsol_ros.cli.weights.fetch_weights', lambda name, *_: print(name))
    if verb == 'weights' and 'FILE' in arguments:
        return [str(stand_in('vggish', folder)) if word == 'FILE' else word for word in arguments]
    if verb == 'build':
        return [
            *arguments,
            '--weights',
            *(f'{name}={stand_in(name, folder)}' for name in ('vgg19', 'vggish')),
        ]
    return arguments


def test_every_make_target_exists():
    targets = {shlex.split(c)[1] for c in COMMANDS + INLINE if c.startswith('make ')}
    assert {'demo', 'test'} <= targets
    for target in targets:
        subprocess.run(['make', '-n', target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize(
    'command', sorted({c for c in COMMANDS + INLINE if c.startswith('avsol ') and c not in REPLAY})
)
def test_avsol_commands_run(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    verb, *arguments = shlex.split(command)[1:]
    if '--help' in arguments:
        with pytest.raises(SystemExit) as ended:
            cli.main([verb, *arguments])
        assert ended.value.code == 0
        return
    if 'AVE_Dataset' in arguments or 'prepared' in arguments:
        make_ave(tmp_path / 'AVE_Dataset', spoiled=False)
    if 'prepared' in arguments and verb != 'prepare':
        cli.main(['prepare', 'AVE_Dataset', 'prepared'])
    if 'my_bag' in arguments or 'dataset' in arguments:
        make_bag(tmp_path)
    if arguments[:1] == ['dataset']:
        cli.main(['convert', 'my_bag', 'dataset'])
    if verb == 'train':
        # Pretraining takes minutes; so do large encoders, and their weights are not here.
        monkeypatch.setenv('AVSOL_CACHE', str(tmp_path / 'cache'))
        arguments = ['compact-static-dnm', *arguments[1:], '--encoders', 'compact']
    arguments = ['compact' if word.endswith('/*.safetensors') else word for word in arguments]
    arguments = without_network(verb, arguments, tmp_path, monkeypatch)
    small = [] if 'my_bag' in arguments else SMALL.get(verb, [])
    assert cli.main([verb, *arguments, *small]) == 0
    assert capsys.readouterr().out


@pytest.mark.ros
def test_a_bag_is_replayed_live_recorded_and_scored(tmp_path):
    make_bag(tmp_path)
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    done = subprocess.run(
        ['bash', '-c', REPLAY],
        cwd=tmp_path,
        env={**os.environ, 'PATH': path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # Windows of one second every quarter second, in three seconds.
    assert 'recorded: avsol_localizer: 9 windows, heat from 32FC1' in done.stdout


def test_the_parameter_table_is_the_code_s():
    pytest.importorskip('rclpy')
    from avsol_ros.nodes import parameters

    table = re.search(r'<!-- parameters: localizer -->\n(.*?)<!-- /parameters -->', README, re.S)
    assert table[1].strip() == parameters.describe_parameters(parameters.LOCALIZER).strip()


def test_the_table_of_models_is_the_code_s():
    from avsol_ros.cli.models import numbered_classes, table
    from avsol_ros.models.builder import named_config, named_models
    from avsol_ros.models.catalogue import describe

    rows = table(
        [describe(name, named_config(name, numbered_classes())) for name in named_models()]
    )
    written = re.search(r'<!-- models -->\n(.*?)<!-- /models -->', README, re.S)[1].splitlines()
    assert [tuple(line.strip('| ').split(' | ')) for line in written[:1] + written[2:]] == rows


def test_pictures_and_files_named_exist():
    for name in re.findall(r'!\[[^]]*\]\(([^)]+)\)', README):
        assert (ROOT / name).stat().st_size > 10_000
    # Folders end in a slash and files in a suffix; avsol_ros/SoundingObjects is a message.
    folders = 'avsol_ros|training|env|launch|config|msg|test'
    for name in re.findall(rf'`((?:{folders})/(?:[\w/]+\.\w+|(?:\w+/)*))`', README):
        assert (ROOT / name).exists(), name


def test_launch_arguments_exist():
    launch = (ROOT / 'launch' / 'avsol.launch.py').read_text()
    for name in re.findall(r'(\w+):=', ' '.join(c for c in COMMANDS if 'ros2 launch' in c)):
        assert f"'{name}': (" in launch


def test_topics_exist():
    source = ''.join(p.read_text() for p in (ROOT / 'avsol_ros' / 'nodes').glob('*.py'))
    for name in re.findall(r'^\| `avsol_localizer/(\w+)`', README, re.M):
        assert f"'{name}'" in source
