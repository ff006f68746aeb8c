"""
Image messages to pixels: (H, W, 3) uint8 RGB.

Only the attributes of a message are read. So messages of ROS classes and messages decoded from a
bag both work, and no ROS is needed. Byte fields may be bytes, arrays or NumPy arrays.

cv_bridge is not called, for three reasons that ``test/messages/test_cv_bridge.py`` shows with a
real one:

- It has nothing to add. Whatever it can turn into rgb8 is turned into the same pixels here, by
  the same functions of OpenCV. Here more is known: the YUV encodings of new drivers, 8UC3.
- It misreads rows with padding, if that is no whole number of pixels.
- Built for NumPy 1, as distributions have it, it ends the process with a segmentation fault
  beside NumPy 2, at the first image. Nothing can catch that.

So pixels do not depend on what is installed: a robot and a laptop without ROS give the same.
"""

from contextlib import suppress
from typing import TypeGuard

import cv2
import numpy as np

from avsol_ros.errors import AvsolError
from avsol_ros.messages.fields import CompressedImageMessage, ImageMessage

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
# For each encoding: channels as stored, dtype as stored, and OpenCV's conversion to RGB or None.
# The name of a Bayer encoding tells the colours of the first 2x2 pixels, row by row, as in ROS.
_ENCODINGS = {
    'rgb8': (3, np.uint8, None),
    'bgr8': (3, np.uint8, cv2.COLOR_BGR2RGB),
    '8uc3': (3, np.uint8, cv2.COLOR_BGR2RGB),
    'rgba8': (4, np.uint8, cv2.COLOR_RGBA2RGB),
    'bgra8': (4, np.uint8, cv2.COLOR_BGRA2RGB),
    '8uc4': (4, np.uint8, cv2.COLOR_BGRA2RGB),
    'mono8': (1, np.uint8, cv2.COLOR_GRAY2RGB),
    '8uc1': (1, np.uint8, cv2.COLOR_GRAY2RGB),
    'rgb16': (3, np.uint16, None),
    'bgr16': (3, np.uint16, cv2.COLOR_BGR2RGB),
    'rgba16': (4, np.uint16, cv2.COLOR_RGBA2RGB),
    'bgra16': (4, np.uint16, cv2.COLOR_BGRA2RGB),
    'mono16': (1, np.uint16, cv2.COLOR_GRAY2RGB),
    'yuv422': (2, np.uint8, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': (2, np.uint8, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': (2, np.uint8, cv2.COLOR_YUV2RGB_YUY2),
    'yuyv': (2, np.uint8, cv2.COLOR_YUV2RGB_YUY2),
    'nv12': (1, np.uint8, cv2.COLOR_YUV2RGB_NV12),
    'nv21': (1, np.uint8, cv2.COLOR_YUV2RGB_NV21),
    'bayer_rggb8': (1, np.uint8, cv2.COLOR_BayerRGGB2RGB),
    'bayer_bggr8': (1, np.uint8, cv2.COLOR_BayerBGGR2RGB),
    'bayer_gbrg8': (1, np.uint8, cv2.COLOR_BayerGBRG2RGB),
    'bayer_grbg8': (1, np.uint8, cv2.COLOR_BayerGRBG2RGB),
    'bayer_rggb16': (1, np.uint16, cv2.COLOR_BayerRGGB2RGB),
    'bayer_bggr16': (1, np.uint16, cv2.COLOR_BayerBGGR2RGB),
    'bayer_gbrg16': (1, np.uint16, cv2.COLOR_BayerGBRG2RGB),
    'bayer_grbg16': (1, np.uint16, cv2.COLOR_BayerGRBG2RGB),
}

# What must be in a whole file, by how the file begins. Of a file that is cut off, decoders would
# fill the rest with grey.
_END_MARKS = {b'\xff\xd8': b'\xff\xd9', b'\x89P': b'IEND'}


def image_to_rgb(msg: ImageMessage) -> np.ndarray:
    """
    Return the pixels of an Image message.

    Colours are read as cv_bridge reads them: Bayer mosaics are interpolated bilinearly, 16 bits
    are scaled to 8 by 255 / 65535 and rounded, and alpha is left out. YUV with an odd width (or
    height, of nv12 and nv21) is refused, for its last column would have half of its colour.

    :returns: (H, W, 3) uint8 RGB. Of an unpadded rgb8 image it is a read-only view.
    :raises AvsolError: if the encoding is unknown, or the bytes are too few for what it says.
    """
    encoding = msg.encoding.lower()
    if msg.height < 1 or msg.width < 1:
        raise AvsolError(f'image is {msg.width}x{msg.height}; expected at least 1x1 pixels')
    if encoding not in _ENCODINGS:
        raise AvsolError(
            f'image has encoding {msg.encoding!r}; expected one of {", ".join(_ENCODINGS)}'
        )
    channels, dtype, conversion = _ENCODINGS[encoding]
    pixels = _stored_pixels(msg, encoding, channels, np.dtype(dtype))
    if conversion is not None:
        try:
            pixels = cv2.cvtColor(pixels, conversion)
        except cv2.error as error:
            raise AvsolError(
                f'image of {msg.width}x{msg.height} cannot be {msg.encoding}; '
                'expected an even width and height for this encoding'
            ) from error
    if dtype is np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)
    return pixels


