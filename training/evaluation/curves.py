"""The numbers behind the curve of precision over recall in a report."""

from collections.abc import Callable, Mapping

import numpy as np

from avsol_ros.training.evaluation.samples import Truth
from avsol_ros.training.evaluation.scoring import ModelRun
from avsol_ros.training.evaluation.tally import sounding_mask

RECALLS = np.arange(1, 101) / 100
_ROUNDING = 1e-5  # relative error of float32 after a map was resized


def stretch(heat: np.ndarray) -> np.ndarray:
    """
    Normalize a map to 0..1 by its own minimum and maximum, as in figures 4 and 5 of the paper.

    A map that is constant except for rounding errors becomes zeros, because stretching would turn
    the errors into a pattern.

    :param heat: (H, W) float.
    """
    low, high = float(heat.min()), float(heat.max())
    span = high - low
    return (heat - low) / span if span > _ROUNDING * abs(high) else np.zeros_like(heat)


def mean_curve(
    run: ModelRun,
    truths: Mapping[int, Truth],
    scored_size: Callable[[tuple[int, int]], tuple[int, int]] = lambda size: size,
) -> np.ndarray | None:
    """
    Average precision curve over all AVE frames of a run.

    Maps are rounded to 16 bits, which can be sorted fast; a curve needs no more.

    :param scored_size: height and width at which maps over an image are scored.
    :returns: precision at each of ``RECALLS``, (100,) float64; None without AVE frames.
    """
    total, count = np.zeros(len(RECALLS)), 0
    for index, found in run.found.items():
        truth, size = truths[index], scored_size(found.image_size)
        masks = [sounding_mask(frame, truth.size, size) for frame in truth.frames if frame.is_ave]
        masks = np.array([mask for mask in masks if mask.any()])
        if len(masks):
            heat = stretch(found.heatmap_at(*size))
            levels = np.round(heat * 65535).astype(np.uint16)
            total += precision_at_recall(levels, masks, RECALLS).sum(0)
            count += len(masks)
    return total / count if count else None


def precision_at_recall(heat: np.ndarray, masks: np.ndarray, recalls: np.ndarray) -> np.ndarray:
    """
    Precision at the first threshold that reaches each recall, for frames of one map (eq. 1, 2).

    Equal values are one threshold.

    :param heat: (H, W) uint16.
    :param masks: (K, H, W) bool, none of them empty.
    :param recalls: (R,) rising, in (0, 1].
    :returns: (K, R) float64.
    """
    order = np.argsort(heat, axis=None, kind='stable')[::-1]  # radix sort of 16-bit levels
    values = heat.ravel()[order]
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    out = np.empty((len(masks), len(recalls)))
    for row, mask in zip(out, masks):
        hits = mask.ravel()[order].cumsum()[last]
        first = np.searchsorted(hits, np.ceil(recalls * hits[-1] - 1e-9))
        row[:] = hits[first] / (last[first] + 1)
    return out
