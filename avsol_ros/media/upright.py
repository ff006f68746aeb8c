"""Make decoded frames upright, with square pixels, as players show them."""

from fractions import Fraction

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideData


def display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """
    Return how a decoded frame is to be shown: (a, b, c, d).

    A pixel at (x, y) goes to x' = a x + c y, y' = b x + d y, up to scale and position. X counts to
    the right and y downwards.
    """
    data = frame.side_data.get('DISPLAYMATRIX')
    if not isinstance(data, SideData):
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    return a, b, c, d


def turn_upright(image: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """
    Turn and mirror an image.

    :param image: (H, W, 3) uint8.
    :param matrix: from ``display_matrix``. The nearest of the eight that turn by right angles is
        taken.
    """
    a, b, c, d = matrix
    if abs(b) > abs(a):
        image = cv2.transpose(image)
        flip_x, flip_y = c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    if flip_x and flip_y:
        return cv2.flip(image, -1)
    if flip_x:
        return cv2.flip(image, 1)
    if flip_y:
        return cv2.flip(image, 0)
    return image


def square_pixels(image: np.ndarray, aspect: Fraction | None) -> np.ndarray:
    """
    Stretch an image whose pixels are not square.

    :param image: (H, W, 3) uint8.
    :param aspect: width of a pixel divided by its height; None where the file does not say.
    """
    if not aspect or aspect == 1:
        return image
    height, width = image.shape[:2]
    return cv2.resize(image, (max(1, round(width * aspect)), height))