def _stored_pixels(msg: ImageMessage, encoding: str, channels: int, dtype: np.dtype) -> np.ndarray:
    """Return the pixels of a message as stored, without row padding, in native byte order."""
    rows = msg.height * 3 // 2 if encoding in ('nv12', 'nv21') else msg.height
    row_bytes = msg.width * channels * dtype.itemsize
    data = np.frombuffer(msg.data, dtype=np.uint8)
    if msg.step < row_bytes or data.size < msg.step * (rows - 1) + row_bytes:
        raise AvsolError(
            f'image says {msg.width}x{msg.height} {msg.encoding} with {msg.step} bytes a row and '
            f'holds {data.size} bytes; expected at least {row_bytes} a row and '
            f'{rows * max(msg.step, row_bytes)} in all'
        )
    pixels = np.lib.stride_tricks.as_strided(
        data, (rows, row_bytes), (msg.step, 1), writeable=False
    )
    if msg.step != row_bytes:
        pixels = np.ascontiguousarray(pixels)
    if dtype.itemsize > 1:
        pixels = pixels.view(dtype.newbyteorder('>' if msg.is_bigendian else '<')).astype(dtype)
    shape = (rows, msg.width) if channels == 1 else (rows, msg.width, channels)
    return pixels.reshape(shape)


def compressed_image_to_rgb(msg: CompressedImageMessage) -> np.ndarray:
    """
    Return the pixels of a CompressedImage message, JPEG or PNG.

    :returns: (H, W, 3) uint8 RGB, in the order of the camera's pixels; EXIF does not rotate them.
    :raises AvsolError: if it is neither, or is cut off or damaged.
    """
    data = bytes(msg.data)
    end = _END_MARKS.get(data[:2])
    if end is None:
        raise AvsolError(
            f'compressed image has format {msg.format!r} and {len(data)} bytes that '
            'are neither JPEG nor PNG; expected one of these'
        )
    pixels = None
    if end in data:
        with suppress(cv2.error):  # raised for a damaged size: more pixels than OpenCV takes
            pixels = cv2.imdecode(
                np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
            )
    if pixels is None:
        raise AvsolError(
            f'compressed image ({msg.format!r}, {len(data)} bytes) is cut off or '
            'damaged; expected a whole JPEG or PNG'
        )
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def decode_image(msg: ImageMessage | CompressedImageMessage) -> np.ndarray:
    """Return the pixels (H, W, 3) uint8 RGB of an Image or a CompressedImage message."""
    if _is_raw(msg):
        return image_to_rgb(msg)
    if _is_compressed(msg):
        return compressed_image_to_rgb(msg)
    raise AvsolError(
        f'message is {type(msg).__name__}; expected an image: {" or ".join(IMAGE_TYPES)}'
    )


def _is_raw(msg: object) -> TypeGuard[ImageMessage]:
    return hasattr(msg, 'encoding')


def _is_compressed(msg: object) -> TypeGuard[CompressedImageMessage]:
    return hasattr(msg, 'format')
