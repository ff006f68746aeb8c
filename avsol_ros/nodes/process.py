"""What every node's process does at its beginning and its end."""

import atexit
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from avsol_ros.exit_status import ExitStatus
from avsol_ros.nodes.dds_settings import environment
from avsol_ros.stopping import Stopping, ignore_signals

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Seconds after which a node that gets no messages looks whether it is to end.
LOOK_S = 0.1

# Told to stop, a recorder takes what waits in its queues: until nothing came for so many seconds,
# or at most so many.
QUIET_S, LAST_MESSAGES_S = 0.3, 2.0


@contextmanager
def ros_process(name: str, argv: list[str]) -> Iterator[Stopping]:
    """
    Initialize rclpy for the body, and shut it down whatever happens in it.

    The first Ctrl-C or SIGTERM, from the first moment on, is only noted in what the body gets:
    rclpy's own handlers would end the context, and with it what waits in the queues. A second
    Ctrl-C raises KeyboardInterrupt in the body, which drops what it has; then the process ends at
    once, whatever its threads still do. In any case nothing is left in shared memory, if the body
    destroys its node.

    :param name: name of the program.
    :param argv: its command line, of which rclpy takes what follows --ros-args.
    """
    # Of these, DDS reads its own when it starts. Those of the allocator come too late here, but
    # for the processes that this one starts.
    os.environ.update(environment())
    # One that came while Python ends would end it at once, with the shared memory not yet freed.
    atexit.register(ignore_signals, *_SIGNALS)
    with Stopping(*_SIGNALS) as stopping:
        rclpy.init(args=[name, *argv], signal_handler_options=SignalHandlerOptions.NO)
        try:
            yield stopping
        except KeyboardInterrupt:
            # rclpy complains of what it was just making, and which is destroyed half made.
            sys.unraisablehook = _say_nothing
        finally:
            stopping.end()
            rclpy.try_shutdown()
    if stopping.forced:
        atexit.register(_end_now)


def _say_nothing(_: object) -> None:
    """Take the place of ``sys.unraisablehook`` in a process that ends at once."""


def _end_now() -> None:
    """
    End the process without waiting for its threads.

    The regular end would destroy what a thread in C++ still uses, and abort.
    """
    gc.collect()  # nodes that were interrupted in their making, and with them shared memory
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ExitStatus.INTERRUPTED)


def spin(node: Node, stopping: Stopping) -> None:
    """Serve a node until it is told to stop."""
    with _executor(node) as executor:
        while not stopping.is_set():
            executor.spin_once(timeout_sec=LOOK_S)


class Recorder(Protocol):
    """
    A node that writes what comes.

    :ivar done: set when the recording has ended, by the node itself or by a signal.
    """

    done: Stopping

    def seconds_quiet(self) -> float:
        """Real seconds since the last message."""

    def finish(self) -> None:
        """Write what is left, and put the files in their places."""

    def discard(self) -> None:
        """Remove what :meth:`finish` has not put in its place."""

    def destroy_node(self) -> None:
        """Leave ROS."""


def run_recorder(name: str, make: Callable[..., Recorder], argv: list[str], **options) -> None:
    """
    Record until the stream ends or the process is told to stop.

    :param name: name of the program.
    :param make: makes the node of what ends it and of ``options``.
    :param argv: words of the command line, of which rclpy takes what follows --ros-args.
    """
    with ros_process(name, argv) as stopping:
        node = make(stopping, **options)
        try:
            record(node)
        finally:
            node.destroy_node()


def record(node: Recorder) -> None:
    """
    Serve a recorder until it is done, and finish its files.

    What has arrived already is taken, but not the rest of a stream that goes on. An error while
    it records loses nothing of what came before; KeyboardInterrupt drops all.
    """
    try:
        try:
            with _executor(node) as executor:
                while not node.done.is_set():
                    executor.spin_once(timeout_sec=LOOK_S)
                deadline = time.monotonic() + LAST_MESSAGES_S
                while time.monotonic() < deadline:
                    # Take a message before the look at the clock: a process that did not run
                    # for a while was quiet, too.
                    executor.spin_once(timeout_sec=QUIET_S / 10)
                    if node.seconds_quiet() >= QUIET_S:
                        break
        except Exception:
            node.finish()
            raise
        node.finish()
    except BaseException:
        node.discard()
        raise


@contextmanager
def _executor(node: Node) -> Iterator[SingleThreadedExecutor]:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        yield executor
    finally:
        executor.remove_node(node)
        executor.shutdown()
