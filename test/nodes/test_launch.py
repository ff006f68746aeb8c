"""The launch file and the files it brings fit the nodes."""

import ast
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip('rclpy')

from processes import AVSOL
from stand_ins import write_model

from avsol_ros.media.film_writer import MediaWriter
from avsol_ros.nodes.dds_settings import environment
from avsol_ros.nodes.parameters import LOCALIZER, PLAY

ROOT = Path(__file__).resolve().parents[2]
LAUNCH_FILE = ROOT / 'launch' / 'avsol.launch.py'

# What the launch file alone decides.
FROM_LAUNCH = {'file', 'loop', 'compressed', 'clock'}


def constant(name):
    """Value that the launch file gives a name; calls in it become None."""
    for node in ast.parse(LAUNCH_FILE.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return {
                key.value: [
                    item.value if isinstance(item, ast.Constant) else None for item in value.elts
                ]
                for key, value in zip(node.value.keys, node.value.values, strict=True)
            }
    raise AssertionError(f'{name} is not in the launch file')


def test_every_argument_is_described():
    arguments = constant('ARGUMENTS')
    assert len(arguments) <= 12
    for name, (_, description) in arguments.items():
        assert description and description.endswith('.'), name
        assert name.islower()
    # The examples in its docstring use arguments that exist.
    text = ast.get_docstring(ast.parse(LAUNCH_FILE.read_text()))
    used = {word.split(':=')[0] for word in text.split() if ':=' in word}
    assert used and used <= set(arguments)


@pytest.mark.parametrize('node, table', [('avsol_localizer', LOCALIZER), ('avsol_play', PLAY)])
def test_the_parameter_file_says_what_the_tables_say(node, table):
    said = yaml.safe_load((ROOT / 'config' / 'avsol.yaml').read_text())
    values = said[f'/**/{node}']['ros__parameters']
    defaults = {p.name: p.default for p in table if p.name not in FROM_LAUNCH}
    if node == 'avsol_play':
        defaults.pop('rate')
        assert values.pop('rate') == 1.0
    assert values == defaults
    assert {name: type(value) for name, value in values.items()} == {
        name: type(value) for name, value in defaults.items()
    }


def test_rviz_shows_topics_that_are_published():
    view = yaml.safe_load((ROOT / 'config' / 'avsol.rviz').read_text())
    displays = view['Visualization Manager']['Displays']
    topics = {display['Name']: display['Topic'] for display in displays}
    assert topics['What sounds']['Value'] == '/avsol_localizer/overlay'
    assert topics['What sounds']['Reliability Policy'] == 'Reliable'
    assert topics['Camera']['Value'] == '/image'
    assert topics['Camera']['Reliability Policy'] == 'Best Effort'
    from avsol_ros.nodes.result_publishers import TOPICS

    for topic in topics.values():
        name = topic['Value']
        assert name == '/image' or name.removeprefix('/avsol_localizer/') in TOPICS
    # Absolute names in the view are led to the namespace by the launch file.
    for name in ('overlay', 'heatmap'):
        assert f"'{name}'" in LAUNCH_FILE.read_text()


@pytest.mark.ros
def test_a_node_takes_the_parameter_file(tmp_path):
    changed = tmp_path / 'mine.yaml'
    text = (ROOT / 'config' / 'avsol.yaml').read_text()
    changed.write_text(
        text.replace('hop: 0.25 ', 'hop: 1 ').replace('model: compact', 'model: nowhere.pt')
    )
    for namespace in ('/', '/robot/head'):
        done = subprocess.run(
            [
                sys.executable,
                *AVSOL,
                'localizer',
                '--ros-args',
                '-r',
                f'__ns:={namespace}',
                '--params-file',
                str(changed),
            ],
            env={**os.environ, **environment()},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert 'nowhere.pt' in done.stderr


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Checkpoint of a model that knows nothing."""
    return write_model(tmp_path_factory.mktemp('model') / 'random.safetensors')[0]


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    """One second of darkness and silence."""
    path = tmp_path_factory.mktemp('media') / 'clip.mp4'
    with MediaWriter(path, 64, 48, 25, 16_000, 1) as writer:
        for _ in range(25):
            writer.add_frame(np.zeros((48, 64, 3), np.uint8))
        writer.add_audio(np.zeros((16_000, 1), np.float32))
    return path


def launch(*arguments):
    """Output of the launch file, which has to end by itself."""
    if find_spec('launch_ros') is None:
        pytest.skip('launch_ros is not installed')
    program = (
        'import sys; from launch import LaunchService, LaunchDescription as D; '
        'from launch.actions import IncludeLaunchDescription as I; '
        'from launch.launch_description_sources import '
        'PythonLaunchDescriptionSource as P; s = LaunchService(); '
        's.include_launch_description(D([I(P(sys.argv[1]), launch_arguments='
        '[tuple(a.split(":=")) for a in sys.argv[2:]])])); sys.exit(s.run())'
    )
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
    return subprocess.run(
        [sys.executable, '-c', program, str(LAUNCH_FILE), *arguments],
        env={**os.environ, 'PYTHONPATH': path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ).stdout


@pytest.mark.ros
@pytest.mark.parametrize(
    'argument, topic', [('', '/eye/image/compressed'), ('false', '/eye/image')]
)
def test_a_launch_plays_a_file_and_ends(tmp_path, model, clip, argument, topic):
    values = {
        'avsol_localizer': {'image_transport': 'compressed'},
        'avsol_play': {'compressed': True},
    }
    mine = tmp_path / 'mine.yaml'
    mine.write_text(
        yaml.safe_dump(
            {f'/**/{node}': {'ros__parameters': given} for node, given in values.items()}
        )
    )
    output = launch(
        f'model:={model}',
        f'play:={clip}',
        'namespace:=robot',
        'image:=/eye/image',
        f'compressed:={argument}',
        f'params_file:={mine}',
    )
    assert f'subscriber(s) of {topic} and of /robot/audio' in output, output
    assert 'playing without the subscribers' not in output
    assert '[robot.avsol_localizer]: ready' in output, output
    assert '25 frames and' in output, output
    assert output.count('finished cleanly') == 2, output


@pytest.mark.ros
def test_a_launch_ends_when_a_node_cannot_start(model, clip):
    output = launch('model:=nowhere.safetensors', f'play:={clip}')
    assert 'nowhere.safetensors' in output, output
    assert 'playing without the subscribers' not in output
    assert 'played' not in output
    output = launch(f'model:={model}', 'play:=nowhere.mp4')
    assert 'nowhere.mp4 does not exist' in output, output
