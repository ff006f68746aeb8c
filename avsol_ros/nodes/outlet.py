"""A player's publisher, which waits for subscribers that are slow."""

import time

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile

from avsol_ros.stopping import Stopping

# Seconds to wait for subscribers to acknowledge what was sent, before playing goes on all the
# same. DDS asks for it with every few messages, else every three seconds.
ACKNOWLEDGING_S = 4.0
# Seconds after which a wait for them looks whether it is told to stop.
_LOOK_S = 0.1


class Outlet:
    """
    A publisher that knows how many messages its subscribers may not have taken.

    :param stopping: makes waits raise Stopped.
    """

    def __init__(self, node: Node, kind: type, topic: str, qos: QoSProfile, stopping: Stopping):
        self._publisher: Publisher = node.create_publisher(kind, topic, qos)
        self._most = max(1, qos.depth // 2)
        self._waiting = 0
        self._stopping = stopping
        self.sent = 0

    @property
    def topic(self) -> str:
        return self._publisher.topic_name

    @property
    def subscribers(self) -> int:
        return self._publisher.get_subscription_count()

    def publish(self, message) -> None:
        """Send a message, or its CDR bytes."""
        self._publisher.publish(message)
        self.sent += 1
        self._waiting += 1

    def wait_if_full(self) -> None:
        """Wait before the queue, which keeps the newest only, loses what was not taken."""
        if self._publisher.wait_for_all_acked(Duration()):
            self._waiting = 0
        elif self._waiting >= self._most:
            self.wait_until_taken(ACKNOWLEDGING_S)

    def wait_until_taken(self, most_s: float) -> None:
        """Wait until all subscribers that answer have what was sent, or so many seconds."""
        deadline = time.monotonic() + most_s
        while not self._publisher.wait_for_all_acked(Duration(seconds=_LOOK_S)):
            self._stopping.check()
            if time.monotonic() > deadline:
                break
        self._waiting = 0
