"""What every node's process does at its beginning and its end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from avsol_ros.nodes.dds_settings import environment

# Seconds after which an idle node looks whether it is to end.
LOOK_S = 0.5


@contextmanager
def ros_process(name: str, argv: list[str]) -> Iterator[None]:
    """
    Initialize rclpy for the body, and shut it down whatever happens in it.

    A signal ends the body quietly. Without the shutdown, shared memory would be left behind.

    :param name: name of the program.
    :param argv: its command line, of which rclpy takes what follows --ros-args.
    """
    # Of these, DDS reads its own when it starts. Those of the allocator come too late here, but
    # for the processes that this one starts.
    os.environ.update(environment())
    rclpy.init(args=[name, *argv])
    try:
        yield
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        # rclpy's own errors; a signal that comes between two calls makes the second fail.
        if rclpy.ok():
            raise
    finally:
        rclpy.try_shutdown()


def spin(node: Node) -> None:
    """
    Serve a node until rclpy is shut down.

    Other than rclpy.spin this never waits without end: a signal that comes just before the wait
    does not always wake it.
    """
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while rclpy.ok():
            executor.spin_once(timeout_sec=LOOK_S)
    finally:
        executor.remove_node(node)
