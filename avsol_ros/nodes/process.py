"""What every node's process does at its beginning and its end."""

from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.executors import ExternalShutdownException


@contextmanager
def ros_process(name: str, argv: list[str]) -> Iterator[None]:
    """
    Initialize rclpy for the body, and shut it down whatever happens in it.

    A signal ends the body quietly. Without the shutdown, shared memory would be left behind.

    :param name: name of the program.
    :param argv: its command line, of which rclpy takes what follows --ros-args.
    """
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
