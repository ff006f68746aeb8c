"""Messages become the arrays that they describe, and arrays the messages."""

import sys
from collections import namedtuple
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip('rclpy')

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray

from avsol_ros.errors import AvsolError
from avsol_ros.messages import images, to_ros
from avsol_ros.messages.images import compressed_image_to_rgb, image_to_rgb
from avsol_ros.messages.pcm import pcm_to_float
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.msg import SoundingObjects

Box = namedtuple('Box', 'x0 y0 x1 y1 score class_name class_score')

# Six colours that differ in every channel, as an image of 2 x 3 pixels.
COLOURS = np.array(
    [
        [[250, 10, 30], [20, 240, 60], [0, 90, 255]],
        [[128, 128, 128], [255, 255, 255], [7, 77, 177]],
    ],
    np.uint8,
)


def image_message(stored, encoding, padding=0, is_bigendian=0):
    """Message whose rows are those of an array, with bytes of padding behind each."""
    height, width = stored.shape[:2]
    rows = stored.reshape(height, -1)
    rows = np.pad(rows.view(np.uint8), ((0, 0), (0, padding)), constant_values=99)
    return Image(
        height=height,
        width=width,
        encoding=encoding,
        step=rows.shape[1],
        is_bigendian=is_bigendian,
        data=rows.tobytes(),
    )


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


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize(
    'encoding, order',
    [
        ('rgb8', (0, 1, 2)),
        ('bgr8', (2, 1, 0)),
        ('8UC3', (2, 1, 0)),
        ('rgba8', (0, 1, 2, 0)),
        ('bgra8', (2, 1, 0, 0)),
        ('8UC4', (2, 1, 0, 0)),
    ],
)
def test_colour_orders(encoding, order, padding):
    msg = image_message(np.ascontiguousarray(COLOURS[..., order]), encoding, padding)
    np.testing.assert_array_equal(image_to_rgb(msg), COLOURS)


@pytest.mark.parametrize('is_bigendian', [0, 1])
@pytest.mark.parametrize(
    'encoding, order',
    [
        ('rgb16', (0, 1, 2)),
        ('bgr16', (2, 1, 0)),
        ('rgba16', (0, 1, 2, 0)),
        ('bgra16', (2, 1, 0, 0)),
    ],
)
def test_sixteen_bits(encoding, order, is_bigendian):
    stored = (COLOURS[..., order].astype(np.uint16) * 257).astype('>u2' if is_bigendian else '<u2')
    msg = image_message(stored, encoding, padding=2, is_bigendian=is_bigendian)
    np.testing.assert_array_equal(image_to_rgb(msg), COLOURS)


def test_grey_images():
    grey = np.array([[0, 1, 127], [128, 254, 255]], np.uint8)
    expected = np.repeat(grey[..., None], 3, axis=2)
    for encoding in ('mono8', '8UC1'):
        np.testing.assert_array_equal(
            image_to_rgb(image_message(grey, encoding, padding=1)), expected
        )
    msg = image_message((grey.astype('>u2') * 257).astype('>u2'), 'mono16', is_bigendian=1)
    np.testing.assert_array_equal(image_to_rgb(msg), expected)


def yuv_of(rgb):
    """Studio-range BT.601, from its definition in float."""
    r, g, b = np.moveaxis(rgb.astype(float) / 255, -1, 0)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    u, v = (b - luma) / 1.772, (r - luma) / 1.402
    return np.rint([16 + 219 * luma, 128 + 224 * u, 128 + 224 * v]).astype(np.uint8)


# Colours in blocks of 2 x 2 pixels, so that halving the colour planes loses nothing.
BLOCKS = COLOURS.repeat(2, axis=0).repeat(2, axis=1)


@pytest.mark.parametrize('encoding', ['yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv'])
def test_yuv_422(encoding):
    y, u, v = yuv_of(BLOCKS)
    stored = np.empty((*y.shape, 2), np.uint8)
    luma_at = 1 if encoding in ('yuv422', 'uyvy') else 0
    stored[..., luma_at] = y
    stored[:, 0::2, 1 - luma_at] = u[:, 0::2]
    stored[:, 1::2, 1 - luma_at] = v[:, 0::2]
    found = image_to_rgb(image_message(stored, encoding, padding=3))
    np.testing.assert_allclose(found.astype(int), BLOCKS, atol=4)


