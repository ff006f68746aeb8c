"""Image messages of every encoding become RGB."""

from array import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from avsol_ros.errors import AvsolError
from avsol_ros.messages.images import compressed_image_to_rgb, decode_image, image_to_rgb

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
    return SimpleNamespace(
        height=height,
        width=width,
        encoding=encoding,
        step=rows.shape[1],
        is_bigendian=is_bigendian,
        data=rows.tobytes(),
    )


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
        image_to_rgb(SimpleNamespace(encoding='rgb8', height=0, width=0))


def test_padding_may_be_missing_behind_the_last_row():
    msg = image_message(COLOURS, 'rgb8', padding=7)
    msg.data = msg.data[:-7]
    np.testing.assert_array_equal(image_to_rgb(msg), COLOURS)


def test_an_unknown_encoding_is_told_with_those_that_are_known():
    with pytest.raises(AvsolError, match="'strange12'; expected one of rgb8, bgr8"):
        image_to_rgb(image_message(COLOURS, 'strange12'))


def compressed(suffix, pixels):
    done, data = cv2.imencode(suffix, pixels[..., ::-1])
    assert done
    return SimpleNamespace(format=f'rgb8; {suffix[1:]} compressed bgr8', data=data.tobytes())


def test_compressed_images():
    found = compressed_image_to_rgb(compressed('.png', COLOURS))
    np.testing.assert_array_equal(found, COLOURS)
    smooth = np.zeros((32, 48, 3), np.uint8)
    smooth[:] = (220, 90, 30)
    found = compressed_image_to_rgb(compressed('.jpg', smooth))
    np.testing.assert_allclose(found.astype(int), smooth, atol=3)


def test_a_grey_png_becomes_rgb():
    done, data = cv2.imencode('.png', np.array([[0, 200]], np.uint8))
    found = compressed_image_to_rgb(SimpleNamespace(format='png', data=data.tobytes()))
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
        compressed_image_to_rgb(SimpleNamespace(format='jpeg', data=bytes(data)))


@pytest.mark.parametrize('data', [b'', b'\xff', b'no picture at all', b'\xff\xd8junk\xff\xd9'])
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(AvsolError, match='compressed image'):
        compressed_image_to_rgb(SimpleNamespace(format='jpeg', data=data))


# How the bytes of a message may come: from rclpy, from a bag, from elsewhere.
@pytest.mark.parametrize(
    'wrap', [lambda data: array('B', data), lambda data: np.frombuffer(data, np.uint8), bytes]
)
def test_images_of_either_type(wrap):
    raw = image_message(COLOURS, 'rgb8')
    raw.data = wrap(raw.data)
    coded = compressed('.png', COLOURS)
    coded.data = wrap(coded.data)
    for msg in (raw, coded):
        np.testing.assert_array_equal(decode_image(msg), COLOURS)
    with pytest.raises(AvsolError, match='SimpleNamespace; expected an image: sensor_msgs'):
        decode_image(SimpleNamespace(data=b''))
