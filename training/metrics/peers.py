"""
Metrics that other papers report, to compare numbers with theirs.

- cIoU and its AUC: Senocak et al., CVPR 2018, as evaluated by Chen et al., "Localizing Visual
  Sounds the Hard Way", CVPR 2021, and by EZ-VSL, SSL-TIE and SLAVC in their test code: a map is
  cut at its median.
- Adaptive cIoU: Senocak et al., "Aligning Sight and Sound", arXiv 2407.13676: a map is cut so
  that as many pixels stay as the boxes have.
- AP, max-F1 and LocAcc with pairs that do not sound: Mo and Morgado, "A Closer Look at
  Weakly-Supervised Audio-Visual Source Localization", NeurIPS 2022 (SLAVC).
- pIA and its AUC on silence, noise and sounds from elsewhere, at one threshold for all: Juanola
  et al., "A Critical Assessment of Visual Sound Source Localization Models Including Negative
  Audio", arXiv 2410.01020, and their code vssl_eval.

All shares are 0 to 1; the papers print percent.
"""

from dataclasses import dataclass

import numpy as np

from avsol_ros.errors import AvsolError
from avsol_ros.training.metrics.heatmaps import as_heat, as_masks

STEPS = 0.05 * np.arange(21)  # thresholds of both AUCs
CONFIDENT_SHARE = 0.25  # of the pixels, the hottest, tell how sure a map is (SLAVC)


