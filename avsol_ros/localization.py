"""
What a model says of one window, as plain values that every room shares.

:class:`Localization` is the whole answer of a model. :class:`WindowResult` is what is left of it
after it was published or recorded: the heatmap as pictures show it, and the boxes. Nothing here
needs a model, so nothing here needs PyTorch.
"""

import base64
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from avsol_ros.config import NANOSECONDS

# What stands for the class of a box where the model knows no classes.
UNNAMED = 'sounding object'

# Longest side of the heatmaps kept in the record: a few times that of the model's own maps.
_KEPT_HEATMAP = 64


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
        """The localization map stretched over an image: (height, width) float32, 0 to 1."""
        return upsample(self.heatmap, height, width, self.first_centre)


@dataclass(frozen=True)
class Box:
    """
    One sounding object.

    :param x0: left border in pixels of the camera's image; borders are half-open.
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
class WindowResult:
    """
    What was found in one window.

    :param avc: AVC probability [0, 1]; None of a model that does not say, null in the record.
    :param heatmap: (h, w) float32 [0, 1], of any size, as pictures show it; zeros when none came.
    :param boxes: the strongest first; without a class, '' here and null in the record, of a model
        that knows none.
    :param class_scores: score [0, 1] of each class name.
    :param image_size: height and width of the frames the boxes lie in, pixels.
    """

    start_ns: int
    end_ns: int
    avc: float | None
    heatmap: np.ndarray
    boxes: tuple[Box, ...] = ()
    class_scores: dict[str, float] = field(default_factory=dict)
    image_size: tuple[int, int] = (0, 0)

    @property
    def centre_ns(self) -> int:
        return (self.start_ns + self.end_ns) // 2

    @property
    def peak(self) -> tuple[float, float]:
        """X and y, in pixels of the image, of the middle of the pixel with the most heat."""
        heat = np.asarray(self.heatmap, np.float32)
        # 8-bit maps have several pixels at the top: of these, the one amid the most heat.
        around = cv2.GaussianBlur(heat, (0, 0), max(1.0, 0.04 * max(heat.shape)))
        best = np.where(heat == heat.max(), around, -np.inf)
        row, column = np.unravel_index(int(best.argmax()), heat.shape)
        height, width = self.image_size
        return ((column + 0.5) / heat.shape[1] * width, (row + 0.5) / heat.shape[0] * height)

    def as_dict(self, origin_ns: int) -> dict:
        """Return plain values for JSON; ``start`` and ``end`` are seconds of the film."""
        return {
            'start': (self.start_ns - origin_ns) / NANOSECONDS,
            'end': (self.end_ns - origin_ns) / NANOSECONDS,
            'start_ns': self.start_ns,
            'end_ns': self.end_ns,
            'avc': None if self.avc is None else round(float(self.avc), 4),
            'class_scores': {k: round(float(v), 4) for k, v in self.class_scores.items()},
            'boxes': [
                {
                    'box': [round(v, 2) for v in (b.x0, b.y0, b.x1, b.y1)],
                    'class': b.class_name or None,
                    'score': round(b.score, 4),
                    'class_score': round(b.class_score, 4),
                }
                for b in self.boxes
            ],
            'peak': [round(v, 2) for v in self.peak],
            'image_size': list(self.image_size),
            'heatmap': _encode_heatmap(self.heatmap),
        }

    @classmethod
    def from_dict(cls, values: dict) -> 'WindowResult':
        """Undo :meth:`as_dict`, but for rounding."""
        png = np.frombuffer(base64.b64decode(values['heatmap']), np.uint8)
        heatmap = cv2.imdecode(png, cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        boxes = tuple(
            Box(*b['box'], b['score'], b['class'] or '', b['class_score']) for b in values['boxes']
        )
        return cls(
            values['start_ns'],
            values['end_ns'],
            values['avc'],
            heatmap,
            boxes,
            values['class_scores'],
            tuple(values['image_size']),
        )


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
    :returns: (height, width) float32 within the range of the map.
    """
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


def _encode_heatmap(heatmap: np.ndarray) -> str:
    levels = np.rint(np.clip(kept_heatmap(heatmap), 0, 1) * 255).astype(np.uint8)
    return base64.b64encode(cv2.imencode('.png', levels)[1]).decode()
