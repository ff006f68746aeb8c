"""Raw images of messages as pixels for PNG files, and back, without changing a pixel."""

import numpy as np

from avsol_ros.errors import AvsolError
from avsol_ros.messages.images import image_to_rgb

# Encoding in small letters: channels, type, whether blue comes first. Other encodings (Bayer, YUV)
# are converted to RGB and cannot be restored.
_PLAIN = {
    'rgb8': (3, np.uint8, False),
    'bgr8': (3, np.uint8, True),
    '8uc3': (3, np.uint8, True),
    'rgba8': (4, np.uint8, False),
    'bgra8': (4, np.uint8, True),
    '8uc4': (4, np.uint8, True),
    'mono8': (1, np.uint8, False),
    '8uc1': (1, np.uint8, False),
    'rgb16': (3, np.uint16, False),
    'bgr16': (3, np.uint16, True),
    'rgba16': (4, np.uint16, False),
    'bgra16': (4, np.uint16, True),
    'mono16': (1, np.uint16, False),
    '16uc1': (1, np.uint16, False),
}


def stored_pixels(msg) -> tuple[np.ndarray, str]:
    """
    Return the pixels of an Image message.

    :returns: (H, W) or (H, W, 3 or 4), uint8 or uint16, colours as RGB; and the encoding that
        brings them back: the message's own, or rgb8.
    """
    if msg.encoding.lower() not in _PLAIN:
        return image_to_rgb(msg), 'rgb8'
    channels, dtype, blue_first = _PLAIN[msg.encoding.lower()]
    row = msg.width * channels * np.dtype(dtype).itemsize
    data = np.frombuffer(msg.data, np.uint8)
    if not row or msg.step < row or len(data) < msg.step * msg.height:
        raise AvsolError(
            f'image says {msg.width}x{msg.height} {msg.encoding} with {msg.step} '
            f'bytes a row and holds {len(data)} bytes'
        )
    pixels = data[: msg.step * msg.height].reshape(msg.height, msg.step)[:, :row]
    pixels = np.ascontiguousarray(pixels)
    if dtype is np.uint16:
        pixels = pixels.view('>u2' if msg.is_bigendian else '<u2').astype(np.uint16)
    if channels > 1:
        pixels = _swapped(pixels.reshape(msg.height, msg.width, channels), blue_first)
    return pixels, msg.encoding


def image_fields(pixels: np.ndarray, encoding: str) -> dict:
    """
    Return the fields of the Image message with these pixels, little-endian and without padding.

    :param encoding: as ``stored_pixels`` gave it.
    """
    channels, dtype, blue_first = _PLAIN[encoding.lower()]
    if pixels.ndim == 3 and channels == 1:
        pixels = pixels[:, :, 1]  # a grey picture that was coloured on its way through a film
    elif channels == 4 and pixels.shape[2] == 3:
        pixels = np.dstack(
            [pixels, np.full(pixels.shape[:2], np.iinfo(pixels.dtype).max, pixels.dtype)]
        )
    if dtype is np.uint16 and pixels.dtype == np.uint8:
        pixels = pixels.astype(np.uint16) * 257
    if channels > 1:
        pixels = _swapped(pixels, blue_first)
    height, width = pixels.shape[:2]
    pixels = np.ascontiguousarray(pixels, np.dtype(dtype).newbyteorder('<'))
    return {
        'height': height,
        'width': width,
        'encoding': encoding,
        'is_bigendian': 0,
        'step': pixels.nbytes // height,
        'data': pixels.tobytes(),
    }


def _swapped(pixels: np.ndarray, swap: bool) -> np.ndarray:
    if not swap:
        return pixels
    return pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]
