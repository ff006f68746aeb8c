"""
What an evaluation asks of whoever scores it.

Scoring knows annotations and metrics, which this room does not. Whoever wants scores passes an
object with the functions of :class:`Scoring`, such as the module
``avsol_ros.training.evaluation.bag_report``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from avsol_ros.bags import BagReader
from avsol_ros.localization import Localization, WindowResult


class Truth(Protocol):
    """
    What is known of a bag.

    :ivar source: where it is from, for people.
    :ivar frames: annotated moments.
    :ivar size: width and height of the picture in which the boxes are; None for the camera's.
    :ivar problems: what could not be read of it, one line each.
    """

    source: str
    frames: Sequence
    size: tuple[int, int] | None
    problems: Sequence[str]

    def drawn(self, stamp_ns: int, image_size: tuple[int, int]) -> Sequence[Mapping]:
        """Objects of the nearest moment as ``draw_localization`` takes them."""


class RunScores(Protocol):
    """Scores of one run, filled window by window."""

    def add(self, localization: Localization, *, frames: Sequence[np.ndarray] = ()) -> None:
        """Take a window that was localized, and its pictures."""

    def add_recorded(self, result: WindowResult, stamp_ns: int, heat: np.ndarray) -> None:
        """Take a window whose result was recorded."""

    def finish(self) -> None:
        """Compute the scores; raises AvsolError where no window has truth."""


class Scores(Protocol):
    """
    Scores of several runs on one truth.

    :ivar runs: those that are finished.
    """

    truth: Truth
    runs: Sequence


class Scoring(Protocol):
    """Opens a truth and scores runs on it."""

    def open_scores(
        self,
        reader: BagReader,
        annotations: Path | None,
        topic: str | None,
        origin_ns: int | None,
        names: Sequence[str],
        seed: int,
    ) -> Scores:
        """Read the truth of a bag from annotations, else from a topic."""

    def begin_run(self, scores: Any, name: str, config: Any = None) -> RunScores:
        """Begin with the windows of a model, by its name and configuration, or of a recording."""

    def report_scores(
        self, scores: Any, runs: Sequence[Mapping], seed: int
    ) -> tuple[dict, list[str]]:
        """Scores of all runs as plain values, and as tables and notes in text."""
