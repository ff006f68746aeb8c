"""What is left of a localization after it was published or recorded."""

import base64
from dataclasses import dataclass, field

import cv2
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.localization.maps import kept_heatmap
from avsol_ros.localization.window_localization import Box


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
        levels = cv2.imdecode(png, cv2.IMREAD_GRAYSCALE)
        if levels is None:
            raise AvsolError('the heatmap of a window is no picture; expected a PNG in base64')
        heatmap = levels.astype(np.float32) / 255
        boxes = tuple(
            Box(x0, y0, x1, y1, b['score'], b['class'] or '', b['class_score'])
            for b in values['boxes']
            for x0, y0, x1, y1 in [b['box']]
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


def _encode_heatmap(heatmap: np.ndarray) -> str:
    levels = np.rint(np.clip(kept_heatmap(heatmap), 0, 1) * 255).astype(np.uint8)
    return base64.b64encode(cv2.imencode('.png', levels)[1].tobytes()).decode()
