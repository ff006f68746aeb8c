"""
Find what sounds in a camera's view.

A camera and a microphone that are already running:
    ros2 launch avsol_ros avsol.launch.py image:=/camera/image_raw audio:=/audio_stamped
A media file:
    ros2 launch avsol_ros avsol.launch.py play:=clip.mp4 rviz:=true
A recorded bag, at its own times:
    ros2 launch avsol_ros avsol.launch.py play:=recorded.mcap clock:=true
"""

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
    TimerAction,
)
from launch_ros.actions import Node

from avsol_ros.exit_status import ExitStatus
from avsol_ros.nodes.dds_settings import environment, share_folder

# name: (default, description)
ARGUMENTS = {
    'image': (
        'image',
        'Camera topic (sensor_msgs/Image). With compressed:=true, '
        'the topic without its /compressed.',
    ),
    'audio': (
        'audio',
        'Microphone topic (AudioDataStamped, AudioData or AudioStamped of the '
        'installed audio_common_msgs).',
    ),
    'audio_info': (
        'audio_info',
        "Topic that tells the microphone's format (AudioInfo), where the audio does not.",
    ),
    'compressed': (
        '',
        'Take JPEG or PNG images from <image>/compressed: true, false; empty takes '
        'what params_file says.',
    ),
    'model': (
        '',
        'Name of a shipped model or path of a checkpoint; empty takes the one of params_file.',
    ),
    'params_file': (
        str(share_folder() / 'config' / 'avsol.yaml'),
        'YAML file with the parameters of the nodes.',
    ),
    'play': (
        '',
        'Media file or bag to play on the topics above in place of a camera. '
        'The launch ends with it, unless RViz is open.',
    ),
    'clock': ('false', 'Let what is played drive the clock of the nodes (use_sim_time).'),
    'loop': ('', 'Play the file again and again: true, false; empty takes what params_file says.'),
    'rviz': ('false', 'Open RViz with the camera image and the overlay.'),
    'namespace': ('', 'Namespace of all nodes and relative topics.'),
}

# Seconds after the end of a file in which the last results still come.
LAST_RESULTS_S = 4.0


def start(context) -> list:
    """Nodes for the arguments' values."""
    given = {name: context.launch_configurations[name] for name in ARGUMENTS}
    compressed, loop, rviz, clock = (
        is_true(name, given[name]) for name in ('compressed', 'loop', 'rviz', 'clock')
    )
    # Only what is given: it replaces what params_file says.
    localizer, play = {}, {'file': given['play']}
    if given['model']:
        localizer['model'] = given['model']
    if compressed is not None:
        localizer['image_transport'] = 'compressed' if compressed else 'raw'
        play['compressed'] = compressed
    if loop is not None:
        play['loop'] = loop
    if clock and given['play']:
        play['clock'] = True
        localizer['use_sim_time'] = True
    common = {
        'package': 'avsol_ros',
        'namespace': given['namespace'],
        'output': 'screen',
        'remappings': [
            ('image', given['image']),
            ('image/compressed', f'{given["image"]}/compressed'),
            ('audio', given['audio']),
            ('audio_info', given['audio_info']),
        ],
    }
    nodes = [
        Node(
            executable='localizer',
            name='avsol_localizer',
            parameters=[given['params_file'], *filter(None, [localizer])],
            on_exit=Shutdown(reason='the localizer has ended'),
            **common,
        )
    ]
    if given['play']:
        nodes.append(
            Node(
                executable='play',
                name='avsol_play',
                parameters=[given['params_file'], play],
                on_exit=lambda event, _: after_play(event.returncode, rviz),
                **common,
            )
        )
    if rviz:
        nodes.append(open_rviz(given['namespace'], given['image']))
    return nodes


def after_play(status: int, rviz: bool) -> list:
    """End the launch at once after a failure, else with the last results, or with RViz."""
    if status not in (ExitStatus.OK, ExitStatus.PARTLY):
        return [Shutdown(reason='the file could not be played')]
    if rviz:
        return []
    return [TimerAction(period=LAST_RESULTS_S, actions=[Shutdown(reason='the file has ended')])]


def is_true(name: str, text: str) -> bool | None:
    """Value of a yes-or-no argument; None of an empty one."""
    if text.lower() not in ('true', 'false', ''):
        raise ValueError(f'{name} is {text!r}; expected true or false')
    return text.lower() == 'true' if text else None


def open_rviz(namespace: str, image: str) -> Node:
    """RViz, its absolute topics led to where they are."""
    root = '/' + namespace.strip('/') + '/' if namespace.strip('/') else '/'
    return Node(
        package='rviz2',
        executable='rviz2',
        name='avsol_rviz',
        output='screen',
        arguments=['-d', str(share_folder() / 'config' / 'avsol.rviz')],
        remappings=[
            ('/image', image if image.startswith('/') else root + image),
            *(
                (f'/avsol_localizer/{topic}', f'{root}avsol_localizer/{topic}')
                for topic in ('overlay', 'heatmap')
            ),
        ],
    )


def generate_launch_description() -> LaunchDescription:
    """Arguments, transport settings, nodes."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            *(SetEnvironmentVariable(name, value) for name, value in environment().items()),
            OpaqueFunction(function=start),
        ]
    )
