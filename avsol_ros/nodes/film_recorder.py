"""The node `avsol_recorder`: writes what the localizer finds as a film with sound."""

import json
import sys
import threading
import time
import traceback

import numpy as np
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from avsol_ros.config import NANOSECONDS
from avsol_ros.drawing.overlay_film import OverlayRecording
from avsol_ros.errors import AvsolError
from avsol_ros.localization import UNNAMED, WindowResult, kept_heatmap
from avsol_ros.messages.images import decode_image, image_to_rgb
from avsol_ros.messages.results import message_to_result
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.msg import SoundingObjects
from avsol_ros.nodes.audio_topics import AudioTopics, audio_options
from avsol_ros.nodes.installed_types import type_name_of
from avsol_ros.nodes.parameter_values import declare
from avsol_ros.nodes.parameters import RECORDER
from avsol_ros.nodes.qos import (
    RELIABLE_IMAGE_DEPTH,
    best_effort_only,
    result_qos,
    sensor_qos,
)
from avsol_ros.stopping import Stopping
from avsol_ros.streams.audio_reader import AudioReader, Piece

NAME = 'avsol_recorder'

# Images that may wait for their callback while a film frame is drawn: unlike a localizer, which
# wants the newest, a recorder wants all.
RECORDED_DEPTH = RELIABLE_IMAGE_DEPTH

# Halves of results kept while their other half is missing.
PENDING = 200


