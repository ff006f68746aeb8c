"""From a localization map to scored, named boxes."""

import cv2
import numpy as np

from avsol_ros.config import BoxConfig
from avsol_ros.localization import Box, Localization

# Boxes are found on a map of this many pixels a side: enough for smooth borders, and the work
# does not grow with the camera.
_WORK = 224


def find_boxes(localization: Localization, config: BoxConfig = BoxConfig()) -> list[Box]:
    """
    Boxes round the connected parts of the map that reach a share of its peak.

    A part counts when its own peak passes ``avc_threshold``, as the highest one must for eq. 7 to
    call the window sounding. Its class is that of its cells, weighted as the attention weighs
    them (eq. 8).

    A model without AVC does not say whether anything sounds, so there is no such gate: every part
    counts, with its peak as a share of the map's as its score. The strongest one has 1.0, and
    ``avc_threshold`` plays no role.

    :returns: strongest first; empty when nothing in view sounds or the map is empty.
    """
    gated = localization.avc is not None
    if gated and localization.avc < config.avc_threshold:
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
        score = (localization.avc if gated else 1.0) * float(heat[part].max()) / peak
        if w * h < config.min_area * _WORK**2 or (gated and score < config.avc_threshold):
            continue
        name, sure = _classify(localization, part) if localization.class_names else ('', score)
        boxes.append(
            Box(
                x / _WORK * width,
                y / _WORK * height,
                (x + w) / _WORK * width,
                (y + h) / _WORK * height,
                score,
                name,
                sure,
            )
        )
    boxes.sort(key=lambda box: -box.score)
    return boxes[: config.max_boxes]


def _classify(localization: Localization, part: np.ndarray) -> tuple[str, float]:
    """Name and probability of the class of a part of the map."""
    inside = _cells_inside(localization, part)
    weights = inside * _attention(localization)
    weights /= weights.sum()
    logits = (localization.class_map * weights).sum((1, 2))
    best = int(logits.argmax())
    return localization.class_names[best], float(1 / (1 + np.exp(-logits[best])))


def _attention(localization: Localization) -> np.ndarray:
    """Weights (h, w) of all cells, more than 0, in proportion to their attention (eq. 8)."""
    heat = localization.heatmap.astype(np.float64)
    if localization.avc is None:
        # The map is the attention, or what the model has in its place. Zeros only lose to others.
        return np.maximum(heat, 1e-6 * heat.max())
    # softmax(s) over cells is proportional to exp(s), and exp(logit(p)) = p / (1 - p).
    p = np.clip(heat, 1e-6, 1 - 1e-6)
    return p / (1 - p)


def _cells_inside(localization: Localization, part: np.ndarray) -> np.ndarray:
    """Which cells of the map have their middle in a part of the stretched map; at least one."""
    first, side = localization.first_centre, len(part)
    middles = [
        (np.arange(n) + 0.5) / n if first is None else first + np.arange(n) / n
        for n in localization.heatmap.shape
    ]
    rows, columns = (np.minimum((m * side).astype(int), side - 1) for m in middles)
    inside = part[np.ix_(rows, columns)].astype(np.float64)
    if not inside.any():  # a part between the middles: take the cell nearest to its own
        y, x = (np.mean(axis) / side for axis in np.nonzero(part))
        inside[np.abs(middles[0] - y).argmin(), np.abs(middles[1] - x).argmin()] = 1
    return inside
