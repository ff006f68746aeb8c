"""What a model says of one window; without the model, and so without PyTorch."""

from dataclasses import dataclass

import cv2
import numpy as np


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
