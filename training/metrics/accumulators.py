"""
The paper's metrics (section 3.3) as torchmetrics: update, sync between processes, compute.

All states are float64 sums. So two processes with half of the frames each get the same result as
one process with all frames.
"""

from collections.abc import Iterable, Sequence

import torch
from torchmetrics import Metric

from avsol_ros.errors import AvsolError
from avsol_ros.training.annotations.model import AVE_KINDS, NON_AVE_KINDS, FrameTruth
from avsol_ros.training.metrics.heatmaps import as_heat
from avsol_ros.training.metrics.localization import (
    box_mask,
    frame_scores,
    hmbox_auc,
    noise_to_signal,
    peak_in_box,
)


def add_sums(metric: Metric, **shapes: Sequence[int]) -> None:
    """Add float64 states to a metric that are summed over processes."""
    for name, shape in shapes.items():
        metric.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx='sum')


class HmBoxAUC(Metric):
    """
    Mean HmBoxAUC over AVE frames (eq. 1, 2), 0 to 1; NaN without any.

    Frames with an empty mask are no AVE frames and are not counted.
    """

    is_differentiable, higher_is_better, full_state_update = False, True, False

    def __init__(self, **arguments):
        super().__init__(**arguments)
        add_sums(self, total=(), frames=())

    def update(self, heatmap, masks) -> None:
        """
        Add frames that share a heatmap.

        :param heatmap: (H, W) real and finite.
        :param masks: (H, W) or (K, H, W) bool.
        """
        areas = torch.as_tensor(hmbox_auc(heatmap, masks), dtype=torch.float64)
        self.total += areas.nansum()
        self.frames += (~areas.isnan()).sum()

    def compute(self) -> torch.Tensor:
        return self.total / self.frames


class PeakInBoxRatio(Metric):
    """
    PiBR: share of AVE frames whose peak lies in a box of a sounding object; NaN without any.

    Frames with an empty mask are no AVE frames and are not counted.
    """

    is_differentiable, higher_is_better, full_state_update = False, True, False

    def __init__(self, **arguments):
        super().__init__(**arguments)
        add_sums(self, hits=(), frames=())

    def update(self, heatmap, masks) -> None:
        """Add frames that share a heatmap, as ``HmBoxAUC`` takes them."""
        masks = torch.as_tensor(masks)
        self.hits += int(torch.as_tensor(peak_in_box(heatmap, masks)).sum())
        self.frames += int(masks.flatten(-2).any(-1).sum())

    def compute(self) -> torch.Tensor:
        return self.hits / self.frames


class PeakNoiseToSignalRatio(Metric):
    """
    PNSR (eq. 3), the closer to 0 the better; frames with an empty mask are the non-AVE frames.

    NaN without frames of both kinds or where the levels are not positive.
    """

    is_differentiable, higher_is_better, full_state_update = False, False, False

    def __init__(self, **arguments):
        super().__init__(**arguments)
        add_sums(self, signal=(), signal_frames=(), noise=(), noise_frames=())

    def update(self, heatmap, masks) -> None:
        """Add frames that share a heatmap, as ``HmBoxAUC`` takes them."""
        scores = frame_scores(heatmap, masks)
        signals = torch.from_numpy(scores.signals)
        silent = int(signals.isnan().sum())
        self.signal += signals.nansum()
        self.signal_frames += len(signals) - silent
        self.noise += scores.peak * silent
        self.noise_frames += silent

    def compute(self) -> torch.Tensor:
        return torch.tensor(
            noise_to_signal(
                float(self.noise / self.noise_frames), float(self.signal / self.signal_frames)
            )
        )


