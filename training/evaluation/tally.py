"""
Every scored frame of a model, and the means over them: Table 2 and every other split.

Frames are kept one by one, so that all means come from the same numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from avsol_ros.training.annotations.model import AVE_KINDS, NON_AVE_KINDS, FrameTruth
from avsol_ros.training.annotations.window_truth import FILLING
from avsol_ros.training.evaluation.samples import Truth
from avsol_ros.training.metrics import box_mask, frame_scores, noise_to_signal

KINDS = AVE_KINDS + NON_AVE_KINDS


@dataclass(frozen=True, eq=False)
class FrameTable:
    """
    Every scored frame, in the order of the windows.

    :param window: (n,) int64, index of its window.
    :param kind: (n,) int64, index in KINDS.
    :param different: (n,) bool: objects of different categories sound in view.
    :param names: (n,) categories that sound in view.
    :param areas: (n,) HmBoxAUC, NaN in non-AVE frames, as are ``signals``.
    :param hits: (n,) bool: the peak lies in a box.
    :param signals: (n,) highest value in a box.
    :param peaks: (n,) highest value of the map.
    :param mixed: (n,) bool: something in view sounds, and something in view is silent.
    :param covered: (n,) share of the picture that the boxes of what sounds cover, 0 to 1.
    :param left_out: AVE frames whose boxes cover no pixel.
    """

    window: np.ndarray
    kind: np.ndarray
    different: np.ndarray
    names: list[frozenset[str]]
    areas: np.ndarray
    hits: np.ndarray
    signals: np.ndarray
    peaks: np.ndarray
    mixed: np.ndarray
    covered: np.ndarray
    left_out: int = 0

    @property
    def is_ave(self) -> np.ndarray:
        return self.kind < len(AVE_KINDS)


@dataclass(frozen=True)
class WindowScores:
    """
    The scored frames of one window.

    :param kinds: how many frames there are of each of KINDS.
    :param hmbox_auc: mean over its AVE frames, as is ``pibr``; NaN without any.
    :param peak: highest value of the map; NaN without frames.
    """

    kinds: tuple[int, ...]
    hmbox_auc: float
    pibr: float
    peak: float

    @property
    def has_ave(self) -> bool:
        return any(self.kinds[: len(AVE_KINDS)])

    @property
    def is_quiet(self) -> bool:
        """Whether there are frames, and in none of them something in view sounds."""
        return any(self.kinds) and not self.has_ave

    @property
    def only_kind(self) -> str | None:
        """The kind of all frames; None if there are several or no frames."""
        present = [kind for kind, count in zip(KINDS, self.kinds) if count]
        return present[0] if len(present) == 1 else None


def sounding_mask(frame: FrameTruth, size: tuple[float, float], shape) -> np.ndarray:
    """
    Pixels of the sounding objects in view.

    :param size: width and height of the picture in which the boxes are given.
    :param shape: (H, W) of the mask.
    """
    across, down = shape[1] / size[0], shape[0] / size[1]
    return box_mask(
        [
            (o.box[0] * across, o.box[1] * down, o.box[2] * across, o.box[3] * down)
            for o in frame.sounding
        ],
        *shape,
    )


def _covered(frame: FrameTruth, size: tuple[float, float]) -> float:
    """Share of the annotated picture that the sounding objects in view cover."""
    width, height = size
    return float(sounding_mask(frame, size, (round(height), round(width))).mean())


class Tally:
    """Scores window by window, so that no resized map is kept."""

    def __init__(self):
        self._rows, self._left_out = [], 0

    def add(self, index: int, heat: np.ndarray, truth: Truth) -> None:
        ave = [frame for frame in truth.frames if frame.is_ave]
        masks = np.array(
            [sounding_mask(frame, truth.size, heat.shape) for frame in ave], bool
        ).reshape(-1, *heat.shape)
        scores = frame_scores(heat, masks)
        shares = [_covered(frame, truth.size) for frame in ave]
        found = dict(zip(map(id, ave), zip(scores.areas, scores.hits, scores.signals, shares)))
        for frame in truth.frames:
            area, hit, signal, share = found.get(id(frame), (np.nan, False, np.nan, 0.0))
            if frame.is_ave and np.isnan(area):
                self._left_out += 1
                continue
            names = frozenset(o.category for o in frame.sounding)
            self._rows.append(
                (
                    index,
                    KINDS.index(frame.kind),
                    len(names) > 1,
                    names,
                    area,
                    hit,
                    signal,
                    scores.peak,
                    frame.is_ave and bool(frame.silent),
                    share,
                )
            )

    def table(self) -> FrameTable:
        types = (
            np.int64,
            np.int64,
            bool,
            None,
            np.float64,
            bool,
            np.float64,
            np.float64,
            bool,
            np.float64,
        )
        columns = list(zip(*self._rows)) if self._rows else [()] * len(types)
        return FrameTable(
            *(
                list(column) if kind is None else np.array(column, kind)
                for column, kind in zip(columns, types)
            ),
            self._left_out,
        )


def scores_by_window(frames: FrameTable, indices: Iterable[int]) -> dict[int, WindowScores]:
    """Sum frames up window by window: index of each of the given windows -> its scores."""
    scores = {}
    for index in indices:
        first, last = frames.window.searchsorted([index, index + 1])
        part = slice(first, last)
        ave = frames.is_ave[part]
        scores[index] = WindowScores(
            tuple(int((frames.kind[part] == k).sum()) for k in range(len(KINDS))),
            _mean(frames.areas[part][ave]),
            _mean(frames.hits[part][ave]),
            float(frames.peaks[first]) if last > first else float('nan'),
        )
    return scores


def summarize(
    frames: FrameTable, truths: Mapping[int, Truth], categories: Sequence[str] = ()
) -> dict[str, float]:
    """
    Means over frames; NaN of what there is none.

    Keys are a score, and for a part of the frames a slash and its name:

    - ``hmbox_auc`` and ``pibr``: all AVE frames; ``single`` or ``multiple`` sounding objects;
      several of the ``same`` category or of ``different`` ones; windows with a ``lookalike``;
      frames whose boxes cover ``up_to_60`` or ``over_60`` percent of the picture; of the former
      those that are ``mixed``, with a silent object in view beside the sounding one;
      ``category/NAME``: frames in which that category sounds. A map does not tell categories
      apart, so a frame counts for each of its categories.
    - ``pnsr``: all non-AVE frames; ``visible``, ``audible``, ``noise``; windows with an
      ``impostor``. Each is divided by the ``signal`` of all AVE frames (eq. 3).
    - ``frames`` counts the frames of each part, ``windows`` the windows that they are from:
      frames of one window share a map, so this tells how much a mean is worth.

    :param truths: index of a window -> what is known of it.
    """
    places, quiet = _ave_splits(frames, truths, categories), _quiet_splits(frames, truths)
    signal = _mean(frames.signals[frames.is_ave])
    return {
        **{f'hmbox_auc{end}': _mean(frames.areas[chosen]) for end, chosen in places.items()},
        **{f'pibr{end}': _mean(frames.hits[chosen]) for end, chosen in places.items()},
        **{
            f'pnsr{end}': noise_to_signal(_mean(frames.peaks[chosen]), signal)
            for end, chosen in quiet.items()
        },
        'signal': signal,
        **_counts(frames, {end or '/ave': chosen for end, chosen in places.items()}),
        **_counts(frames, {end or '/other': chosen for end, chosen in quiet.items()}),
        'frames/left_out': frames.left_out,
    }


def _ave_splits(
    frames: FrameTable, truths: Mapping[int, Truth], categories: Sequence[str]
) -> dict[str, np.ndarray]:
    """Ending of a key -> (n,) bool: which AVE frames it is about."""
    ave = frames.is_ave
    multiple = frames.kind == KINDS.index('multiple')
    return {
        '': ave,
        **{f'/{kind}': frames.kind == KINDS.index(kind) for kind in AVE_KINDS},
        '/same': multiple & ~frames.different,
        '/different': multiple & frames.different,
        '/lookalike': ave & _window_fact(frames, truths, 'lookalike'),
        '/up_to_60': ave & (frames.covered <= FILLING),
        '/over_60': ave & (frames.covered > FILLING),
        '/mixed': frames.mixed & (frames.covered <= FILLING),
        **{
            f'/category/{name}': ave & np.array([name in names for names in frames.names], bool)
            for name in categories
        },
    }


def _quiet_splits(frames: FrameTable, truths: Mapping[int, Truth]) -> dict[str, np.ndarray]:
    """Ending of a key -> (n,) bool: which non-AVE frames it is about."""
    quiet = ~frames.is_ave
    return {
        '': quiet,
        **{f'/{kind}': frames.kind == KINDS.index(kind) for kind in NON_AVE_KINDS},
        '/impostor': quiet & _window_fact(frames, truths, 'impostor'),
    }


def _window_fact(frames: FrameTable, truths: Mapping[int, Truth], name: str) -> np.ndarray:
    """(n,) bool: a fact of the window of each frame."""
    return np.array([truths[index].facts[name] for index in frames.window.tolist()], bool)


def _counts(frames: FrameTable, chosen: Mapping[str, np.ndarray]) -> dict[str, int]:
    return {
        **{f'frames{end}': int(some.sum()) for end, some in chosen.items()},
        **{f'windows{end}': len(np.unique(frames.window[some])) for end, some in chosen.items()},
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float('nan')
