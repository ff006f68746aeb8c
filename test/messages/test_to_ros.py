"""Arrays become the messages that describe them, and come back the same."""

from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip('rclpy')

from rclpy.serialization import deserialize_message, serialize_message
from vision_msgs.msg import Detection2DArray

from avsol_ros.errors import AvsolError
from avsol_ros.messages import to_ros
from avsol_ros.messages.images import compressed_image_to_rgb, image_to_rgb
from avsol_ros.messages.pcm import pcm_to_float
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.msg import SoundingObjects

Box = namedtuple('Box', 'x0 y0 x1 y1 score class_name class_score')


def over_the_wire(msg):
    return deserialize_message(serialize_message(msg), type(msg))


@given(st.integers(-(2**31) * 10**9, 2**31 * 10**9 - 1))
def test_stamps_are_exact(nanoseconds):
    stamp = to_ros.ns_to_stamp(nanoseconds)
    assert stamp.sec * 10**9 + stamp.nanosec == nanoseconds
    assert 0 <= stamp.nanosec < 10**9
    assert stamp_to_ns(stamp) == nanoseconds


def test_a_time_too_large_for_a_stamp_is_refused():
    with pytest.raises(AvsolError, match='2147483647 s'):
        to_ros.ns_to_stamp(2**31 * 10**9)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**60), st.integers(0, 2**32))
def test_images_come_back_the_same(height, width, stamp_ns, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    msg = over_the_wire(to_ros.rgb_to_image(pixels, stamp_ns, 'eye'))
    assert (msg.width, msg.height, msg.step, msg.encoding) == (width, height, 3 * width, 'rgb8')
    assert msg.header.frame_id == 'eye'
    assert stamp_to_ns(msg.header.stamp) == stamp_ns
    np.testing.assert_array_equal(image_to_rgb(msg), pixels)


def test_jpegs_come_back_nearly_the_same():
    smooth = np.zeros((32, 48, 3), np.uint8)
    smooth[:] = (220, 90, 30)
    msg = over_the_wire(to_ros.rgb_to_compressed(smooth, 5, 'eye'))
    assert (stamp_to_ns(msg.header.stamp), msg.header.frame_id) == (5, 'eye')
    np.testing.assert_allclose(compressed_image_to_rgb(msg).astype(int), smooth, atol=3)


def test_a_view_of_part_of_an_image_is_sent_whole():
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)[::2, 1::2]
    msg = to_ros.rgb_to_image(pixels, 0, '')
    np.testing.assert_array_equal(image_to_rgb(msg), pixels)


def test_heatmaps():
    heatmap = np.array([[0, 0.5, 1], [0.25, 1 / 255, 0.999]], np.float32)
    mono = over_the_wire(to_ros.heatmap_to_mono8(heatmap, 7, 'eye'))
    assert (mono.encoding, mono.width, mono.height, mono.step) == ('mono8', 3, 2, 3)
    assert list(mono.data) == [0, 128, 255, 64, 1, 255]
    single = over_the_wire(to_ros.heatmap_to_32fc1(heatmap, 7, 'eye'))
    assert (single.encoding, single.width, single.height, single.step) == ('32FC1', 3, 2, 12)
    np.testing.assert_array_equal(np.frombuffer(single.data, '<f4').reshape(2, 3), heatmap)


def test_detections_keep_place_order_and_meaning():
    boxes = [Box(10, 20, 30, 60, 0.75, 'bell', 0.9), Box(0.5, 0, 1, 2, 0.25, 'horn', 0.4)]
    msg = over_the_wire(to_ros.boxes_to_detections(boxes, 1_500_000_000, 'eye'))
    assert isinstance(msg, Detection2DArray)
    first, second = msg.detections
    assert (first.bbox.center.position.x, first.bbox.center.position.y) == (20, 40)
    assert (first.bbox.size_x, first.bbox.size_y, first.bbox.center.theta) == (20, 40, 0)
    assert (second.bbox.center.position.x, second.bbox.size_x) == (0.75, 0.5)
    assert [d.results[0].hypothesis.class_id for d in msg.detections] == ['bell', 'horn']
    assert [d.results[0].hypothesis.score for d in msg.detections] == [0.75, 0.25]
    for part in (msg, first, second):
        assert (part.header.stamp.sec, part.header.stamp.nanosec) == (1, 500_000_000)
        assert part.header.frame_id == 'eye'
    assert to_ros.boxes_to_detections([], 0, 'eye').detections == []


def test_sounding_objects_say_everything():
    localization = SimpleNamespace(
        start_ns=2_000_000_000,
        end_ns=3_000_000_000,
        stamp_ns=2_960_000_000,
        avc=0.75,
        class_names=('bell', 'horn'),
        class_scores=np.array([0.5, 0.125], np.float32),
    )
    boxes = [Box(0, 0, 4, 4, 0.5, 'bell', 0.5)]
    msg = over_the_wire(to_ros.localization_to_message(localization, boxes, 'eye'))
    assert isinstance(msg, SoundingObjects)
    assert stamp_to_ns(msg.header.stamp) == 2_960_000_000
    assert (msg.window_start.sec, msg.window_end.sec) == (2, 3)
    assert msg.avc_probability == 0.75
    assert list(msg.class_names) == ['bell', 'horn']
    assert list(msg.class_scores) == [0.5, 0.125]
    assert [d.bbox.size_x for d in msg.detections] == [4]
    assert msg.header.frame_id == msg.detections[0].header.frame_id == 'eye'


def test_what_a_model_does_not_say_is_told_apart():
    localization = SimpleNamespace(
        start_ns=0,
        end_ns=10**9,
        stamp_ns=0,
        avc=None,
        class_names=(),
        class_scores=np.zeros(0, np.float32),
    )
    boxes = [Box(0, 0, 4, 4, 1.0, '', 1.0)]
    msg = over_the_wire(to_ros.localization_to_message(localization, boxes, 'eye'))
    assert np.isnan(msg.avc_probability)
    assert list(msg.class_names) == [] and list(msg.class_scores) == []
    (hypothesis,) = msg.detections[0].results
    assert hypothesis.hypothesis.class_id == 'sounding object'
    assert hypothesis.hypothesis.score == 1.0


def test_audio_comes_back_the_same():
    samples = np.array([[0, 1], [-32768, 32767], [256, -256]], np.int16)
    msg = over_the_wire(to_ros.samples_to_audio(samples, 12, 'ear'))
    info = over_the_wire(to_ros.audio_format_message(44100, 2))
    assert (info.sample_rate, info.channels, info.bitrate) == (44100, 2, 44100 * 2 * 16)
    found = pcm_to_float(msg.audio.data, info.sample_format, info.channels)
    np.testing.assert_array_equal(found * 32768, samples)
    assert stamp_to_ns(msg.header.stamp) == 12
