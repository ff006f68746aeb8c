"""Parameters are declared once and say what is wrong with a value."""

import re
from dataclasses import fields

import pytest

from avsol_ros.config import BoxConfig
from avsol_ros.errors import AvsolError
from avsol_ros.nodes import parameter_values
from avsol_ros.nodes.parameters import (
    LOCALIZER,
    PLAY,
    RECORD,
    RECORDER,
    Parameter,
    describe_parameters,
)

TABLES = {'localizer': LOCALIZER, 'play': PLAY, 'record': RECORD, 'recorder': RECORDER}
DEFAULTS = {parameter.name: parameter.default for parameter in LOCALIZER}


@pytest.mark.parametrize('table', TABLES.values(), ids=TABLES)
def test_every_default_is_a_value_that_is_allowed(table):
    assert len({parameter.name for parameter in table}) == len(table)
    for parameter in table:
        assert parameter.check(parameter.default) == parameter.default
        assert re.fullmatch('[a-z][a-z_]*', parameter.name)
        assert parameter.meaning.endswith('.')


def test_box_settings_have_the_defaults_of_the_core():
    assert parameter_values.box_config(DEFAULTS) == BoxConfig()
    for field in fields(BoxConfig):
        assert next(p for p in LOCALIZER if p.name == field.name).live


@pytest.mark.parametrize(
    'parameter, value, expected',
    [
        (Parameter('hop', 0.5, '', low=0, high=2), 1, 1.0),
        (Parameter('start', 'now', ''), 12, '12'),
        (Parameter('start', 'now', ''), 12.5, '12.5'),
        (Parameter('count', 1, '', low=0, high=3), 3, 3),
        (Parameter('on', False, ''), True, True),
    ],
)
def test_values_get_the_parameters_type(parameter, value, expected):
    found = parameter.check(value)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    'parameter, value, text',
    [
        (Parameter('hop', 0.5, '', low=0, high=2), 2.1, 'hop is 2.1; expected 0 to 2'),
        (Parameter('hop', 0.5, '', low=0, high=2), float('nan'), 'hop is nan; expected 0 to 2'),
        (Parameter('hop', 0.5, ''), True, 'hop is True; expected a value of type float'),
        (
            Parameter('count', 1, '', low=0, high=3),
            1.0,
            'count is 1.0; expected a value of type int',
        ),
        (Parameter('count', 1, '', low=0, high=3), True, 'type int'),
        (Parameter('on', False, ''), 1, 'on is 1; expected a value of type bool'),
        (Parameter('kind', 'a', '', choices=('a', 'b')), 'c', "kind is 'c'; expected a, b"),
        (Parameter('name', '', ''), None, 'name is None; expected a value of type str'),
    ],
)
def test_a_wrong_value_is_told(parameter, value, text):
    with pytest.raises(AvsolError, match=re.escape(text)):
        parameter.check(value)


def test_what_is_read_once_cannot_change_while_running():
    now = parameter_values.changed(LOCALIZER, DEFAULTS, {'hop': 1, 'max_boxes': 2}, running=False)
    assert (now['hop'], now['max_boxes']) == (1.0, 2)
    assert DEFAULTS['hop'] == 0.25
    with pytest.raises(AvsolError, match='hop is read when the node is configured'):
        parameter_values.changed(LOCALIZER, DEFAULTS, {'hop': 1, 'max_boxes': 2}, running=True)
    # Saying again what it is already is no change.
    same = parameter_values.changed(
        LOCALIZER, DEFAULTS, {'hop': 0.25, 'max_boxes': 2}, running=True
    )
    assert same == {**DEFAULTS, 'max_boxes': 2}
    # use_sim_time and others that ROS itself adds are not ours to judge.
    assert parameter_values.changed(LOCALIZER, DEFAULTS, {'use_sim_time': True}, True) == DEFAULTS


def test_given_values_become_overrides():
    pytest.importorskip('rclpy')
    given = {'hop': 0.5, 'autostart': False, 'model': None, 'other': 1}
    found = parameter_values.overrides(given, LOCALIZER)
    assert {value.name: value.value for value in found} == {'hop': 0.5, 'autostart': False}


@pytest.mark.parametrize('table', TABLES.values(), ids=TABLES)
def test_the_table_for_people_has_a_row_for_each(table):
    lines = describe_parameters(table).splitlines()
    assert len(lines) == len(table) + 2
    assert {line.count('|') for line in lines} == {6}
    for line, parameter in zip(lines[2:], table, strict=True):
        assert line.startswith(f'| `{parameter.name}` | ') and parameter.meaning in line