def median_threshold(heatmap) -> float:
    """
    Return the median of the pixels; for an even number of pixels the upper one.

    The published code differs in what it does with pixels of just this value: Chen et al. leave
    them out, EZ-VSL, SSL-TIE and SLAVC keep them, as ``ciou`` does.
    """
    heat = as_heat(heatmap).ravel()
    return float(np.partition(heat, heat.size // 2)[heat.size // 2])


def box_size_threshold(heatmap, mask) -> float:
    """
    Return the value that as many pixels reach as the mask has (adaptive cIoU).

    An empty mask counts as half of the pixels, as in the published code. That code keeps only
    what is above this value, one pixel less than the mask has; ``ciou`` keeps the value itself.
    """
    heat = as_heat(heatmap)
    pixels = np.count_nonzero(as_masks(mask, heat.shape)) or heat.size // 2
    place = heat.size - min(max(pixels, 1), heat.size)
    return float(np.partition(heat.ravel(), place)[place])


def ciou(heatmap, truth, threshold: float) -> float:
    """
    Consensus intersection over union of the pixels that reach a threshold.

    :param heatmap: (H, W) real and finite.
    :param truth: (H, W), how many of the annotators agree, 0 to 1; a mask for VGG-SS.
    :returns: hit truth over all truth plus what is chosen without any; 0 where both are empty.
    """
    heat = as_heat(heatmap)
    weight = as_heat(truth)
    if weight.shape != heat.shape:
        raise AvsolError(
            f'the heatmap is {heat.shape} and the truth {weight.shape}; expected equal shapes'
        )
    chosen = heat >= threshold
    union = weight.sum(dtype=np.float64) + np.count_nonzero(chosen & (weight == 0))
    return float(weight[chosen].sum(dtype=np.float64) / union) if union else 0.0


def success_auc(cious) -> float:
    """Area under the share of samples that reach a cIoU, over 0, 0.05 … 1; NaN without any."""
    cious = np.asarray(cious, np.float64)
    return area_under((cious[:, None] >= STEPS).mean(0)) if len(cious) else float('nan')


def area_under(curve) -> float:
    """Trapezoidal area under (21,) values at ``STEPS``."""
    return float(
        np.trapezoid(curve, STEPS) if hasattr(np, 'trapezoid') else np.trapz(curve, STEPS)
    )


def sample_confidence(heatmap, share: float = CONFIDENT_SHARE) -> float:
    """
    How sure a map is that something sounds: the mean of its hottest quarter (SLAVC).

    It compares samples with one another, so maps must not be normalized one by one.
    """
    heat = as_heat(heatmap).ravel()
    count = max(1, int(np.ceil(heat.size * share)))
    return float(np.partition(heat, heat.size - count)[-count:].mean(dtype=np.float64))


@dataclass(frozen=True)
class DetectionScores:
    """
    Scores on a set where of some pairs of picture and sound nothing in view sounds.

    :param average_precision: area under the highest precision that a recall or more allows.
    :param max_f1: the best over all confidences.
    :param loc_acc: share of the sounding samples whose cIoU reaches the threshold, however sure.
    """

    average_precision: float
    max_f1: float
    loc_acc: float


def detection_scores(
    confidences, cious, sounding, ciou_threshold: float = 0.5, published_grid: bool = False
) -> DetectionScores:
    """
    AP, max-F1 and LocAcc as SLAVC counts them.

    At a confidence c, a sounding sample is a true positive if it is as sure and in the right
    place, a false positive if it is as sure and in the wrong place, else a false negative; a
    sample that does not sound is a false positive if it is as sure.

    :param confidences: (N,) of any range, see ``sample_confidence``.
    :param cious: (N,) 0 to 1; of samples that do not sound it does not matter.
    :param sounding: (N,) bool.
    :param published_grid: thresholds as in the published code, which takes about 200 of them for
        AP and 10 for F1 and leaves out the step from recall 0 to the first; for comparing with
        printed numbers. Otherwise every confidence is a threshold.
    """
    confidences, cious = np.asarray(confidences, float), np.asarray(cious, float)
    sounding = np.asarray(sounding, bool)
    if not confidences.shape == cious.shape == sounding.shape == (len(confidences),):
        raise AvsolError(
            f'there are {confidences.shape} confidences, {cious.shape} cIoUs and '
            f'{sounding.shape} labels; expected one of each per sample'
        )
    if np.isnan(confidences).any():
        raise AvsolError('a confidence is NaN; expected a number; check what the model puts out')
    if not len(confidences):
        return DetectionScores(*[float('nan')] * 3)
    right = sounding & (cious >= ciou_threshold)
    ascending = np.sort(confidences)
    if published_grid:
        grid = ascending[:-1][:: -max(1, len(ascending) // 200)]
        few = ascending[:: max(1, len(ascending) // 10)]
    else:
        grid = few = np.unique(ascending)[::-1]
    precision, recall = _precision_recall(confidences, right, sounding, grid)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    area = best[:-1] @ np.diff(recall) if published_grid else best @ np.diff(recall, prepend=0)
    precision, recall = _precision_recall(confidences, right, sounding, few)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros(len(total)), where=total > 0)
    return DetectionScores(
        float(area),
        float(f1.max()),
        float(right.sum() / sounding.sum()) if sounding.any() else float('nan'),
    )


def _precision_recall(confidences, right, sounding, thresholds) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall at each threshold; 1 where the divisor is 0."""

    def sure(which):
        values = np.sort(confidences[which])
        return len(values) - np.searchsorted(values, thresholds)

    true, wrong, missed = sure(right), sure(~right), sounding.sum() - sure(sounding)
    return tuple(
        np.divide(true, count, out=np.ones(len(count)), where=count > 0)
        for count in (true + wrong, true + missed)
    )


def image_area(heatmap, threshold: float) -> float:
    """Return pIA: the share of the image where a map is above a threshold."""
    heat = as_heat(heatmap)
    return np.count_nonzero(heat > threshold) / heat.size


def universal_threshold(peaks) -> float:
    """
    One threshold for every sample: the third quartile of the peaks of maps of negative audio.

    vssl_eval lists such thresholds per model under names that end in ``maxq3``; the set that
    they were taken from is not part of it. Take the peaks from data that is not scored.
    """
    peaks = np.asarray(peaks, np.float64)
    if not peaks.size or not np.isfinite(peaks).all():
        raise AvsolError(
            'the peaks are none at all or not finite; expected the highest value of '
            'each map of negative audio'
        )
    return float(np.quantile(peaks, 0.75))


def quiet_auc(areas) -> float:
    """Area under the share of samples whose pIA stays at or below 0, 0.05 … 1 (AUC_N)."""
    areas = np.asarray(areas, np.float64)
    return area_under((areas[:, None] <= STEPS).mean(0)) if len(areas) else float('nan')


def harmonic_mean(positive: float, negative: float) -> float:
    """
    Weigh what is found against what is kept quiet.

    :param positive: mean cIoU at the universal threshold, or its AUC.
    :param negative: 1 - mean pIA, or its AUC.
    """
    total = positive + negative
    return 2 * positive * negative / total if total else 0.0
