"""Localization maps: stretched over images, as pictures show them, and as recordings keep them."""

import cv2
import numpy as np

from avsol_ros.checks import positive_integer
from avsol_ros.errors import AvsolError

#: Of a stretched map: 1 GiB of float32.
MOST_PIXELS = 1 << 28

# Longest side of the heatmaps kept in a recording: a few times that of the model's own maps.
_KEPT_HEATMAP = 64


def upsample(
    heatmap: np.ndarray, height: int, width: int, first_centre: float | None = None
) -> np.ndarray:
    """
    Stretch a map bilinearly, as live heatmaps and metrics both take it.

    Cells lie evenly, but strided convolutions that pad both sides see from the corner on: the
    first cell of the compact encoder looks at pixel 0 of 112, not at the middle of pixels 0 to
    7. Without regard to that, heat lies nearly half a cell too far right and down.

    :param heatmap: (h, w) float32.
    :param first_centre: middle of what the first cell sees, as a share of the side; half a cell
        when None.
    :param height: rows of the image, 1 or more.
    :param width: columns of the image, 1 or more.
    :returns: (height, width) float32 within the range of the map.
    :raises AvsolError: for another height or width, and for more than ``MOST_PIXELS``.
    """
    height, width = positive_integer(height, 'height'), positive_integer(width, 'width')
    if height * width > MOST_PIXELS:
        raise AvsolError(
            f'the size of the heatmap is {width} x {height}; expected at most {MOST_PIXELS} pixels'
        )
    heatmap = np.asarray(heatmap, np.float32)
    rows, columns = heatmap.shape
    if first_centre is None:
        return cv2.resize(heatmap, (width, height), interpolation=cv2.INTER_LINEAR)
    # Pixel x has its middle at (x + 0.5) / width, and cell i at first_centre + i / columns.
    x = ((np.arange(width) + 0.5) / width - first_centre) * columns
    y = ((np.arange(height) + 0.5) / height - first_centre) * rows
    return _interpolate(_interpolate(heatmap, y).T, x).T


def _interpolate(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Rows of (n, m) values at fractional positions, clipped to the ends."""
    at = np.clip(at, 0, len(values) - 1)
    below = np.minimum(at.astype(int), max(0, len(values) - 2))
    share = (at - below).astype(np.float32)[:, None]
    above = np.minimum(below + 1, len(values) - 1)
    return values[below] * (1 - share) + values[above] * share


def visible_heat(heatmap: np.ndarray, avc: float | None) -> np.ndarray:
    """
    Heat as pictures show it: in the overlay, and in the mono8 heatmap that others subscribe to.

    With AVC the heat is a probability and stays as it is: a dark picture says that nothing in
    view sounds. Without, values mean something only beside each other, and attention that sums
    to 1 would be black in 8 bits: there the peak is shown as 1, and everything as a share of it.
    That is the scale on which boxes are cut and scored too. Doing it again changes nothing, so
    recorded heat may pass through once more.

    :param heatmap: (h, w) float32 [0, 1], of any size.
    :param avc: AVC probability; None of a model that does not say.
    :return: (h, w) float32 [0, 1].
    """
    peak = float(np.max(heatmap)) if avc is None else 0.0
    return heatmap / np.float32(peak) if peak > 0 else heatmap


def kept_heatmap(heatmap: np.ndarray) -> np.ndarray:
    """Heatmap (h, w), of any type, no larger than a recording keeps it."""
    height, width = heatmap.shape
    scale = _KEPT_HEATMAP / max(height, width)
    if scale >= 1:
        return heatmap
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(heatmap, size, interpolation=cv2.INTER_AREA)
