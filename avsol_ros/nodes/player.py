"""The node `avsol_play`: a media file or a bag as camera and audio topics, with its own times."""

import threading
import time
from collections import OrderedDict
from contextlib import suppress

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from avsol_ros.bags import is_bag
from avsol_ros.errors import AvsolError
from avsol_ros.messages.to_ros import stamp_to_ns
from avsol_ros.msg import SoundingObjects
from avsol_ros.nodes.outlet import ACKNOWLEDGING_S, Outlet
from avsol_ros.nodes.pacing import Following, RealTime
from avsol_ros.nodes.parameter_values import declare
from avsol_ros.nodes.parameters import PLAY
from avsol_ros.nodes.playback import Bag, Film, Item
from avsol_ros.nodes.process import ros_process
from avsol_ros.nodes.qos import latched_qos, result_qos, sensor_qos
from avsol_ros.nodes.simulated_time import SimulatedTime
from avsol_ros.stopping import Stopped, Stopping

NAME = 'avsol_play'
RESULTS = 'avsol_localizer/sounding_objects'

# Seconds that a subscriber may need to know a publisher which already knows it, or to take what
# is in its queues.
SETTLING_S = 0.5
# The same with a simulated clock, for runs that are meant to be whole. What gets lost during
# discovery Fast DDS repeats every 3 s; until then a recorder may know the localizer, and not be
# known to it.
DISCOVERY_S = 4.0

# Seconds without a new result after which, at the end of the file, no more are expected.
LAST_RESULTS_S = 4.0

# Messages that are kept for reliable subscribers which have not acknowledged them: more than what
# may be ahead of the results.
KEPT = {'image': 60, 'audio': 500}

# Frames whose results may still come.
REMEMBERED = 2000


