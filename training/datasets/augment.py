"""
Augmentation of pictures: horizontal flip and resized crop (section 5.1); of sound there is none.

A segment is flipped and cropped as a whole, for the fusion of Fig. 3b looks at motion.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

# Shares of the picture that a crop keeps. torchvision's (0.08, 1) is for pictures filled by their
# object; here objects are small and anywhere, and a crop without the one that sounds would be
# taught as AVC = yes.
SCALE = (0.5, 1.0)
RATIO = (3 / 4, 4 / 3)
_TRIES = 10


def augmentation_rng(seed: int, epoch: int, segment: int) -> np.random.Generator:
    """Chance of one segment in one epoch, the same whichever worker draws it."""
    # From 1: [seed, epoch, 0] is the stream of [seed, epoch], by which pairs are drawn.
    return np.random.default_rng([seed, epoch, 1 + segment])


def draw_crop(
    rng: np.random.Generator,
    scale: tuple[float, float] = SCALE,
    ratio: tuple[float, float] = RATIO,
) -> tuple[float, float, float, float]:
    """
    Draw a part of the picture, its area evenly and its ratio evenly on a log scale.

    Shares, not pixels: the whole picture squeezed into a square is what the live system sees, and
    the ratio is how much a crop departs from that.

    :return: left, top, width, height as shares of the picture's sides.
    """
    for _ in range(_TRIES):
        area = rng.uniform(*scale)
        stretch = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        width, height = math.sqrt(area * stretch), math.sqrt(area / stretch)
        if width <= 1 and height <= 1:
            return rng.uniform(0, 1 - width), rng.uniform(0, 1 - height), width, height
    return 0.0, 0.0, 1.0, 1.0


def augment(
    frames: Sequence[np.ndarray],
    size: int,
    rng: np.random.Generator,
    scale: tuple[float, float] = SCALE,
    ratio: tuple[float, float] = RATIO,
) -> np.ndarray:
    """
    Crop and maybe flip the frames of one segment, all alike, and squeeze them into squares.

    :param frames: T images (H, W, 3) uint8, all of one size.
    :param size: side of the squares, pixels.
    :param scale: least and largest share of the picture that is kept.
    :param ratio: least and largest ratio of the kept shares of width and height.
    :return: (T, size, size, 3) uint8.
    """
    flip = rng.random() < 0.5
    left, top, width, height = draw_crop(rng, scale, ratio)
    rows, columns = frames[0].shape[:2]
    x0, x1 = _pixels(left, width, columns)
    y0, y1 = _pixels(top, height, rows)
    # As in avsol_ros.inference.square_frames: areas are averaged, which cannot enlarge.
    shrinks = x1 - x0 >= size and y1 - y0 >= size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    out = np.stack(
        [cv2.resize(frame[y0:y1, x0:x1], (size, size), interpolation=method) for frame in frames]
    )
    return np.ascontiguousarray(out[:, :, ::-1]) if flip else out


def _pixels(start: float, length: float, side: int) -> tuple[int, int]:
    first = min(round(start * side), side - 1)
    return first, max(first + 1, min(round((start + length) * side), side))
