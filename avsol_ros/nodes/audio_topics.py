"""
The microphone's topics, in whichever form the driver publishes them.

Two packages are called audio_common_msgs and cannot be installed together. That of ros-drivers
has AudioDataStamped, AudioData and AudioInfo; that of mgonzs13 has AudioStamped.
"""

from collections.abc import Callable

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSReliabilityPolicy

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.messages.audio import AUDIO_TYPES, parse_audio_format
from avsol_ros.messages.to_ros import AUDIO_INFO, NO_AUDIO_PACKAGE
from avsol_ros.nodes.qos import audio_qos, best_effort_only, latched_qos, sensor_qos

# Seconds between two looks at who publishes.
LOOK_S = 0.5


def installed_types() -> dict[str, type]:
    """Audio messages of the installed package by type name, the best first."""
    try:
        from audio_common_msgs import msg as package
    except ImportError:
        return {}
    # What mgonzs13's package calls AudioData is a part of its messages; no driver publishes it.
    names = [
        name for name in AUDIO_TYPES if AUDIO_INFO is not None or not name.endswith('/AudioData')
    ]
    return {
        name: getattr(package, name.split('/')[-1])
        for name in names
        if hasattr(package, name.split('/')[-1])
    }


def audio_options(values: dict) -> dict:
    """What the parameters `audio_...` say to an AudioReader or an Intake, by argument."""
    wanted = parse_audio_format(
        values['audio_format'], values['audio_sample_rate'], values['audio_channels']
    )
    return {
        'audio_format': wanted,
        'audio_stamps': values['audio_stamps'],
        'audio_latency_ns': round(values['audio_latency'] * NANOSECONDS),
    }


class AudioTopics:
    """
    Subscribes to `audio`, and to `audio_info` where there is one.

    :param node: whose topics they are.
    :param wanted: name of a message without its package, or 'auto': the installed package's
        stamped one, or what the topic's publishers have.
    :param reliability: 'best_effort' or 'reliable', which becomes best effort where a publisher
        offers no more, as mgonzs13's capture node: else nothing would come of it.
    :param take_audio: called with each audio message.
    :param take_info: called with each AudioInfo.
    """

    def __init__(
        self, node: Node, wanted: str, reliability: str, take_audio: Callable, take_info: Callable
    ):
        self._node = node
        self._take_audio, self._take_info = take_audio, take_info
        self._qos = audio_qos(reliability)
        self._types = installed_types()
        self._audio_type = chosen_type(wanted, self._types)
        self._follows = wanted == 'auto'
        self._told = False
        self._subscriptions = {'audio': self._subscribe_audio()}
        if AUDIO_INFO is not None:
            self._subscriptions['info'] = self._subscribe_info(self._qos)
        # On a clock that goes on when a player stops the ROS time.
        self._timer = node.create_timer(
            LOOK_S, self.look, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def look(self) -> None:
        """Follow what the topics' publishers offer."""
        topic = self._subscriptions['audio'].topic_name
        offered = self._node.get_publishers_info_by_topic(topic)
        if self._follows:
            self._follow_type(topic, {info.topic_type for info in offered})
        if self._qos.reliability == QoSReliabilityPolicy.RELIABLE and best_effort_only(
            offered, self._audio_type
        ):
            self._qos = sensor_qos('best_effort', self._qos.depth)
            self._subscribe_anew()
            self._node.get_logger().info(f'{topic} is published best effort, and so taken')
        if 'info' in self._subscriptions and 'kept info' not in self._subscriptions:
            topic = self._subscriptions['info'].topic_name
            offered = self._node.get_publishers_info_by_topic(topic)
            # Drivers send it again and again. What is sent but once, before we came, reaches
            # only a subscription that asks for what was kept, and which others do not serve.
            if any(
                info.qos_profile.durability == QoSDurabilityPolicy.TRANSIENT_LOCAL
                for info in offered
            ):
                self._subscriptions['kept info'] = self._subscribe_info(latched_qos())

    def _follow_type(self, topic: str, offered: set[str]) -> None:
        if not offered or self._audio_type in offered:
            return
        better = next((name for name in self._types if name in offered), None)
        if better is not None:
            self._audio_type = better
            self._subscribe_anew()
            self._node.get_logger().info(f'{topic} has {better}')
        elif not self._told:
            self._told = True
            self._node.get_logger().error(
                f'{topic} has {", ".join(sorted(offered))}, which cannot be taken here; expected '
                f'{" or ".join(self._types)}, of the audio_common_msgs that is installed; install '
                "and source the driver's, or name another topic"
            )

    def destroy(self) -> None:
        """End the subscriptions."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._node.destroy_timer(self._timer)

    def _subscribe_anew(self) -> None:
        # First the one, then the other: a process has one type to a topic.
        self._node.destroy_subscription(self._subscriptions.pop('audio'))
        self._subscriptions['audio'] = self._subscribe_audio()

    def _subscribe_audio(self):
        return self._node.create_subscription(
            self._types[self._audio_type], 'audio', self._take_audio, self._qos
        )

    def _subscribe_info(self, qos):
        return self._node.create_subscription(AUDIO_INFO, 'audio_info', self._take_info, qos)


def chosen_type(wanted: str, types: dict[str, type]) -> str:
    """Type name to begin with, of those installed."""
    if not types:
        raise AvsolError(NO_AUDIO_PACKAGE)
    if wanted == 'auto':
        return next(iter(types))
    name = f'audio_common_msgs/msg/{wanted}'
    if name not in types:
        raise AvsolError(
            f'audio_type is {wanted}, which the installed audio_common_msgs lacks; '
            f'expected auto, or one of {", ".join(n.split("/")[-1] for n in types)}'
        )
    return name
