"""
The paper's evaluation metrics (section 3.3): HmBoxAUC, PiBR and PNSR.

Pure functions over frames. A heatmap is taken at image size; a ground truth is a mask of the
boxes of all sounding objects. What is scored is what a robot publishes.
"""

from dataclasses import dataclass

import numpy as np

from avsol_ros.errors import AvsolError


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
        mask[max(0, rows[0]):max(0, rows[1]), max(0, columns[0]):max(0, columns[1])] = True
    return mask


def hmbox_auc(heatmap: np.ndarray, mask: np.ndarray) -> float:
    """
    HmBoxAUC of one frame: average precision of the heatmap's pixels (eq. 1, 2).

    Pixels of equal heat are one threshold, so the order of ties does not matter. An empty mask
    has no recall and gives NaN.

    :param heatmap: (H, W) real, any range.
    :param mask: (H, W) bool, True in the boxes of sounding objects.
    """
    heat, truth = np.ravel(heatmap), np.ravel(mask).astype(bool)
    if heat.shape != truth.shape:
        raise AvsolError(f'the heatmap is {np.shape(heatmap)} and the mask {np.shape(mask)}; '
                         'expected equal shapes')
    positives = int(truth.sum())
    if not positives:
        return float('nan')
    order = np.argsort(-heat, kind='stable')
    heat, truth = heat[order], truth[order]
    last = np.flatnonzero(np.append(heat[1:] != heat[:-1], True))
    hits = np.cumsum(truth)[last]
    return float((np.diff(hits, prepend=0) * (hits / (last + 1))).sum() / positives)


def peak_in_box(heatmap: np.ndarray, mask: np.ndarray) -> bool:
    """
    Whether the peak lies in a box (PiBR counts these).

    Of several equal peaks the first in row order is taken.
    """
    return bool(np.ravel(mask)[np.argmax(heatmap)])


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
        if mask is None or not mask.any():
            noise.append(float(np.max(heatmap)))
            continue
        areas.append(hmbox_auc(heatmap, mask))
        peaks.append(peak_in_box(heatmap, mask))
        signal.append(float(heatmap[mask].max()))
    mean = [float(np.mean(v)) if v else float('nan') for v in (areas, peaks, signal, noise)]
    ratio = mean[3] / mean[2] if signal and mean[2] > 0 else float('nan')
    return Scores(mean[0], mean[1], ratio, len(areas), len(noise))
