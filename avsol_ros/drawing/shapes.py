"""Rectangles and labelled boxes in pictures."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from avsol_ros.drawing.palette import DARK
from avsol_ros.drawing.text import put_text, text_width
from avsol_ros.localization import Box


def shade(picture: np.ndarray, x0: int, y0: int, x1: int, y1: int, opacity: float) -> None:
    """Darken a part of the picture, so that letters can be read on it."""
    part = picture[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    if part.size:
        dark = np.empty_like(part)
        dark[:] = DARK
        part[:] = cv2.addWeighted(part, 1 - opacity, dark, opacity, 0)


def _corners(picture: np.ndarray, box: Box | Sequence[float]) -> tuple[int, int, int, int]:
    """
    Return the first and the last pixel of a box, inside the picture.

    :param box: a Box, or x0, y0, x1, y1; half-open, in pixels.
    """
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = (box.x0, box.y0, box.x1, box.y1) if isinstance(box, Box) else box
    left, top = min(max(math.floor(x0), 0), width - 1), min(max(math.floor(y0), 0), height - 1)
    return (
        left,
        top,
        max(left, min(math.ceil(x1), width) - 1),
        max(top, min(math.ceil(y1), height) - 1),
    )


def draw_frame(
    picture: np.ndarray, corners: tuple[int, int, int, int], color: tuple, thickness: int
) -> None:
    """
    Draw a rectangle whose line lies inside its corners.

    :param corners: x and y of the first and of the last pixel.
    :param thickness: of the line, in pixels.
    """
    x0, y0, x1, y1 = corners
    t = max(1, min(thickness, (x1 - x0 + 1) // 2, (y1 - y0 + 1) // 2))
    picture[y0 : y0 + t, x0 : x1 + 1] = color
    picture[y1 - t + 1 : y1 + 1, x0 : x1 + 1] = color
    picture[y0 : y1 + 1, x0 : x0 + t] = color
    picture[y0 : y1 + 1, x1 - t + 1 : x1 + 1] = color


def draw_box(
    picture: np.ndarray, box: Box | Sequence[float], color: tuple, thickness: int
) -> None:
    """Draw a box with a dark line inside, so that it is seen on any background."""
    x0, y0, x1, y1 = _corners(picture, box)
    if min(x1 - x0, y1 - y0) > 4 * thickness:
        inner = (x0 + thickness, y0 + thickness, x1 - thickness, y1 - thickness)
        draw_frame(picture, inner, DARK, max(1, thickness // 3))
    draw_frame(picture, (x0, y0, x1, y1), color, thickness)


def draw_label(
    picture: np.ndarray,
    text: str,
    box: Box | Sequence[float],
    color: tuple,
    size: float,
    top: int = 0,
    below: bool = False,
) -> None:
    """
    Write on a coloured tag above a box, or inside it where there is no room above.

    :param box: a Box, or x0, y0, x1, y1, in pixels.
    :param color: RGB, of the tag.
    :param size: height of the capitals, in pixels.
    :param top: first row that the tag may cover.
    :param below: put the tag below the box instead.
    """
    height, width = picture.shape[:2]
    x0, y0, _, y1 = _corners(picture, box)
    tag_height = round(2.0 * size)
    tag_width = min(text_width(text, size) + round(1.2 * size), width)
    x0 = min(x0, width - tag_width)
    if below:
        y = y1 + 1 if y1 + 1 + tag_height <= height else y1 + 1 - tag_height
    else:
        y = y0 - tag_height if y0 - tag_height >= top else max(y0, top)
    y = min(max(y, 0), height - tag_height)
    picture[max(y, 0) : y + tag_height, x0 : x0 + tag_width] = color
    put_text(
        picture,
        text,
        x0 + 0.6 * size,
        y + round(1.5 * size),
        size,
        DARK,
        tag_width - round(1.2 * size),
    )
