"""A table of parameters on a node: declared, given, checked and changed."""

from collections.abc import Mapping
from dataclasses import fields

from avsol_ros.config import BoxConfig
from avsol_ros.errors import AvsolError
from avsol_ros.nodes.parameters import Parameter


def declare(node, table: tuple[Parameter, ...]) -> dict:
    """
    Declare a table's parameters on a node.

    :returns: their values by name, after params file and command line.
    """
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    values = {}
    for parameter in table:
        descriptor = ParameterDescriptor(
            description=parameter.meaning,
            additional_constraints=constraints(parameter),
            # "hop: 1" in a params file is an integer to ROS; check() makes it what it should be.
            dynamic_typing=parameter.kind in (float, str),
        )
        if parameter.low is not None and parameter.kind is float:
            descriptor.floating_point_range = [
                FloatingPointRange(
                    from_value=float(parameter.low), to_value=float(parameter.high), step=0.0
                )
            ]
        elif parameter.low is not None:
            descriptor.integer_range = [
                IntegerRange(from_value=int(parameter.low), to_value=int(parameter.high), step=1)
            ]
        # What was given is looked at first: ROS would say the same in a less useful way.
        given = getattr(node, '_parameter_overrides', {}).get(parameter.name)
        if given is not None:
            parameter.check(given.value)
        value = node.declare_parameter(parameter.name, parameter.default, descriptor).value
        values[parameter.name] = parameter.check(value)
    return values


def constraints(parameter: Parameter) -> str:
    """What a descriptor's range fields cannot say."""
    said = [] if parameter.low is not None else [f'values: {parameter.values}']
    said.append('may change while running' if parameter.live else 'read when configured')
    return '; '.join(said)


def box_config(values: dict) -> BoxConfig:
    """Box settings among parameter values; raises AvsolError for a bad one."""
    return BoxConfig(**{field.name: values[field.name] for field in fields(BoxConfig)})


def changed(table: tuple[Parameter, ...], values: dict, changes: dict, running: bool) -> dict:
    """
    Values after a request to change some.

    :param running: the node is configured, so only live parameters may change.
    """
    by_name = {parameter.name: parameter for parameter in table}
    result = dict(values)
    for name in changes.keys() & by_name.keys():
        value = by_name[name].check(changes[name])
        if running and not by_name[name].live and value != values[name]:
            raise AvsolError(
                f'parameter {name} is read when the node is configured; '
                'deactivate and clean up the node first'
            )
        result[name] = value
    return result


def overrides(given: Mapping[str, object], table: tuple[Parameter, ...]) -> list:
    """
    Values that win over those of a params file.

    :param given: values by name, such as those of a command line; None is not given.
    :returns: what a node takes as ``parameter_overrides``.
    """
    from rclpy.parameter import Parameter as Value

    found = {parameter.name: given.get(parameter.name) for parameter in table}
    return [Value(name, value=value) for name, value in found.items() if value is not None]