class RecorderNode(Node):
    """
    Callbacks convert and store; a thread of its own draws and writes.

    :param done: set when the stream has ended, also by others. :meth:`finish` then puts the files
        in their places.
    """

    def __init__(self, done: Stopping | None = None, **node_options):
        super().__init__(NAME, **node_options)
        self.values = values = declare(self, RECORDER)
        self.recording = OverlayRecording(
            values['output'], round(values['max_wait'] * NANOSECONDS), values['max_memory'] << 20
        )
        self.done = done or Stopping()
        self.failure: Exception | None = None
        self._until_ns = round(values['until'] * NANOSECONDS)
        self.audio = AudioReader(self._log_error, **audio_options(values))
        self._heatmaps: dict[int, np.ndarray] = {}
        self._waiting: SoundingObjects | None = None
        self._last_arrival = time.monotonic()
        self._image_size = (0, 0)
        self._condition = threading.Condition()
        self._finishing = self._discarding = False
        reliability = values['reliability']
        compressed = values['image_transport'] == 'compressed'
        self._image_topic = (
            (CompressedImage, 'image/compressed') if compressed else (Image, 'image')
        )
        results = values['localizer']
        self._audio_topics = AudioTopics(
            self, values['audio_type'], reliability, self._on_audio, self._on_audio_info
        )
        self._images = self.create_subscription(
            *self._image_topic, self._on_image, sensor_qos(reliability, RECORDED_DEPTH)
        )
        self._reliable = reliability == 'reliable'
        self._results = [
            self.create_subscription(Image, f'{results}/heatmap', self._on_heatmap, result_qos()),
            self.create_subscription(
                SoundingObjects, f'{results}/sounding_objects', self._on_result, result_qos()
            ),
        ]
        self._ready = not values['progress']
        # On a clock that goes on when a player stops the ROS time.
        self.create_timer(0.1, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._thread = threading.Thread(target=self._work, name='avsol recorder', daemon=True)
        self._thread.start()

    def seconds_quiet(self) -> float:
        """Real seconds since the last message; since it began, before the first."""
        return time.monotonic() - self._last_arrival

    def finish(self) -> None:
        """Write what is left; raises what went wrong while recording."""
        self._record(self.audio.flush())
        if self.audio.pending:
            self.get_logger().error(
                f'{len(self.audio.pending)} audio messages are left out, for no AudioInfo told '
                'their format; publish audio_info, or set audio_sample_rate, audio_channels and '
                'audio_format'
            )
        with self._condition:
            self._record_result()
            self._finishing = True
            self._condition.notify()
        self._thread.join()
        if self.failure is not None:
            self.recording.discard()
            raise self.failure
        recording = self.recording
        path = recording.close()
        if path is None:
            raise AvsolError(
                'no image came, so there is nothing to record; look whether the '
                'topics image and audio are published and remapped alike'
            )
        print(
            f'wrote {path}: {recording.frames_written} frames, {recording.windows} windows, '
            f'{recording.frames_dropped} frames dropped, {recording.frames_late} left out for '
            'their stamps',
            file=sys.stderr,
        )

    def discard(self) -> None:
        """Remove what :meth:`finish` has not put in its place."""
        with self._condition:
            self._discarding = True
            self._condition.notify()
        self._thread.join()
        self.recording.discard()

    def _on_image(self, msg: Image | CompressedImage) -> None:
        self._last_arrival = time.monotonic()
        try:
            image = decode_image(msg)
        except AvsolError as error:
            self.get_logger().error(str(error), throttle_duration_sec=10.0)
            return
        with self._condition:
            self._image_size = image.shape[:2]
            try:
                self.recording.add_frame(stamp_to_ns(msg.header.stamp), image)
            except AvsolError as error:
                self.get_logger().error(str(error), throttle_duration_sec=10.0)
            self._condition.notify()

    def _on_audio_info(self, msg) -> None:
        self._record(self.audio.add_info(msg))

    def _on_audio(self, msg) -> None:
        self._last_arrival = time.monotonic()
        self._record(self.audio.add(msg, self.get_clock().now().nanoseconds))

    def _record(self, pieces: list[Piece]) -> None:
        for stamp_ns, samples, rate in pieces:
            with self._condition:
                try:
                    self.recording.add_audio(stamp_ns, samples, rate)
                except AvsolError as error:
                    self._log_error(error)
                self._condition.notify()

    def _log_error(self, error: AvsolError) -> None:
        self.get_logger().error(str(error), throttle_duration_sec=10.0)

    def _on_heatmap(self, msg: Image) -> None:
        try:
            heatmap = kept_heatmap(image_to_rgb(msg)[:, :, 0]).astype(np.float32) / 255
        except AvsolError as error:
            self.get_logger().error(str(error), throttle_duration_sec=10.0)
            return
        with self._condition:
            self._heatmaps[stamp_to_ns(msg.header.stamp)] = heatmap
            while len(self._heatmaps) > PENDING:
                del self._heatmaps[next(iter(self._heatmaps))]
            if self._waiting is not None:
                self._record_if_paired()

    def _on_result(self, msg: SoundingObjects) -> None:
        self._last_arrival = time.monotonic()
        with self._condition:
            # The next result without the last one's heatmap: that heatmap does not come.
            self._record_result()
            self._waiting = msg
            self._record_if_paired()

    def _record_if_paired(self) -> None:
        if stamp_to_ns(self._waiting.header.stamp) in self._heatmaps:
            self._record_result()

    def _record_result(self) -> None:
        """Record the result that waits, with its heatmap if that has come."""
        msg, self._waiting = self._waiting, None
        if msg is None:
            return
        stamp_ns = stamp_to_ns(msg.header.stamp)
        heatmap = self._heatmaps.get(stamp_ns, np.zeros((2, 2), np.float32))
        for old in [stamp for stamp in self._heatmaps if stamp < stamp_ns]:
            del self._heatmaps[old]
        result = message_to_result(msg, heatmap, self._image_size)
        self.recording.add_result(result)
        self._condition.notify()
        if self.values['progress']:
            print(json.dumps(_progress_values(result)), flush=True)

    def _on_timer(self) -> None:
        if not self._ready and all(
            self.count_publishers(subscription.topic_name) for subscription in self._results
        ):
            self._ready = True
            print(json.dumps({'ready': True}), flush=True)
        if self._reliable:
            self._follow_camera()
        self._check_for_the_end()

    def _follow_camera(self) -> None:
        """Take the images best effort where the camera's driver offers no more."""
        topic = self._images.topic_name
        offered = self.get_publishers_info_by_topic(topic)
        if best_effort_only(offered, type_name_of(self._image_topic[0])):
            self._reliable = False
            self.destroy_subscription(self._images)
            self._images = self.create_subscription(
                *self._image_topic, self._on_image, sensor_qos('best_effort', RECORDED_DEPTH)
            )
            self.get_logger().info(f'{topic} is published best effort, and so taken')

    def _check_for_the_end(self) -> None:
        if self.failure is not None:
            self.done.set()
        if not self._until_ns:
            return
        with self._condition:
            newest = [self.recording.newest_window_end_ns, self.recording.newest_frame_ns]
        quiet = self.seconds_quiet()
        all_known = newest[0] is not None and newest[0] >= self._until_ns
        seen = newest[1] is not None and newest[1] >= self._until_ns - NANOSECONDS
        # A window can end with the stream only if that lasts whole hops.
        if (all_known and quiet > 0.3) or (seen and quiet > self.values['patience']):
            self.done.set()

    def _work(self) -> None:
        try:
            while True:
                with self._condition:
                    work = self.recording.take_decided()
                    while not (work or self._finishing or self._discarding):
                        self._condition.wait()
                        work = self.recording.take_decided()
                    if not work or self._discarding:
                        return
                self.recording.write(work)
        except Exception as error:
            if not isinstance(error, AvsolError):
                traceback.print_exc()
            self.failure = error


def _progress_values(result: WindowResult) -> dict:
    """What a line says that was found in a window; ``avc`` is null where the model gives none."""
    best = result.boxes[0] if result.boxes else None
    return {
        'end': result.end_ns / NANOSECONDS,
        'avc': None if result.avc is None else round(result.avc, 3),
        'sounding': best and f'{best.class_name or UNNAMED} {best.class_score:.2f}',
    }
