"""Encode and decode JPEG and PNG, and tell which of them some bytes are."""

import cv2
import numpy as np

from avsol_ros.errors import AvsolError

_MAGIC = {b'\xff\xd8': 'jpeg', b'\x89P': 'png'}


def encoded_kind(data: bytes) -> str | None:
    """Tell by the first bytes whether this is a 'jpeg' or a 'png'; None of anything else."""
    return _MAGIC.get(bytes(data[:2]))


def encode_png(pixels: np.ndarray) -> bytes:
    """
    Encode pixels without loss.

    :param pixels: (H, W) or (H, W, 3 or 4), uint8 or uint16, colours as RGB or RGBA.
    """
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(
            pixels, {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[pixels.shape[2]]
        )
    return _encoded('.png', pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def decode_png(data: bytes) -> np.ndarray:
    """
    Return the pixels that ``encode_png`` was given.

    :raises AvsolError: for bytes that are no whole PNG.
    """
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise AvsolError('a picture of the film is no whole PNG; copy the film again')
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(
            pixels, {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}[pixels.shape[2]]
        )
    return pixels


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """
    Encode a picture, with loss.

    :param image: (H, W, 3) uint8 RGB.
    :param quality: 1 to 100.
    """
    return _encoded(
        '.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )


def _encoded(suffix: str, pixels: np.ndarray, options: list) -> bytes:
    ok, data = cv2.imencode(suffix, pixels, options)
    if not ok:
        raise AvsolError(f'a picture of shape {pixels.shape} cannot be encoded as {suffix[1:]}')
    return data.tobytes()
