"""
The paper's evaluation metrics (section 3.3): HmBoxAUC, PiBR and PNSR.

Pure functions of one heatmap, at image size, and the masks of the frames that share it: a
window's heatmap is one, its frames are ten a second. A mask is the union of the boxes of all
sounding objects. What is scored is what a robot publishes.

What happens at the edges:

- Equal heat is one threshold, so the order of ties does not matter; a constant map has the
  share of the mask as HmBoxAUC.
- An empty mask has no recall: HmBoxAUC and signal are NaN and the peak is not in a box. Such a
  frame is no AVE frame; accumulators count it as noise. A full mask has the HmBoxAUC 1.
- Of equal peaks the first in row order is the peak, as for what a robot publishes. A map that is
  the same everywhere has none, so nothing is hit: it would be the pixel in the corner.
- Negative values are values like others, but the ratio PNSR means nothing then (NaN).
- NaN and infinite values are refused.
"""

from dataclasses import dataclass

import numpy as np

from avsol_ros.training.metrics.heatmaps import as_heat, as_masks
from avsol_ros.training.metrics.precision import average_precisions


def box_mask(boxes, height: int, width: int) -> np.ndarray:
    """
    Pixels whose centre lies in one of the boxes.

    :param boxes: x0, y0, x1, y1 in pixels, half-open.
    :returns: (height, width) bool.
    """
    mask = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in boxes:
        columns = np.ceil(np.array([x0, x1]) - 0.5).astype(int)
        rows = np.ceil(np.array([y0, y1]) - 0.5).astype(int)
        mask[max(0, rows[0]) : max(0, rows[1]), max(0, columns[0]) : max(0, columns[1])] = True
    return mask


@dataclass(frozen=True, eq=False)
class FrameScores:
    """
    What K frames that share a heatmap contribute.

    :param areas: (K,) float64, 0 to 1: HmBoxAUC; NaN where the mask is empty.
    :param hits: (K,) bool: the peak lies in the mask.
    :param signals: (K,) float64: the highest value in the mask (eq. 3, below); NaN where it is
        empty.
    :param peak: the highest value of the map (eq. 3, above).
    """

    areas: np.ndarray
    hits: np.ndarray
    signals: np.ndarray
    peak: float


def frame_scores(heatmap, masks) -> FrameScores:
    """
    Everything that the paper's metrics need of frames that share a heatmap.

    :param heatmap: (H, W) real and finite, array or tensor; see ``as_heat``.
    :param masks: (K, H, W) or (H, W) bool, True in the boxes of sounding objects.
    """
    heat = as_heat(heatmap)
    masks = as_masks(masks, heat.shape).reshape(-1, heat.size)
    heat = heat.ravel()
    hits = _hits(heat, masks)
    signals = [float(heat[mask].max()) if mask.any() else float('nan') for mask in masks]
    return FrameScores(average_precisions(heat, masks), hits, np.array(signals), float(heat.max()))


def hmbox_auc(heatmap, masks) -> float | np.ndarray:
    """
    HmBoxAUC: average precision of the heatmap's pixels (eq. 1, 2), exact.

    :param heatmap: (H, W) real and finite, array or tensor, any range.
    :param masks: (H, W) of one frame, or (K, H, W) of all frames that share the heatmap: the map
        is sorted only once for them.
    :returns: 0 to 1, float or (K,) float64; NaN where a mask is empty.
    """
    heat = as_heat(heatmap)
    stack = as_masks(masks, heat.shape)
    areas = average_precisions(heat.ravel(), stack.reshape(len(stack), -1))
    return areas if np.ndim(masks) == 3 else float(areas[0])


def peak_in_box(heatmap, masks) -> bool | np.ndarray:
    """
    Whether the peak lies in a box (PiBR is the share of AVE frames where it does).

    :param heatmap: (H, W) real and finite, array or tensor.
    :param masks: (H, W) of one frame, or (K, H, W).
    :returns: bool or (K,) bool.
    """
    heat = as_heat(heatmap)
    stack = as_masks(masks, heat.shape)
    hits = _hits(heat.ravel(), stack.reshape(len(stack), -1))
    return hits if np.ndim(masks) == 3 else bool(hits[0])


def _hits(heat: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Whether the peak of (P,) lies in each of (K, P) masks: (K,) bool."""
    top = int(heat.argmax())
    return masks[:, top] if heat[top] > heat.min() else np.zeros(len(masks), bool)


def noise_to_signal(noise: float, signal: float) -> float:
    """
    PNSR (eq. 3), the closer to 0 the better.

    :param noise: mean peak of non-AVE frames.
    :param signal: mean over AVE frames of the highest value in a box.
    :returns: their ratio; NaN where one is missing, the signal is not positive or the noise is
        negative, for then it does not compare levels.
    """
    return noise / signal if signal > 0 and noise >= 0 else float('nan')


@dataclass(frozen=True)
class Scores:
    """
    Means over frames.

    :param hmbox_auc: 0 to 1, over AVE frames.
    :param pibr: 0 to 1, over AVE frames.
    :param pnsr: mean peak of non-AVE frames over mean peak in the boxes of AVE frames (eq. 3).
    """

    hmbox_auc: float
    pibr: float
    pnsr: float
    ave_frames: int
    other_frames: int


def score_frames(frames) -> Scores:
    """
    Score frames.

    :param frames: pairs of heatmap (H, W) and mask (H, W), the mask empty or None in non-AVE
        frames.
    """
    areas, peaks, signal, noise = [], [], [], []
    for heatmap, mask in frames:
        if mask is None or not np.any(mask):
            noise.append(float(as_heat(heatmap).max()))
            continue
        scores = frame_scores(heatmap, mask)
        areas.append(scores.areas[0])
        peaks.append(scores.hits[0])
        signal.append(scores.signals[0])
    area, hit, level, background = (
        float(np.mean(values)) if values else float('nan')
        for values in (areas, peaks, signal, noise)
    )
    return Scores(area, hit, noise_to_signal(background, level), len(areas), len(noise))
