"""Metrics of other papers (``peers``) as torchmetrics; states are sums where that is enough."""

from collections.abc import Sequence

import numpy as np
import torch
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from avsol_ros.errors import AvsolError
from avsol_ros.training.metrics.accumulators import add_sums
from avsol_ros.training.metrics.peers import (
    STEPS,
    area_under,
    box_size_threshold,
    ciou,
    detection_scores,
    harmonic_mean,
    image_area,
    median_threshold,
    sample_confidence,
)


class ConsensusIoU(Metric):
    """
    cIoU at 0.5, its AUC and its mean, over samples.

    :param threshold: where a map is cut: ``median``, ``adaptive`` (as many pixels as the boxes
        have) or one number for all maps.
    """

    is_differentiable, higher_is_better, full_state_update = False, True, False

    def __init__(self, threshold: str | float = 'median', **arguments):
        super().__init__(**arguments)
        if isinstance(threshold, str) and threshold not in ('median', 'adaptive'):
            raise AvsolError(
                f'the threshold is {threshold!r}; expected median, adaptive or a number'
            )
        self.threshold = threshold
        add_sums(self, reached=(len(STEPS),), total=(), samples=())

    def update(self, heatmap, truth) -> None:
        """
        Add a sample.

        :param heatmap: (H, W) real and finite.
        :param truth: (H, W) mask, or the share of annotators that agree.
        """
        if self.threshold == 'median':
            threshold = median_threshold(heatmap)
        elif self.threshold == 'adaptive':
            threshold = box_size_threshold(heatmap, truth)
        else:
            threshold = self.threshold
        value = ciou(heatmap, truth, threshold)
        self.reached += torch.from_numpy(value >= STEPS).to(self.reached.device)
        self.total += value
        self.samples += 1

    def compute(self) -> dict[str, torch.Tensor]:
        share = self.reached / self.samples
        return {
            'ciou@0.5': share[10],
            'auc': torch.tensor(area_under(share.cpu().numpy())),
            'mean': self.total / self.samples,
        }


class ExtendedScores(Metric):
    """
    AP, max-F1 and LocAcc on a set with pairs that do not sound (SLAVC).

    The order of all confidences counts, so they are kept: two numbers and a flag per sample.
    """

    is_differentiable, higher_is_better, full_state_update = False, True, False

    def __init__(self, ciou_threshold: float = 0.5, published_grid: bool = False, **arguments):
        super().__init__(**arguments)
        self.ciou_threshold, self.published_grid = ciou_threshold, published_grid
        # Flat and of the metric's own type: torchmetrics gathers such an empty tensor from a
        # process that has no sample.
        self.add_state('samples', [], dist_reduce_fx='cat')
        self.set_dtype(torch.float64)

    def update(self, heatmap, truth=None) -> None:
        """
        Add a sample.

        :param heatmap: (H, W), not normalized by itself.
        :param truth: (H, W) mask; None or empty where nothing in view sounds.
        """
        sounding = truth is not None and bool(np.any(np.asarray(truth)))
        value = ciou(heatmap, truth, median_threshold(heatmap)) if sounding else 0.0
        self.samples.append(
            torch.tensor(
                [sample_confidence(heatmap), value, sounding], dtype=self.dtype, device=self.device
            )
        )

    def compute(self) -> dict[str, torch.Tensor]:
        rows = dim_zero_cat(self.samples) if len(self.samples) else torch.empty(0)
        confidences, values, sounding = rows.reshape(-1, 3).cpu().numpy().T
        scores = detection_scores(
            confidences, values, sounding != 0, self.ciou_threshold, self.published_grid
        )
        return {
            'ap': torch.tensor(scores.average_precision),
            'max_f1': torch.tensor(scores.max_f1),
            'loc_acc': torch.tensor(scores.loc_acc),
        }


class NegativeAudioScores(Metric):
    """
    How quiet maps stay for audio that has nothing to do with the picture (Juanola et al.).

    ``compute`` returns, per kind, ``pia/KIND`` and ``auc_n/KIND``; where positive samples were
    added too, ``ciou``, ``auc`` and ``f/KIND``, the harmonic mean of cIoU and 1 - pIA.

    :param threshold: one for all samples, see ``universal_threshold``.
    :param kinds: of negative audio.
    """

    is_differentiable, full_state_update = False, False

    def __init__(
        self,
        threshold: float,
        kinds: Sequence[str] = ('silence', 'noise', 'offscreen'),
        **arguments,
    ):
        super().__init__(**arguments)
        self.threshold, self.kinds = threshold, tuple(kinds)
        count = len(self.kinds)
        add_sums(
            self,
            areas=(count,),
            below=(count, len(STEPS)),
            samples=(count,),
            total=(),
            reached=(len(STEPS),),
            positives=(),
        )

    def update(self, heatmap, kind: str | None = None, truth=None) -> None:
        """
        Add a sample.

        :param kind: of negative audio; None for a positive sample.
        :param truth: (H, W) mask of a positive sample.
        """
        if kind is None:
            value = ciou(heatmap, truth, self.threshold)
            self.total += value
            self.reached += torch.from_numpy(value >= STEPS).to(self.reached.device)
            self.positives += 1
            return
        if kind not in self.kinds:
            raise AvsolError(
                f'the kind of negative audio is {kind!r}; expected one of {", ".join(self.kinds)}'
            )
        area, row = image_area(heatmap, self.threshold), self.kinds.index(kind)
        self.areas[row] += area
        self.below[row] += torch.from_numpy(area <= STEPS).to(self.below.device)
        self.samples[row] += 1

    def compute(self) -> dict[str, torch.Tensor]:
        areas = self.areas / self.samples
        curves = (self.below / self.samples[:, None]).cpu().numpy()
        scores = {}
        for kind, area, curve in zip(self.kinds, areas, curves):
            scores[f'pia/{kind}'] = area
            scores[f'auc_n/{kind}'] = torch.tensor(area_under(curve))
        if self.positives:
            scores['ciou'] = self.total / self.positives
            scores['auc'] = torch.tensor(area_under((self.reached / self.positives).cpu().numpy()))
            for kind, area in zip(self.kinds, areas):
                scores[f'f/{kind}'] = torch.tensor(
                    harmonic_mean(float(scores['ciou']), 1 - float(area))
                )
        return scores
