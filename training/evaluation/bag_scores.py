"""
Scores of what was found in a bag, by the code that scores datasets.

A window counts where the truth has a frame in it. Windows that overlap share frames of truth, and
each counts them: with a hop of one second every frame counts once, as in the paper.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.localization import Localization, WindowResult
from avsol_ros.training.evaluation.bag_truth import BagTruth
from avsol_ros.training.evaluation.deaf_rows import DeafRows
from avsol_ros.training.evaluation.runs import Identity
from avsol_ros.training.evaluation.samples import Truth
from avsol_ros.training.evaluation.scoring import Evaluation, ModelRun, accuracies, presence
from avsol_ros.training.evaluation.tally import Tally, summarize


@dataclass(eq=False)
class BagSource:
    """The bag as a source: its windows have names, but cannot be read again."""

    categories: tuple[str, ...]
    about: dict[str, str]
    recordings: bool = True
    of_films: bool = False


class BagScores:
    """
    Scores several runs over one bag on the same truth.

    :param seed: of the random maps.
    :param origin_ns: stamp from which windows are named.
    :ivar truth: what is known of the bag.
    :ivar windows: index -> name of each window with truth.
    """

    def __init__(self, truth: BagTruth, origin_ns: int, about: Mapping[str, str], seed: int = 0):
        self.truth = truth
        self._origin_ns = origin_ns
        self._seed = seed
        self._deaf: DeafRows | None = None
        self._index: dict[tuple[int, int], int] = {}
        self._truths: dict[int, Truth] = {}
        self._source = BagSource(truth.categories, dict(about))
        self._notes: list[str] = []
        self.runs: list[ModelRun] = []
        self.windows: dict[int, str] = {}

    def begin(self, identity: Identity, label: str) -> 'RunScores':
        """Begin with the windows of a run."""
        return RunScores(self, identity, label)

    def truth_of(
        self,
        start_ns: int,
        end_ns: int,
        turn: int,
        image_size: tuple[int, int],
        frames: Sequence[np.ndarray],
    ) -> tuple[int, Truth] | None:
        """
        Index and truth of a window; None without truth. The first time also scores the baselines.

        :param turn: how often the run had a window of this start before.
        :param image_size: height and width at which it is scored.
        :param frames: pictures of the window; empty where only results were recorded.
        """
        index = self._index.get((start_ns, turn))
        if index is not None:
            return index, self._truths[index]
        annotated = self.truth.between(start_ns, end_ns)
        if not annotated:
            return None
        index = self._index[start_ns, turn] = len(self._index)
        start, end = ((ns - self._origin_ns) / NANOSECONDS for ns in (start_ns, end_ns))
        self.windows[index] = f'{start:g} to {end:g} s' + (f', again ({turn})' if turn else '')
        truth = Truth(self.windows[index], 0, start, annotated, self.truth.size_in(image_size))
        self._truths[index] = truth
        if self._deaf is None:
            self._deaf = DeafRows(self._seed, pictures=len(frames) > 0)
        self._deaf.add(index, frames, image_size, truth)
        return index, truth

    def finish(self, run: ModelRun, label: str, classes: Sequence[str]) -> ModelRun:
        run.row = {
            'model': run.name,
            'label': label,
            **summarize(run.frames, self._truths, self._source.categories),
            **accuracies(
                run,
                self._truths,
                tuple(classes),
                self._source.categories,
                self._notes,
            ),
            **presence(run, self._truths),
        }
        if not run.has_avc:
            run.row.update((key, float('nan')) for key in run.row if key.startswith('pnsr'))
        self.runs.append(run)
        return run

    def evaluation(self) -> Evaluation:
        """All runs so far, and the baselines on their windows."""
        if not self.runs:
            raise AvsolError('no window was scored')
        assert self._deaf is not None  # a run has windows
        baselines = self._deaf.rows(self._truths, self._source.categories)
        return Evaluation(
            self._source, self.runs, baselines, self._truths, [*self._notes, *self._deaf.notes]
        )


class RunScores:
    """Scores of one run, window by window; no map is kept."""

    def __init__(self, scores: BagScores, identity: Identity, label: str):
        self._scores, self._label = scores, label
        self._tally = Tally()
        self._turns: dict[int, int] = {}
        self._run = ModelRun(identity, None, None, {}, {}, {})
        self._classes: tuple[str, ...] = ()

    @property
    def windows(self) -> int:
        """Windows with truth so far."""
        return len(self._run.found)

    def add(
        self,
        localization: Localization,
        heat: np.ndarray | None = None,
        frames: Sequence[np.ndarray] = (),
    ) -> None:
        """
        Score a window, if there is truth in it.

        :param localization: kept without its maps.
        :param frames: pictures of the window, (H, W, 3) uint8, RGB; none where they are not known.
        :param heat: the map (H, W) at the size of the images; that of the localization by default.
        """
        start_ns = localization.start_ns
        turn = self._turns[start_ns] = self._turns.get(start_ns, -1) + 1
        known = self._scores.truth_of(
            start_ns, localization.end_ns, turn, localization.image_size, frames
        )
        if known is None:
            return
        index, truth = known
        if heat is None:
            heat = localization.heatmap_at(*localization.image_size)
        self._tally.add(index, heat, truth)
        self._classes = localization.class_names or self._classes
        self._run.found[index] = replace(
            localization, heatmap=localization.heatmap[:0], class_map=localization.class_map[:0]
        )

    def add_recorded(self, result: WindowResult, stamp_ns: int, heat: np.ndarray) -> None:
        """
        Score what was recorded of a window, if there is truth in it.

        :param stamp_ns: of the result.
        :param heat: the map (H, W) at the size of the images.
        """
        scores, none = result.class_scores, np.zeros((0, 0), np.float32)
        self.add(
            Localization(
                result.start_ns,
                result.end_ns,
                stamp_ns,
                none,
                result.avc,
                tuple(scores),
                np.array(list(scores.values()), np.float32),
                np.zeros((len(scores), 0, 0), np.float32),
                heat.shape,
            ),
            heat,
        )

    def finish(self) -> ModelRun:
        """Sum up the run, and add it to those of :meth:`BagScores.evaluation`."""
        if not self._run.found:
            raise AvsolError(
                'no window has a frame of truth in it; look whether the stamps of '
                'the truth are those of the camera, or give --origin, the stamp in '
                "seconds of the annotation's time 0"
            )
        self._run.frames = self._tally.table()
        names = self._scores.windows
        self._run.samples = _Named([names[i] for i in range(len(names))])
        return self._scores.finish(self._run, self._label, self._classes)


class _Named:
    """The windows by name, as tables need them."""

    def __init__(self, names: Sequence[str]):
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        return self._names[index]