@pytest.mark.parametrize('encoding', ['nv12', 'nv21'])
def test_yuv_420(encoding):
    y, u, v = yuv_of(BLOCKS)
    chroma = np.empty((y.shape[0] // 2, y.shape[1]), np.uint8)
    first, second = (u, v) if encoding == 'nv12' else (v, u)
    chroma[:, 0::2], chroma[:, 1::2] = first[::2, ::2], second[::2, ::2]
    msg = image_message(np.vstack([y, chroma]), encoding)
    msg.height = y.shape[0]
    np.testing.assert_allclose(image_to_rgb(msg).astype(int), BLOCKS, atol=4)


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_bayer(pattern, bits):
    colour = dict(zip('rgb', (200, 120, 40), strict=True))
    mosaic = np.array([[colour[c] for c in pattern[:2]], [colour[c] for c in pattern[2:]]])
    stored = np.tile(mosaic, (6, 6)).astype(np.uint8)
    if bits == 16:
        stored = (stored.astype('<u2') * 257).astype('<u2')
    found = image_to_rgb(image_message(stored, f'bayer_{pattern}{bits}'))
    assert found.shape == (12, 12, 3)
    np.testing.assert_array_equal(found, np.broadcast_to([200, 120, 40], found.shape))


def test_an_odd_width_cannot_be_yuv():
    with pytest.raises(AvsolError, match='even width'):
        image_to_rgb(image_message(np.zeros((3, 5, 2), np.uint8), 'yuyv'))


def test_an_image_without_all_its_bytes_is_refused():
    whole = image_message(COLOURS, 'rgb8')
    whole.data = whole.data[:-1]
    with pytest.raises(AvsolError, match='holds 17 bytes; expected at least 9 a row and 18 in'):
        image_to_rgb(whole)
    narrow = image_message(COLOURS, 'rgb8')
    narrow.step = 8
    with pytest.raises(AvsolError, match='8 bytes a row'):
        image_to_rgb(narrow)
    with pytest.raises(AvsolError, match='0x0'):
        image_to_rgb(Image(encoding='rgb8'))


def test_padding_may_be_missing_behind_the_last_row():
    msg = image_message(COLOURS, 'rgb8', padding=7)
    msg.data = msg.data[:-7]
    np.testing.assert_array_equal(image_to_rgb(msg), COLOURS)


def test_an_unknown_encoding_is_left_to_cv_bridge(monkeypatch):
    msg = image_message(COLOURS, 'strange12')
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    images._cv_bridge.cache_clear()
    with pytest.raises(AvsolError, match="'strange12'; expected one of rgb8, bgr8"):
        image_to_rgb(msg)
    bridge = ModuleType('cv_bridge')
    asked = []
    bridge.CvBridge = lambda: SimpleNamespace(
        imgmsg_to_cv2=lambda msg, desired_encoding: asked.append(desired_encoding) or COLOURS
    )
    monkeypatch.setitem(sys.modules, 'cv_bridge', bridge)
    images._cv_bridge.cache_clear()
    np.testing.assert_array_equal(image_to_rgb(msg), COLOURS)
    assert asked == ['rgb8']
    images._cv_bridge.cache_clear()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**60), st.integers(0, 2**32))
def test_images_come_back_the_same(height, width, stamp_ns, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    msg = over_the_wire(to_ros.rgb_to_image(pixels, stamp_ns, 'eye'))
    assert (msg.width, msg.height, msg.step, msg.encoding) == (width, height, 3 * width, 'rgb8')
    assert msg.header.frame_id == 'eye'
    assert stamp_to_ns(msg.header.stamp) == stamp_ns
    np.testing.assert_array_equal(image_to_rgb(msg), pixels)


def test_a_view_of_part_of_an_image_is_sent_whole():
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)[::2, 1::2]
    msg = to_ros.rgb_to_image(pixels, 0, '')
    np.testing.assert_array_equal(image_to_rgb(msg), pixels)


def compressed(suffix, pixels):
    done, data = cv2.imencode(suffix, pixels[..., ::-1])
    assert done
    return CompressedImage(format=f'rgb8; {suffix[1:]} compressed bgr8', data=data.tobytes())


def test_compressed_images():
    found = compressed_image_to_rgb(compressed('.png', COLOURS))
    np.testing.assert_array_equal(found, COLOURS)
    smooth = np.zeros((32, 48, 3), np.uint8)
    smooth[:] = (220, 90, 30)
    for msg in (compressed('.jpg', smooth), to_ros.rgb_to_compressed(smooth, 5, 'eye')):
        found = compressed_image_to_rgb(over_the_wire(msg))
        np.testing.assert_allclose(found.astype(int), smooth, atol=3)


def test_a_grey_png_becomes_rgb():
    done, data = cv2.imencode('.png', np.array([[0, 200]], np.uint8))
    found = compressed_image_to_rgb(CompressedImage(format='png', data=data.tobytes()))
    np.testing.assert_array_equal(found, [[[0] * 3, [200] * 3]])


def test_pixels_are_not_turned_by_exif():
    msg = compressed('.jpg', np.full((8, 24, 3), 200, np.uint8))
    # An APP1 segment with one tag: orientation, turned by a quarter.
    exif = b'Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0'
    segment = b'\xff\xe1' + (len(exif) + 2).to_bytes(2, 'big') + exif
    data = bytes(msg.data)
    turned = data[:2] + segment + data[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (24, 8, 3)
    msg.data = turned
    assert compressed_image_to_rgb(msg).shape == (8, 24, 3)


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_a_cut_off_file_is_refused(suffix):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    msg = compressed(suffix, noise)
    msg.data = bytes(msg.data)[: len(msg.data) // 2]
    with pytest.raises(AvsolError, match='cut off or damaged'):
        compressed_image_to_rgb(msg)


def test_a_size_that_lies_is_refused():
    """A picture of 4 G pixels by its header, which OpenCV does not begin to decode."""
    data = bytearray(bytes(compressed('.jpg', np.zeros((8, 8, 3), np.uint8)).data))
    size = data.index(b'\xff\xc0') + 5
    data[size : size + 4] = b'\xff\xdc' * 2
    with pytest.raises(AvsolError, match='damaged'):
        compressed_image_to_rgb(CompressedImage(format='jpeg', data=bytes(data)))


@pytest.mark.parametrize('data', [b'', b'\xff', b'no picture at all', b'\xff\xd8junk\xff\xd9'])
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(AvsolError, match='compressed image'):
        compressed_image_to_rgb(CompressedImage(format='jpeg', data=data))


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
