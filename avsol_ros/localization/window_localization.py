"""What a model says of one window, and the boxes of what sounds in it."""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from avsol_ros.config import BoxConfig
from avsol_ros.localization.maps import upsample

# What stands for the class of a box where the model knows no classes.
UNNAMED = 'sounding object'

# Boxes are found on a map of this many pixels a side: enough for smooth borders, and the work
# does not grow with the camera.
_WORK = 224


@dataclass(frozen=True)
class Box:
    """
    One sounding object.

    :param x0: left border in pixels of the camera's image; borders are half-open.
    :param y0: upper border.
    :param x1: right border.
    :param y1: lower border.
    :param score: AVC probability of the part: highest value of the localization map inside. Of a
        model without AVC: that value as a share of the map's peak.
    :param class_name: its category; empty of a model without classes.
    :param class_score: how sure of the category, 0 to 1; ``score`` without a category.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    score: float
    class_name: str
    class_score: float

    def scaled(self, factor: float) -> 'Box':
        """Return the same box in an image that is ``factor`` times as large."""
        return replace(
            self,
            x0=self.x0 * factor,
            y0=self.y0 * factor,
            x1=self.x1 * factor,
            y1=self.y1 * factor,
        )


@dataclass(frozen=True, eq=False)
class Localization:
    """
    What the model says of one window.

    Not every model of Table 2 says everything. Those trained on classification alone, CAM and
    Tian et al. have no AVC: they place the sound, but do not say whether anything in view sounds.
    Those trained on AVC alone have no classes.

    :param start_ns: first nanosecond of the window.
    :param end_ns: first nanosecond after it.
    :param stamp_ns: stamp of the window's last frame, to which all results are attached.
    :param heatmap: (h, w) float32, 0 to 1: what localizes (section 5.2), as the model makes it.
        With AVC that is the localization map (eq. 7), each value the probability that its cell
        sounds. Without, values mean something only beside each other: attention sums to 1 over
        all cells (eq. 8), so that its peak may be 0.01; maps of CAM and Tian et al. are stretched
        from 0 to 1 whatever was seen.
    :param avc: AVC probability, 0 to 1: something in view makes the sound (eq. 7); None of a
        model that does not say.
    :param class_names: C categories; none of a model without classes.
    :param class_scores: (C,) float32, 0 to 1, of what the attention selects (eq. 8).
    :param class_map: (C, h, w) float32 class logits of each cell.
    :param image_size: height and width of the camera's frames, pixels.
    :param first_centre: where the middle of what the first cell sees lies, as a share of the
        image's side; None for half a cell.
    """

    start_ns: int
    end_ns: int
    stamp_ns: int
    heatmap: np.ndarray
    avc: float | None
    class_names: tuple[str, ...]
    class_scores: np.ndarray
    class_map: np.ndarray
    image_size: tuple[int, int]
    first_centre: float | None = None

    def heatmap_at(self, height: int, width: int) -> np.ndarray:
        """
        The localization map stretched over an image: (height, width) float32, 0 to 1.

        :raises AvsolError: for sizes that no image has.
        """
        return upsample(self.heatmap, height, width, self.first_centre)

    @cached_property
    def boxes(self) -> tuple[Box, ...]:
        """Sounding objects, strongest first: :func:`find_boxes` with its default settings."""
        return tuple(find_boxes(self))


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
    avc = localization.avc
    if avc is not None and avc < config.avc_threshold:
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
        score = (1.0 if avc is None else avc) * float(heat[part].max()) / peak
        quiet = avc is not None and score < config.avc_threshold
        if w * h < config.min_area * _WORK**2 or quiet:
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
