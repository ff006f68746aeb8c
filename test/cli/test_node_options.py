"""The command lines of nodes: an option for each parameter, and what is left to ROS."""

import pytest

from avsol_ros.cli.node_options import add_options, node_parser, without_ros_arguments
from avsol_ros.nodes.parameters import LOCALIZER, PLAY, RECORD, RECORDER

TABLES = {'localizer': LOCALIZER, 'play': PLAY, 'record': RECORD, 'recorder': RECORDER}


@pytest.mark.parametrize('table', TABLES.values(), ids=TABLES)
def test_every_parameter_is_an_option(table):
    parser = node_parser('sample', 'A sample.')
    add_options(parser, table)
    # Only what is given counts: a default here would hide the params file.
    assert set(vars(parser.parse_args([])).values()) == {None}
    text = parser.format_help()
    for parameter in table:
        assert '--' + parameter.name.replace('_', '-') in text
    words = []
    for parameter in table:
        option = '--' + parameter.name.replace('_', '-')
        if parameter.kind is bool:
            words.append(option.replace('--', '--no-', 1) if parameter.default else option)
        else:
            words += [option, str(parameter.default)]
    given = vars(parser.parse_args(words))
    assert given == {p.name: not p.default if p.kind is bool else p.default for p in table}


@pytest.mark.parametrize(
    'words, kept',
    [
        ('clip.mp4 --rate 2', 'clip.mp4 --rate 2'),
        ('--rate 2 --ros-args -r image:=/camera', '--rate 2'),
        ('--ros-args -p hop:=1 -- clip.mp4', 'clip.mp4'),
        ('--ros-args -p hop:=1 -- a --ros-args -r b:=c -- d', 'a d'),
        ('--ros-args --ros-args -r b:=c', ''),
        ('a -- b', 'a -- b'),
        ('', ''),
    ],
)
def test_what_is_meant_for_ros_is_left_out(words, kept):
    assert without_ros_arguments(words.split()) == kept.split()


@pytest.mark.parametrize(
    'words',
    [
        'clip.mp4 --ros-args -r image:=/camera -- more',
        '--ros-args -p hop:=1 -- a --ros-args -r b:=c -- d',
        '--ros-args -p hop:=1',
        'a -- b',
    ],
)
def test_it_is_what_rclpy_leaves_out(words):
    utilities = pytest.importorskip('rclpy.utilities')
    assert without_ros_arguments(words.split()) == utilities.remove_ros_args(words.split())


@pytest.mark.parametrize('verb', TABLES)
def test_options_of_nodes_are_not_abbreviated(verb, capsys):
    from avsol_ros.cli import main

    with pytest.raises(SystemExit) as end:
        main([verb, '--ros-args', '-p', 'a:=1', '--', '--imag', 'x'])
    assert end.value.code == 2
    assert 'unrecognized arguments: --imag' in capsys.readouterr().err
