"""The node `avsol_record`: writes what comes on ROS topics, and the results, to a bag."""

import sys
import time
from collections import Counter
from functools import partial
from typing import NamedTuple

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.messages.to_ros import AUDIO_INFO, AUDIO_MESSAGE
from avsol_ros.nodes.bag_writing import Writing
from avsol_ros.nodes.installed_types import message_class, type_name_of
from avsol_ros.nodes.parameter_values import declare
from avsol_ros.nodes.parameters import RECORD
from avsol_ros.nodes.result_publishers import TOPICS
from avsol_ros.stopping import Stopping

NAME = 'avsol_record'

# Of the localizer's topics: pictures for people can be drawn again.
RESULTS = tuple(name for name in TOPICS if name != 'overlay')

# Messages that may wait for their callback; bursts of sound have many.
DEPTH = 60
SMALL_DEPTH = 500

# Seconds between two looks at who publishes.
LOOK_S = 0.1


class Offer(NamedTuple):
    """
    How the publishers of a topic offer its messages.

    :param best_effort: whether any of them offers no more.
    :param latched: whether all of them keep messages for those who come late.
    """

    type_name: str
    best_effort: bool
    latched: bool


class RecordNode(Node):
    """
    Callbacks store bytes; a thread of its own writes them.

    :param done: set when the recording has ended, also by others. :meth:`finish` then puts the
        bag in its place.
    """

    def __init__(self, done: Stopping | None = None, **node_options):
        super().__init__(NAME, **node_options)
        self.values = values = declare(self, RECORD)
        if not values['output']:
            raise AvsolError(
                'no output is given; expected a folder to write, as in: avsol record my_bag'
            )
        self.done = done or Stopping()
        self._writing = Writing(
            values['output'], values['storage'], values['compression'], values['max_memory'] << 20
        )
        self._until_ns = round(values['until'] * NANOSECONDS)
        self._last_arrival: float | None = None
        self._offers: dict[str, Offer] = {}  # how each topic is subscribed to
        self._received: Counter[str] = Counter()
        self._announced: set[str] = set()  # topics that have had a publisher
        self.lost = 0
        self._subscribed: dict = {}
        wanted = values['topics'].split()
        guesses = {} if wanted else self._usual_topics()
        self._wanted = [self.resolve_topic_name(topic) for topic in wanted or guesses]
        for topic, kind in guesses.items():
            offer = Offer(type_name_of(kind), best_effort=False, latched=False)
            self._subscribe(self.resolve_topic_name(topic), offer)
        self._on_timer()
        # On a clock that goes on while a simulated one stands.
        self.create_timer(LOOK_S, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def seconds_quiet(self) -> float:
        """Real seconds since the last message; 0 before the first."""
        return 0.0 if self._last_arrival is None else time.monotonic() - self._last_arrival

    def finish(self) -> None:
        """Write what is left; raises what went wrong while recording."""
        self._writing.finish()
        if not self._received:
            raise AvsolError(
                'nothing came, so there is no bag; look whether the topics are '
                f'published and remapped alike: {", ".join(self._wanted)}'
            )
        text = (
            f'wrote {self.values["output"]}: {self._received.total()} messages on '
            f'{len(self._received)} topics'
        )
        if self._writing.dropped:
            text += f', {self._writing.dropped} dropped, for the disk is too slow'
        if self.lost:
            text += f', {self.lost} lost on their way'
        silent = sorted(self._announced - set(self._received))
        if silent:
            text += f'; nothing came on {", ".join(silent)}, though somebody publishes there'
        print(text, file=sys.stderr)

    def discard(self) -> None:
        """Remove what :meth:`finish` has not put in its place."""
        self._writing.discard()

    def _usual_topics(self) -> dict[str, type]:
        compressed = self.values['image_transport'] == 'compressed'
        topics = {'image/compressed': CompressedImage} if compressed else {'image': Image}
        topics |= {
            'audio': AUDIO_MESSAGE,
            'audio_info': AUDIO_INFO,
            'ground_truth': Detection2DArray,
        }
        topics |= {f'{self.values["localizer"]}/{name}': TOPICS[name] for name in RESULTS}
        return {topic: kind for topic, kind in topics.items() if kind is not None}

    def _on_timer(self) -> None:
        """Follow what publishers offer, say of which topics there are any, and see the end."""
        for topic in self._wanted:
            self._follow_publishers(topic)
        for topic, subscription in self._subscribed.items():
            if topic not in self._announced and subscription.get_publisher_count():
                self._announced.add(topic)
                print(f'recording {topic}', file=sys.stderr, flush=True)
        if self._has_ended():
            self.done.set()

    def _follow_publishers(self, topic: str) -> None:
        publishers = self.get_publishers_info_by_topic(topic)
        if not publishers:
            return
        known = self._offers.get(topic)
        # Who subscribes late gets what latched publishers keep; who has messages already would get
        # them twice, and stays as it is.
        latched = known.latched if self._received[topic] else None
        offer = common_offer(publishers, known and known.type_name, latched)
        if offer != known:
            self._subscribe(topic, offer)

    def _has_ended(self) -> bool:
        return (
            self._writing.failure is not None
            or 0 < self._until_ns <= self.get_clock().now().nanoseconds
            or 0 < self.values['pause'] < self.seconds_quiet()
        )

    def _subscribe(self, topic: str, offer: Offer) -> None:
        self._offers[topic] = offer
        type_name = offer.type_name
        kind = message_class(type_name)
        if kind is None:
            self.get_logger().error(
                f'{topic} is {type_name}, which is not installed; it is not recorded'
            )
            return
        if (
            self._received[topic]
            and topic in self._subscribed
            and self._subscribed[topic].msg_type is not kind
        ):
            self.get_logger().error(
                f'{topic} is {type_name} now; only what came before is recorded'
            )
            return
        if topic in self._subscribed:
            self.destroy_subscription(self._subscribed.pop(topic))
        large = kind in (Image, CompressedImage)
        qos = QoSProfile(
            depth=DEPTH if large else SMALL_DEPTH,
            reliability=QoSReliabilityPolicy.BEST_EFFORT
            if offer.best_effort
            else QoSReliabilityPolicy.RELIABLE,
            durability=QoSDurabilityPolicy.TRANSIENT_LOCAL
            if offer.latched
            else QoSDurabilityPolicy.VOLATILE,
        )
        on_message = partial(self._store, topic, type_name)
        # An offer that does not fit is seen by the next look.
        quiet = {'use_default_callbacks': False}
        try:
            events = SubscriptionEventCallbacks(message_lost=self._note_loss, **quiet)
            self._subscribed[topic] = self.create_subscription(
                kind, topic, on_message, qos, raw=True, event_callbacks=events
            )
        except UnsupportedEventTypeError:  # not every middleware counts what is lost
            self._subscribed[topic] = self.create_subscription(
                kind,
                topic,
                on_message,
                qos,
                raw=True,
                event_callbacks=SubscriptionEventCallbacks(**quiet),
            )

    def _store(self, topic: str, type_name: str, raw: bytes) -> None:
        self._last_arrival = time.monotonic()
        self._received[topic] += 1
        self._writing.add(topic, type_name, self.get_clock().now().nanoseconds, raw)

    def _note_loss(self, info) -> None:
        self.lost += info.total_count_change


def common_offer(publishers: list, type_name: str | None, latched: bool | None) -> Offer:
    """
    What a subscription can ask of all publishers of a topic.

    :param publishers: as ``get_publishers_info_by_topic`` gives them, at least one.
    :param type_name: of the messages that come already, kept while somebody publishes it.
    :param latched: what is kept; None to take what they offer.
    """
    policies = [info.qos_profile for info in publishers]
    types = sorted({info.topic_type for info in publishers})
    if latched is None:
        latched = all(qos.durability == QoSDurabilityPolicy.TRANSIENT_LOCAL for qos in policies)
    return Offer(
        type_name if type_name in types else types[0],
        any(qos.reliability == QoSReliabilityPolicy.BEST_EFFORT for qos in policies),
        latched,
    )
