"""The command lines of nodes: an option for each parameter, and what follows --ros-args."""

import argparse
from collections.abc import Sequence

from avsol_ros.cli.arguments import ArgumentParser
from avsol_ros.nodes.parameters import Parameter

_EPILOG = 'ROS arguments follow --ros-args, as in: --ros-args -r image:=/camera/image_raw'


def node_parser(verb: str, description: str) -> argparse.ArgumentParser:
    """Give a parser for what precedes --ros-args."""
    return ArgumentParser(prog=f'avsol {verb}', description=description, epilog=_EPILOG)


def add_options(
    parser: argparse._ActionsContainer, table: Sequence[Parameter], skip: Sequence[str] = ()
) -> None:
    """
    Give an argument parser one option per parameter, without defaults of its own.

    :param skip: names of parameters that get none.
    """
    for parameter in table:
        if parameter.name in skip:
            continue
        option = '--' + parameter.name.replace('_', '-')
        words = f'{parameter.meaning} [{parameter.default!r}]'.replace('%', '%%')
        if parameter.kind is bool:
            parser.add_argument(
                option, action=argparse.BooleanOptionalAction, default=None, help=words
            )
        else:
            parser.add_argument(
                option,
                type=parameter.kind,
                default=None,
                help=words,
                metavar=parameter.kind.__name__.upper(),
                choices=parameter.choices or None,
            )


def without_ros_arguments(argv: Sequence[str]) -> list[str]:
    """
    Leave out what is meant for ROS: from ``--ros-args`` up to ``--``, or to the end.

    As ``rclpy.utilities.remove_ros_args``, which is not there without ROS.
    """
    kept, for_ros = [], False
    for word in argv:
        if word == '--ros-args':
            for_ros = True
        elif not for_ros:
            kept.append(word)
        elif word == '--':
            for_ros = False
    return kept
