"""The QoS of every topic."""

from rclpy.qos import QoSDurabilityPolicy, QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy

from avsol_ros.errors import AvsolError

# Messages that may wait for a callback. Callbacks only store, so queues stay short; they bridge
# the moments in which the interpreter is busy elsewhere.
IMAGE_DEPTH = 10
AUDIO_DEPTH = 100
RESULT_DEPTH = 10

# Who asks for reliable subscriptions wants every message, also when one takes a while: a
# second or two of images, or what a player at several times the speed sends meanwhile.
RELIABLE_IMAGE_DEPTH = 60
RELIABLE_AUDIO_DEPTH = 500


def sensor_qos(reliability: str = 'best_effort', depth: int = IMAGE_DEPTH):
    """
    QoS of camera and microphone topics.

    :param reliability: 'best_effort' or 'reliable'. A best-effort subscription takes from both
        kinds of publishers, a reliable publisher serves both kinds of subscriptions.
    :param depth: messages that may wait.
    """
    policies = {
        'best_effort': QoSReliabilityPolicy.BEST_EFFORT,
        'reliable': QoSReliabilityPolicy.RELIABLE,
    }
    if reliability not in policies:
        raise AvsolError(f'reliability is {reliability!r}; expected one of {", ".join(policies)}')
    return QoSProfile(
        reliability=policies[reliability],
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=depth,
        durability=QoSDurabilityPolicy.VOLATILE,
    )


def best_effort_only(offered, type_name: str) -> bool:
    """
    Whether a reliable subscription would get nothing of some publisher of a type.

    :param offered: what ``get_publishers_info_by_topic`` says.
    """
    return any(
        info.topic_type == type_name
        and info.qos_profile.reliability == QoSReliabilityPolicy.BEST_EFFORT
        for info in offered
    )


def image_qos(reliability: str):
    """QoS of a subscription of images."""
    return sensor_qos(
        reliability, RELIABLE_IMAGE_DEPTH if reliability == 'reliable' else IMAGE_DEPTH
    )


def audio_qos(reliability: str):
    """QoS of a subscription of audio."""
    return sensor_qos(
        reliability, RELIABLE_AUDIO_DEPTH if reliability == 'reliable' else AUDIO_DEPTH
    )


def latched_qos():
    """QoS to be given the last message of a publisher that keeps it for those who come late."""
    return QoSProfile(
        reliability=QoSReliabilityPolicy.RELIABLE,
        depth=1,
        history=QoSHistoryPolicy.KEEP_LAST,
        durability=QoSDurabilityPolicy.TRANSIENT_LOCAL,
    )


def result_qos():
    """QoS of what the package publishes: reliable, so that no result is lost."""
    return sensor_qos('reliable', RESULT_DEPTH)