class LocalizationScores(Metric):
    """
    The columns of Table 2, all at once, and the same per category.

    ``compute`` returns a flat dict, ready to be logged:

    - ``hmbox_auc/`` and ``pibr/``: ``all``, ``single``, ``multiple``: AVE frames with one or with
      several sounding objects in view;
    - ``pnsr/``: ``all``, ``visible``, ``audible``, ``noise``: non-AVE frames as
      ``FrameTruth.kind`` sorts them, each over the signal of all AVE frames (eq. 3);
    - ``frames/``: how many of each kind, and ``left_out``;
    - ``hmbox_auc/category/NAME`` and ``pibr/category/NAME``: AVE frames where that category
      sounds in view. The heatmap is of no category, so the mask is that of all sounding objects,
      and a frame counts for every category in it.

    What has no frames is NaN. An AVE frame whose boxes cover no pixel at the size of the map can
    be neither right nor wrong: it is left out and counted.

    :param categories: names, in any order.
    """

    is_differentiable, full_state_update = False, False

    def __init__(self, categories: Sequence[str] = (), **arguments):
        super().__init__(**arguments)
        self.categories = tuple(categories)
        self._index = {name: k for k, name in enumerate(self.categories)}
        if len(self._index) < len(self.categories):
            raise AvsolError(
                'a category is named twice; expected different names; got '
                f'{", ".join(self.categories)}'
            )
        ave, other, names = len(AVE_KINDS), len(NON_AVE_KINDS), len(self.categories)
        add_sums(
            self,
            ave_frames=(ave,),
            areas=(ave,),
            hits=(ave,),
            signals=(ave,),
            other_frames=(other,),
            peaks=(other,),
            left_out=(),
            category_frames=(names,),
            category_areas=(names,),
            category_hits=(names,),
        )

    def update(
        self, heatmap, frames: Iterable[FrameTruth], size: tuple[float, float] | None = None
    ) -> None:
        """
        Add the frames of one window.

        :param heatmap: (H, W) of the window, real and finite.
        :param frames: truth of its frames.
        :param size: width and height of the picture in which the boxes are given, in pixels;
            None: that of the heatmap.
        """
        heat = as_heat(heatmap)
        height, width = heat.shape
        across, down = (width / size[0], height / size[1]) if size else (1, 1)
        scale = (across, down, across, down)
        sounding, masks = [], []
        for frame in frames:
            if not frame.is_ave:
                kind = NON_AVE_KINDS.index(frame.kind)
                self.other_frames[kind] += 1
                self.peaks[kind] += float(heat.max())
                continue
            boxes = [[v * s for v, s in zip(item.box, scale)] for item in frame.sounding]
            mask = box_mask(boxes, height, width)
            if mask.any():
                sounding.append(frame)
                masks.append(torch.from_numpy(mask))
            else:
                self.left_out += 1
        if sounding:
            self._add(sounding, frame_scores(heat, torch.stack(masks)))

    def _add(self, frames, scores) -> None:
        for frame, area, hit, signal in zip(frames, scores.areas, scores.hits, scores.signals):
            kind = AVE_KINDS.index(frame.kind)
            self.ave_frames[kind] += 1
            self.areas[kind] += area
            self.hits[kind] += int(hit)
            self.signals[kind] += signal
            for name in {item.category for item in frame.sounding} if self.categories else ():
                if name not in self._index:
                    raise AvsolError(
                        f'a frame has the category {name!r}; expected one of '
                        f'{", ".join(self.categories)}; name all categories'
                    )
                self.category_frames[self._index[name]] += 1
                self.category_areas[self._index[name]] += area
                self.category_hits[self._index[name]] += int(hit)

    def compute(self) -> dict[str, torch.Tensor]:
        scores = {}
        for name, sums in (('hmbox_auc', self.areas), ('pibr', self.hits)):
            scores[f'{name}/all'] = sums.sum() / self.ave_frames.sum()
            for kind, value in zip(AVE_KINDS, sums / self.ave_frames):
                scores[f'{name}/{kind}'] = value
        signal = float(self.signals.sum() / self.ave_frames.sum())
        noises = {
            'all': self.peaks.sum() / self.other_frames.sum(),
            **dict(zip(NON_AVE_KINDS, self.peaks / self.other_frames)),
        }
        for kind, noise in noises.items():
            scores[f'pnsr/{kind}'] = torch.tensor(
                noise_to_signal(float(noise), signal), dtype=torch.float64, device=noise.device
            )
        for kind, count in zip(
            AVE_KINDS + NON_AVE_KINDS, torch.cat([self.ave_frames, self.other_frames])
        ):
            scores[f'frames/{kind}'] = count
        scores['frames/left_out'] = self.left_out
        for name, sums in (('hmbox_auc', self.category_areas), ('pibr', self.category_hits)):
            for category, value in zip(self.categories, sums / self.category_frames):
                scores[f'{name}/category/{category}'] = value
        return scores
