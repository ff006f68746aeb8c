"""From a localization map to scored, named boxes."""

from dataclasses import dataclass

import cv2
import numpy as np

from avsol_ros.config import BoxConfig
from avsol_ros.localizer import Localization


@dataclass(frozen=True)
class Box:
    """
    One sounding object.

    :param x0: left border in pixels of the camera's image; borders are half-open.
    :param score: AVC probability of the part: highest value of the localization map inside.
    :param class_name: its category.
    :param class_score: how sure of the category, 0 to 1.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    score: float
    class_name: str
    class_score: float


# Boxes are found on a map of this many pixels a side: enough for smooth borders, and the work
# does not grow with the camera.
_WORK = 224


def find_boxes(localization: Localization, config: BoxConfig = BoxConfig()) -> list[Box]:
    """
    Boxes round the connected parts of the map that reach a share of its peak.

    A part counts when its own peak passes ``avc_threshold``, as the highest one must for eq. 7 to
    call the window sounding. Its class is that of its cells, weighted as the attention weighs
    them (eq. 8).

    :returns: strongest first; empty when nothing in view sounds.
    """
    if localization.avc < config.avc_threshold:
        return []
    heat = localization.heatmap_at(_WORK, _WORK)
    peak = float(heat.max())
    if peak <= 0:
        return []
    mask = (heat >= config.box_threshold * peak).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    height, width = localization.image_size
    boxes = []
    for label in range(1, count):
        x, y, w, h = (int(v) for v in stats[label, :4])
        part = labels == label
        # Relative to the peak, which stretching lowers: the strongest part has the AVC
        # probability itself, so eq. 7 and the boxes never disagree.
        score = localization.avc * float(heat[part].max()) / peak
        if w * h < config.min_area * _WORK ** 2 or score < config.avc_threshold:
            continue
        name, sure = _classify(localization, part)
        boxes.append(Box(x / _WORK * width, y / _WORK * height, (x + w) / _WORK * width,
                         (y + h) / _WORK * height, score, name, sure))
    boxes.sort(key=lambda box: -box.score)
    return boxes[:config.max_boxes]


def _classify(localization: Localization, part: np.ndarray) -> tuple[str, float]:
    """Name and probability of the class of a part of the map."""
    inside = _cells_inside(localization, part)
    # softmax(s) over cells is proportional to exp(s), and exp(logit(p)) = p / (1 - p).
    p = np.clip(localization.heatmap.astype(np.float64), 1e-6, 1 - 1e-6)
    weights = inside * p / (1 - p)
    weights /= weights.sum()
    logits = (localization.class_map * weights).sum((1, 2))
    best = int(logits.argmax())
    return localization.class_names[best], float(1 / (1 + np.exp(-logits[best])))


def _cells_inside(localization: Localization, part: np.ndarray) -> np.ndarray:
    """Which cells of the map have their middle in a part of the stretched map; at least one."""
    first, side = localization.first_centre, len(part)
    middles = [(np.arange(n) + 0.5) / n if first is None else first + np.arange(n) / n
               for n in localization.heatmap.shape]
    rows, columns = (np.minimum((m * side).astype(int), side - 1) for m in middles)
    inside = part[np.ix_(rows, columns)].astype(np.float64)
    if not inside.any():  # a part between the middles: take the cell nearest to its own
        y, x = (np.mean(axis) / side for axis in np.nonzero(part))
        inside[np.abs(middles[0] - y).argmin(), np.abs(middles[1] - x).argmin()] = 1
    return inside
