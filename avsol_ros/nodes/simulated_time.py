"""The clock of a player, on the topic /clock, for nodes that run on simulated time."""

from collections.abc import Callable, Iterator

from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from avsol_ros.config import NANOSECONDS
from avsol_ros.messages.to_ros import ns_to_stamp
from avsol_ros.nodes.qos import sensor_qos

# What lies at most between two ticks where nothing else is sent, in real time.
TICK_NS = NANOSECONDS // 50

# How far the clock runs on after the end, so that nodes which wait for more see that nothing
# comes: a localizer waits two seconds unless told otherwise.
RUN_OUT_NS = 3 * NANOSECONDS
RUN_OUT_STEPS = 30
RUN_OUT_STEP_S = 0.02


class SimulatedTime:
    """
    Publishes the time of what is played.

    A tick comes before the message that is sent at its time.
    """

    def __init__(self, node: Node):
        # Nodes subscribe best-effort; a reliable publisher serves them and all others.
        self._publisher = node.create_publisher(Clock, '/clock', sensor_qos('reliable'))
        self._media_ns = 0

    def set(self, media_ns: int, time_ns: int) -> None:
        """Show a time; ``media_ns`` is the same, counted from the beginning."""
        self._media_ns = media_ns
        self._publisher.publish(Clock(clock=ns_to_stamp(time_ns)))

    def ticks_until(self, media_ns: int, rate: float) -> Iterator[int]:
        """Media times at which to tick before the next message, played at a rate."""
        step_ns = max(1, round(TICK_NS * rate))
        at_ns = self._media_ns + step_ns
        while at_ns < media_ns:
            yield at_ns
            at_ns += step_ns

    def run_out(self, media_ns: int, time_ns: int, sleep: Callable[[float], None]) -> None:
        """Let time go on quickly after the end."""
        for step in range(1, RUN_OUT_STEPS + 1):
            later_ns = RUN_OUT_NS * step // RUN_OUT_STEPS
            self.set(media_ns + later_ns, time_ns + later_ns)
            sleep(RUN_OUT_STEP_S)
