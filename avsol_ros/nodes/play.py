"""The node `avsol_play`: a media file as camera and audio topics, with the media's own times."""

import argparse
import re
import sys
import threading
import time
from contextlib import suppress
from itertools import count

import cv2
from audio_common_msgs.msg import AudioDataStamped, AudioInfo
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CompressedImage, Image

from avsol_ros import parameters
from avsol_ros.config import NANOSECONDS
from avsol_ros.conversions import (
    audio_format_message,
    rgb_to_compressed,
    rgb_to_image,
    samples_to_audio,
    stamp_to_ns,
)
from avsol_ros.errors import AvsolError
from avsol_ros.media import MediaReader, VideoChunk
from avsol_ros.msg import SoundingObjects
from avsol_ros.nodes.pacing import Following, RealTime, Stopped
from avsol_ros.nodes.process import ros_process
from avsol_ros.nodes.qos import AUDIO_DEPTH, result_qos, sensor_qos

NAME = 'avsol_play'
RESULTS = 'avsol_localizer/sounding_objects'

# Seconds that a subscriber may need to know a publisher which already knows it.
SETTLING_S = 0.5

# Seconds without a new result after which, at the end of the file, no more are expected.
LAST_RESULTS_S = 4.0


class PlayNode(Node):
    """Publishes one media file; :meth:`play` does it from the calling thread."""

    def __init__(self, **node_options):
        super().__init__(NAME, **node_options)
        self.values = values = parameters.declare(self, parameters.PLAY)
        if not values['file']:
            raise AvsolError('no media file is given; expected one, as in: avsol play clip.mp4')
        self._reader = MediaReader(values['file'])
        self._size = parse_size(values['image_size'])
        self._base_ns = self._start_time()
        self._stop = threading.Event()
        if values['rate'] > 0:
            self._pacer = RealTime(values['rate'], self._stop.wait)
        else:
            self._pacer = Following(values['ahead'], values['result_timeout'], self._stop.wait)
            self.create_subscription(SoundingObjects, RESULTS, self._take_result, result_qos())
        image = (CompressedImage, 'image/compressed') if values['compressed'] else (Image, 'image')
        self._images = self.create_publisher(*image, sensor_qos('reliable'))
        self._audio = self.create_publisher(AudioDataStamped, 'audio',
                                            sensor_qos('reliable', AUDIO_DEPTH))
        self._audio_info = self.create_publisher(AudioInfo, 'audio_info', sensor_qos('reliable'))
        self.create_timer(1.0, self._publish_audio_info)
        self._frames_sent = self._chunks_sent = 0

    def play(self) -> None:
        """Publish the file, once or again and again, until its end or :meth:`stop`."""
        with suppress(Stopped), self._reader:
            self._wait_for_subscribers()
            self._base_ns = self._start_time()
            self._publish_audio_info()
            began = time.monotonic()
            for turn in count() if self.values['loop'] else range(1):
                offset_ns = turn * self._reader.info.duration_ns
                for chunk in self._reader:
                    self._pacer.wait_for(offset_ns + chunk.time_ns)
                    self._publish(chunk, self._base_ns + offset_ns + chunk.time_ns)
            self._wait_for_the_end(offset_ns + self._reader.info.duration_ns)
            self.get_logger().info(self._summary(time.monotonic() - began))

    def stop(self) -> None:
        """Make :meth:`play` return soon; may be called from any thread."""
        self._stop.set()

    def _start_time(self) -> int:
        return parse_start_time(self.values['start_time'], self.get_clock().now().nanoseconds)

    def _publish(self, chunk, stamp_ns: int) -> None:
        frame_id = self.values['frame_id']
        if not isinstance(chunk, VideoChunk):
            self._audio.publish(samples_to_audio(chunk.samples, stamp_ns, frame_id))
            self._chunks_sent += 1
            return
        pixels = chunk.image
        if self._size is not None:
            pixels = cv2.resize(pixels, self._size, interpolation=cv2.INTER_AREA)
        if self.values['compressed']:
            msg = rgb_to_compressed(pixels, stamp_ns, frame_id, self.values['jpeg_quality'])
        else:
            msg = rgb_to_image(pixels, stamp_ns, frame_id)
        self._images.publish(msg)
        self._frames_sent += 1

    def _publish_audio_info(self) -> None:
        info = self._reader.info
        self._audio_info.publish(audio_format_message(info.sample_rate, info.channels))

    def _take_result(self, msg: SoundingObjects) -> None:
        self._pacer.note_result(stamp_to_ns(msg.window_end) - self._base_ns)

    def _wait_for_subscribers(self) -> None:
        wanted = self.values['wait_for_subscribers']
        if not wanted:
            return
        deadline = time.monotonic() + self.values['wait_timeout']
        self.get_logger().info(f'waiting for {wanted} subscriber(s) of {self._images.topic_name} '
                               f'and of {self._audio.topic_name}')
        while not all(publisher.get_subscription_count() >= wanted
                      for publisher in (self._images, self._audio)):
            if time.monotonic() > deadline:
                self.get_logger().warning('playing without the subscribers that were waited for')
                return
            self._sleep(0.05)
        self._sleep(SETTLING_S)

    def _wait_for_the_end(self, end_ns: int) -> None:
        """Wait until what was sent has arrived, or until the results that were followed came."""
        if not isinstance(self._pacer, Following) or not self._pacer.results:
            self._images.wait_for_all_acked(Duration(seconds=SETTLING_S))
            self._sleep(SETTLING_S)  # best-effort subscribers do not answer
            return
        seen, since = self._pacer.results, time.monotonic()
        while (not self._pacer.complete(end_ns)
               and time.monotonic() - since < LAST_RESULTS_S):
            self._sleep(0.05)
            if self._pacer.results != seen:
                seen, since = self._pacer.results, time.monotonic()

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped

    def _summary(self, seconds: float) -> str:
        text = (f'played {self.values["file"]}: {self._frames_sent} frames and '
                f'{self._chunks_sent} audio messages in {seconds:.1f} s')
        if isinstance(self._pacer, Following):
            text += f', {self._pacer.results} results'
            return text + (f', {self._pacer.overdue} overdue' if self._pacer.overdue else '')
        return f'{text}, at most {self._pacer.most_lag_s * 1e3:.0f} ms late'


