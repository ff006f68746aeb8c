"""
Run a verb of avsol that gets Ctrl-C at a chosen moment, or hangs there.

Usage: python interrupted_verb.py MOMENT VERB ARGUMENTS. Prints the files of Fast DDS that it
holds in shared memory at that moment, as JSON after "holds" on a line of stdout, and a line
"told" for each signal that it has noted.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from avsol_ros.cli import main
from avsol_ros.nodes.bag_writing import Writing
from avsol_ros.nodes.worker import Worker
from avsol_ros.stopping import Stopping


def tell():
    lines = Path('/proc/self/maps').read_text().splitlines()
    held = {line.split()[-1] for line in lines if '/dev/shm/fastdds_' in line}
    os.write(1, f'holds {json.dumps(sorted(held))}\n'.encode())  # at once, among what is logged


def interrupt():
    tell()
    os.kill(os.getpid(), signal.SIGINT)


def hang():
    """Until a signal raises; other threads never wake the main thread here."""
    tell()
    threading.Event().wait()


def hang_in_worker():
    """Give the localizer's worker a window with which it is never done."""
    make = Worker.__init__

    def never_done(window):
        tell()
        time.sleep(3600)

    def init(self, compute, *more):
        make(self, never_done, *more)
        self.submit(None)

    Worker.__init__ = init


def tell_of_signals():
    take = Stopping._take

    def tell_and_take(self, *given):
        os.write(1, b'told\n')
        take(self, *given)

    Stopping._take = tell_and_take


class Once:
    """Do something before or after the first call of a function."""

    def __init__(self, owner, name, action, after=False):
        self.real, self.action, self.after = getattr(owner, name), action, after
        setattr(owner, name, lambda *given, **named: self(*given, **named))

    def __call__(self, *given, **named):
        action, self.action = self.action, lambda: None
        if not self.after:
            action()
        result = self.real(*given, **named)
        if self.after:
            action()
        return result


MOMENTS = {
    'before ROS': lambda: Once(rclpy, 'init', interrupt),
    'after ROS': lambda: Once(rclpy, 'init', interrupt, after=True),
    'within the node': lambda: Once(Node, '__init__', interrupt, after=True),
    'at the first look': lambda: Once(SingleThreadedExecutor, 'spin_once', interrupt),
    'at the end': lambda: Once(Node, 'destroy_node', interrupt),
    'after the node': lambda: Once(rclpy, 'try_shutdown', interrupt),
    'never': lambda: Once(rclpy, 'try_shutdown', tell),
    'hanging while a bag is written': lambda: Once(Writing, 'finish', hang),
    'hanging in the worker': hang_in_worker,
    'hanging in the executor': lambda: Once(SingleThreadedExecutor, 'spin_once', hang),
    'hanging in the node': lambda: Once(Node, '__init__', hang, after=True),
}

if __name__ == '__main__':
    tell_of_signals()
    MOMENTS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