class PlayNode(Node):
    """
    Publishes one file or bag; :meth:`play` does it from the calling thread.

    :param stopping: makes :meth:`play` return soon, as :meth:`stop` does.
    """

    def __init__(self, stopping: Stopping | None = None, **node_options):
        self._source = None
        super().__init__(NAME, **node_options)
        self.values = values = declare(self, PLAY)
        self._source = open_source(values)
        self._stopping = stopping or Stopping()
        self._results = None
        self._overdue = 0  # results of which it has been told that they do not come
        if values['rate'] > 0:
            self._pacer = RealTime(values['rate'], self._stopping.wait)
        else:
            self._pacer = Following(
                values['ahead'],
                values['result_timeout'],
                self._stopping.wait,
                streams=('image', 'audio'),
            )
            self._results = self.create_subscription(
                SoundingObjects, RESULTS, self._take_result, result_qos()
            )
        # The format is kept for those who come late.
        self._outlets = {
            role: Outlet(
                self,
                kind,
                topic,
                sensor_qos('reliable', KEPT[role]) if role in KEPT else latched_qos(),
                self._stopping,
            )
            for role, (topic, kind) in self._source.kinds.items()
        }
        self._audio_info = self._source.audio_info
        self._simulated = SimulatedTime(self) if values['clock'] else None
        self._lock = threading.Lock()
        self._sent: OrderedDict[int, int] = OrderedDict()  # media time of a frame, by its stamp
        self._said: set[str] = set()
        # On a clock that goes on while a simulated one stands.
        self.create_timer(1.0, self._tell_format, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def problems(self) -> list[str]:
        """What could not be read."""
        return self._source.problems

    def play(self) -> None:
        """Publish it, once or again and again, until its end or :meth:`stop`."""
        source = self._source
        with suppress(Stopped):
            self._wait_for_subscribers()
            source.begin(self._now())
            self._tick(0)
            self._tell_format()
            began = time.monotonic()
            self._warn()
            for item in source.items(self.values['loop']):
                self._stopping.check()  # a player that is late never waits
                self._send(item)
                self._warn()
            self._wait_for_the_end()
            self.get_logger().info(self._summary(time.monotonic() - began))
        self._warn()

    def stop(self) -> None:
        """Make :meth:`play` return soon; may be called from any thread."""
        self._stopping.set()

    def destroy_node(self) -> None:
        if self._source is not None:
            self._source.close()
        super().destroy_node()

    def _now(self) -> int:
        return time.time_ns() if self._simulated else self.get_clock().now().nanoseconds

    def _send(self, item: Item) -> None:
        if item.role == 'audio_info':
            self._change_format(item)
            return
        if self._simulated and isinstance(self._pacer, RealTime):
            # The clock goes on where nothing is sent.
            for media_ns in self._simulated.ticks_until(item.media_ns, self.values['rate']):
                self._pacer.wait_for(media_ns)
                self._tick(media_ns)
        self._pacer.wait_for(item.media_ns, item.role)
        if isinstance(self._pacer, Following) and self._pacer.overdue > self._overdue:
            self._look_for_the_localizer()
        self._tick(item.media_ns)
        if item.role == 'image':
            with self._lock:
                self._sent[item.stamp_ns] = item.media_ns
                if len(self._sent) > REMEMBERED:
                    self._sent.popitem(last=False)
        outlet = self._outlets[item.role]
        if isinstance(self._pacer, Following):
            outlet.wait_if_full()
        outlet.publish(item.message)

    def _change_format(self, item: Item) -> None:
        """Tell a new format between the last sound of the old one and the first of the new."""
        if item.message == self._audio_info:
            return  # which is told every second
        change = self._audio_info is not None  # what comes before the first is kept
        if change:
            self._sleep(SETTLING_S)
        with self._lock:
            self._audio_info = item.message
        self._tell_format()
        if change:
            self._sleep(SETTLING_S)

    def _tell_format(self) -> None:
        with self._lock:
            if self._audio_info is not None:
                self._outlets['audio_info'].publish(self._audio_info)

    def _tick(self, media_ns: int) -> None:
        if self._simulated:
            self._simulated.set(media_ns, self._source.origin_ns + media_ns)

    def _take_result(self, msg: SoundingObjects) -> None:
        # A result has the stamp of a frame, and so the time at which that was sent, whatever lies
        # between stamps and log times.
        stamp_ns = stamp_to_ns(msg.header.stamp)
        with self._lock:
            media_ns = self._sent.get(stamp_ns)
        if media_ns is not None:
            self._pacer.note_result(media_ns + stamp_to_ns(msg.window_end) - stamp_ns)

    def _wait_for_subscribers(self) -> None:
        wanted = self.values['wait_for_subscribers']
        if not wanted:
            return
        deadline = time.monotonic() + self.values['wait_timeout']
        outlets = [self._outlets[role] for role in ('image', 'audio')]
        text = (
            f'waiting for {wanted} subscriber(s) of {outlets[0].topic} and of {outlets[1].topic}'
        )
        if self._results is not None:
            text += f', and for a publisher of {self._results.topic_name}'
        self.get_logger().info(text)
        hint = ''
        while not (
            all(outlet.subscribers >= wanted for outlet in outlets)
            and (self._results is None or self._results.get_publisher_count())
        ):
            if time.monotonic() > deadline:
                self._check_for_results('yet')
                self.get_logger().warning(
                    'playing without the subscribers that were waited for; there are '
                    + ' and '.join(f'{outlet.subscribers} of {outlet.topic}' for outlet in outlets)
                )
                return
            if not hint and (hint := self._other_transport()):
                self.get_logger().warning(hint)
            self._sleep(0.05)
        self._sleep(DISCOVERY_S if self._simulated else SETTLING_S)

    def _other_transport(self) -> str:
        """Tell of subscribers that take the images in the form that is not played; '' without."""
        image = self._outlets['image']
        compressed = image.topic.endswith('/compressed')
        other = (
            image.topic.removesuffix('/compressed') if compressed else f'{image.topic}/compressed'
        )
        if image.subscribers or not self.count_subscribers(other):
            return ''
        return (
            f'somebody subscribes to {other}, and nobody to {image.topic}, which is played; there '
            f'set image_transport to {"compressed" if compressed else "raw"}'
        )

    def _look_for_the_localizer(self) -> None:
        """Say so when results are overdue; end when nobody is there to give any."""
        self._check_for_results('any more' if self._pacer.results else 'yet')
        if not self._overdue:
            self.get_logger().warning(
                f'no result for {self.values["result_timeout"]:g} s; playing goes on in small '
                'steps, which takes long; look what the localizer says, or end this'
            )
        self._overdue = self._pacer.overdue

    def _check_for_results(self, since: str) -> None:
        # To play on would take a step of a quarter second in each result_timeout.
        if self._results is not None and not self._results.get_publisher_count():
            raise AvsolError(
                f'nobody publishes {self._results.topic_name} {since}, which rate 0 '
                'follows; start a localizer, or play at another rate, as --rate 1'
            )

    def _wait_for_the_end(self) -> None:
        """Wait until what was sent has arrived, or until the results that were followed came."""
        end_ns = self._source.length_ns
        # What is not taken when the process ends is lost.
        for outlet in self._outlets.values():
            outlet.wait_until_taken(ACKNOWLEDGING_S)
        self._sleep(SETTLING_S)  # best-effort subscribers do not answer
        if self._simulated:
            self._simulated.run_out(end_ns, self._source.origin_ns + end_ns, self._sleep)
        if not isinstance(self._pacer, Following) or not self._pacer.results:
            return
        seen, since = self._pacer.results, time.monotonic()
        while not self._pacer.complete(end_ns) and time.monotonic() - since < LAST_RESULTS_S:
            self._sleep(0.05)
            if self._pacer.results != seen:
                seen, since = self._pacer.results, time.monotonic()

    def _warn(self) -> None:
        for problem in self.problems:
            if problem not in self._said:
                self._said.add(problem)
                self.get_logger().warning(problem)

    def _sleep(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Stopped

    def _summary(self, seconds: float) -> str:
        text = (
            f'played {self.values["file"]}: {self._outlets["image"].sent} frames and '
            f'{self._outlets["audio"].sent} audio messages in {seconds:.1f} s'
        )
        if isinstance(self._pacer, Following):
            text += f', {self._pacer.results} results'
            return text + (f', {self._pacer.overdue} overdue' if self._pacer.overdue else '')
        return f'{text}, at most {self._pacer.most_lag_s * 1e3:.0f} ms late'


def open_source(values: dict) -> Film | Bag:
    """Film or bag that the parameter ``file`` names."""
    if not values['file']:
        raise AvsolError(
            'no file is given; expected a media file or a bag, as in: avsol play clip.mp4'
        )
    if is_bag(values['file']):
        return Bag(values, {p.name: p.default for p in PLAY})
    return Film(values)


def run(node: PlayNode) -> list[str]:
    """
    Play while another thread serves the node's timers and subscriptions.

    :returns: what could not be read.
    """
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def serve() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()
        node.stop()

    thread = threading.Thread(target=serve, name='avsol play', daemon=True)
    thread.start()
    try:
        node.play()
    finally:
        node.stop()
        executor.shutdown()
        thread.join()
        node.destroy_node()
    return node.problems


def play(argv: list[str], **node_options) -> list[str]:
    """
    Play a file or a bag to its end.

    :param argv: words of the command line, of which rclpy takes what follows --ros-args.
    :returns: what could not be read.
    """
    with ros_process(NAME, argv) as stopping:
        with stopping.at_once():  # to look through a damaged bag may take long
            node = PlayNode(stopping, **node_options)
        return run(node)
    return []  # interrupted