def parse_size(text: str) -> tuple[int, int] | None:
    """Width and height in pixels of WIDTHxHEIGHT; None of an empty text."""
    if not text:
        return None
    match = re.fullmatch(r'([1-9]\d{0,4})x([1-9]\d{0,4})', text)
    if match is None:
        raise AvsolError(f'image_size is {text!r}; expected WIDTHxHEIGHT in pixels, as in 640x480')
    return int(match[1]), int(match[2])


def parse_start_time(text: str, now_ns: int) -> int:
    """
    Nanoseconds of a start time.

    :param text: seconds, or 'now'.
    :param now_ns: the current time, of which 'now' is the whole second.
    """
    if text == 'now':
        return now_ns // NANOSECONDS * NANOSECONDS
    match = re.fullmatch(r'(\d{1,10})(?:\.(\d{1,9}))?', text)
    if match is None:
        raise AvsolError(f"start_time is {text!r}; expected 'now' or seconds, as in 0 or 12.5")
    return int(match[1]) * NANOSECONDS + int((match[2] or '').ljust(9, '0'))


def main(argv: list[str] | None = None) -> int:
    """Play a file to its end."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog='avsol play', description=__doc__,
        epilog='ROS arguments follow --ros-args, as in: --ros-args -r image:=/camera/image_raw')
    parser.add_argument('file', nargs='?', metavar='FILE', help='the media file')
    parameters.add_options(parser, parameters.PLAY, skip=('file',))
    options = parser.parse_args(remove_ros_args(args=argv))
    with ros_process(NAME, argv):
        run(PlayNode(parameter_overrides=parameters.overrides(options, parameters.PLAY)))
    return 0


def run(node: PlayNode) -> None:
    """Play while another thread serves the node's timers and subscriptions."""
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


if __name__ == '__main__':
    sys.exit(main())
