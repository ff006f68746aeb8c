"""What the tests that drive real nodes share."""

import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
import rclpy
from audio_common_msgs.msg import AudioDataStamped, AudioInfo
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from waiting import PATIENCE_S, wait_for

from avsol_ros.localization import Localization
from avsol_ros.messages import to_ros
from avsol_ros.nodes.qos import sensor_qos

SUPPORT = Path(__file__).resolve().parent
SECOND = 1_000_000_000
RATE = 16_000
CHUNK = 320  # samples of an audio message
CLASSES = ('bell', 'horn')

TRANSITIONS = {
    'configure': Transition.TRANSITION_CONFIGURE,
    'cleanup': Transition.TRANSITION_CLEANUP,
    'activate': Transition.TRANSITION_ACTIVATE,
    'deactivate': Transition.TRANSITION_DEACTIVATE,
}


class FakeLocalizer:
    """
    Finds what is bright, when it is loud.

    :param gate: an event without which no window after the first, the trial, is localized.
    """

    frames = 8
    class_names = CLASSES

    def __init__(self, gate=None):
        self.gate = gate
        self.windows = []
        self.resets = 0

    def reset(self):
        """Count how often a new stream is told of."""
        self.resets += 1

    def __call__(self, window):
        self.windows.append(window)
        if self.gate is not None and len(self.windows) > 1:
            assert self.gate.wait(PATIENCE_S)
        image = window.frames[-1]
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
        heatmap = cv2.resize(grey, (14, 14), interpolation=cv2.INTER_AREA)
        loud = float(np.abs(window.audio).max() > 0.05)
        return Localization(
            start_ns=window.start_ns,
            end_ns=window.end_ns,
            stamp_ns=window.frame_stamps_ns[-1],
            heatmap=heatmap,
            avc=0.9 * loud,
            class_names=CLASSES,
            class_scores=np.array([0.75, 0.25], np.float32),
            class_map=np.stack([heatmap, np.zeros_like(heatmap)]),
            image_size=image.shape[:2],
        )


@contextmanager
def spinning(node):
    """Serve a node from a thread of its own, and destroy it at the end."""
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)

    def spin():
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown()
        thread.join()
        node.destroy_node()


class Peer(Node):
    """Everything around a localizer: it feeds and listens."""

    def __init__(self, name='peer', **options):
        super().__init__(name, **options)
        self.received = {}
        self._made = {}

    def listen(self, kind, topic):
        """Collect what comes on a topic."""
        messages = self.received.setdefault(topic, [])
        self.create_subscription(kind, topic, messages.append, 100)
        return messages

    def publisher(self, topic, kind):
        """Publisher with at least one subscriber."""
        if topic not in self._made:
            self._made[topic] = self.create_publisher(kind, topic, sensor_qos('reliable', 100))
        wait_for(lambda: self._made[topic].get_subscription_count() > 0)
        return self._made[topic]

    def publish(self, topic, msg):
        self.publisher(topic, type(msg)).publish(msg)

    def call(self, kind, service, request):
        """Answer of a service; another thread has to serve this node."""
        client = self.create_client(kind, service)
        try:
            assert client.wait_for_service(PATIENCE_S), service
            future = client.call_async(request)
            wait_for(future.done)
            return future.result()
        finally:
            self.destroy_client(client)

    def set_parameters(self, node, **values):
        request = SetParameters.Request(
            parameters=[
                Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
            ]
        )
        return self.call(SetParameters, f'{node}/set_parameters', request).results

    def change_state(self, node, transition):
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[transition]))
        return self.call(ChangeState, f'{node}/change_state', request).success

    def state(self, node):
        """State of a node, which may have just come: its first answers may not reach us."""
        client = self.create_client(GetState, f'{node}/get_state')
        try:
            for _ in range(round(PATIENCE_S / 2)):
                future = client.call_async(GetState.Request())
                with suppress(AssertionError):
                    wait_for(future.done, 2)
                    return future.result().current_state.label
            raise AssertionError(f'{node} does not answer')
        finally:
            self.destroy_client(client)


@contextmanager
def other_peer():
    """Peer as if of another process, which has types of its own for its topics."""
    context = Context()
    rclpy.init(context=context)
    try:
        with spinning(Peer('driver', context=context)) as peer:
            yield peer
    finally:
        rclpy.shutdown(context=context)


def picture(bright=(8, 8, 24, 24), height=48, width=64):
    """Dark image (H, W, 3) with a bright rectangle (x0, y0, x1, y1)."""
    image = np.full((height, width, 3), 10, np.uint8)
    x0, y0, x1, y1 = bright
    image[y0:y1, x0:x1] = 250
    return image


def tone(start, count, level=0.5):
    """Part of an endless tone: (count, 1) int16."""
    time_s = np.arange(start, start + count) / RATE
    return np.rint(level * 32767 * np.sin(2 * np.pi * 440 * time_s)).astype(np.int16)[:, None]


def frame_stamps(seconds, begin_ns=0, rate=30):
    return [begin_ns + i * SECOND // rate for i in range(round(seconds * rate))]


def hears(node, topic):
    """Whether a node's subscription of a topic knows of a publisher."""
    return any(
        subscription.topic_name == f'/{topic}' and subscription.get_publisher_count()
        for subscription in node.subscriptions
    )


def feed(peer, node, seconds, begin_ns=0, level=0.5, image=None, make=None, frame_id='eye'):
    """
    Send a stream, in step with the node that takes it.

    :param node: LocalizerNode in this process.
    :param make: turns (pixels, stamp, frame_id) into an image message; raw rgb8 by default.
    """
    make = make or to_ros.rgb_to_image
    topic = 'image/compressed' if make is not to_ros.rgb_to_image else 'image'
    pixels = picture() if image is None else image
    events = [(stamp, None) for stamp in frame_stamps(seconds, begin_ns)]
    events += [(begin_ns + i * SECOND // RATE, i) for i in range(0, round(seconds * RATE), CHUNK)]
    for wanted in (topic, 'audio'):
        peer.publisher(
            wanted,
            CompressedImage
            if 'compressed' in wanted
            else Image
            if wanted == 'image'
            else AudioDataStamped,
        )
        wait_for(lambda wanted=wanted: hears(node, wanted))
    for stamp, sample in sorted(events, key=lambda event: event[0]):
        intake = node.intake
        before = intake.images + intake.audio_messages + intake.refused
        if sample is None:
            peer.publish(topic, make(pixels, stamp, frame_id))
        else:
            samples = tone(sample, CHUNK, level)
            peer.publish('audio', to_ros.samples_to_audio(samples, stamp, frame_id))
        wait_for(
            lambda intake=intake, before=before: (
                intake.images + intake.audio_messages + intake.refused > before
            )
        )


def tell_audio_format(peer, node):
    peer.publisher('audio_info', AudioInfo)
    wait_for(lambda: hears(node, 'audio_info'))
    peer.publish('audio_info', to_ros.audio_format_message(RATE, 1))
    wait_for(lambda: node.intake.audio_format.known)
