"""Rows of maps that do not hear, scored on the windows of an evaluation as they come."""

from collections.abc import Mapping, Sequence

import numpy as np

from avsol_ros.errors import AvsolError
from avsol_ros.models.published_weights import find_weights
from avsol_ros.training.evaluation.presence import presence_area
from avsol_ros.training.evaluation.samples import Truth
from avsol_ros.training.evaluation.tally import Tally, summarize
from avsol_ros.training.metrics.confidence_map import WEIGHTS, published_confidence
from avsol_ros.training.metrics.deaf_maps import WITH_LEVELS, Confidence, DeafMaps


class DeafRows:
    """
    Scores all deaf maps.

    :param seed: of the random maps.
    :param pictures: whether windows have pictures.
    :ivar notes: which rows are missing, and how to get them, a sentence each.
    """

    def __init__(self, seed: int, pictures: bool = True):
        self.notes: list[str] = []
        self._maps = DeafMaps(seed, self._confidence() if pictures else None, pictures)
        if not pictures:
            self.notes.append(
                'There are no rows of motion, confidence and deaf: recorded results come without '
                'the pictures of their windows.'
            )
        self._tallies = {name: Tally() for name in self._maps.names}
        self._peaks: dict[str, dict[int, float]] = {name: {} for name in WITH_LEVELS}

    def _confidence(self) -> Confidence | None:
        try:
            path = find_weights(WEIGHTS)
            return published_confidence(path, path.stat().st_mtime_ns)
        except AvsolError as error:
            self.notes.append(f'There are no rows of confidence and deaf: {error}.')
            return None

    def add(
        self, index: int, frames: Sequence[np.ndarray], size: tuple[int, int], truth: Truth
    ) -> None:
        """
        Score the maps of a window.

        :param frames: of the window, (H, W, 3) uint8, RGB.
        :param size: height and width at which it is scored.
        """
        for name, heat in self._maps(index, frames, *size).items():
            self._tallies[name].add(index, heat, truth)
            if name in self._peaks:
                self._peaks[name][index] = float(heat.max())

    def rows(
        self, truths: Mapping[int, Truth], categories: Sequence[str], of_films: bool = False
    ) -> list[dict]:
        """A row for each map: ``summarize``, and of films the area under the ROC of its peaks."""
        rows = []
        for name, tally in self._tallies.items():
            row = {
                'model': name,
                **summarize(tally.table(), truths, categories),
                'windows': len(truths),
                'failed': 0,
            }
            if name == 'deaf':  # standardized window by window, so its peaks tell nothing
                row.update((key, float('nan')) for key in row if key.startswith('pnsr'))
            if of_films and self._peaks.get(name):
                row['presence_auc'] = presence_area(self._peaks[name], truths)[0]
            rows.append(row)
        return rows
