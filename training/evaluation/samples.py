"""
What models are scored on: windows with the truth of their frames.

A source has categories and gives, for the number of frames and the picture size that a model
takes, a sequence of ``Sample``. Windows come recording by recording and in the order of time.
Sources are in ``rendered_samples``, ``prepared_samples`` and ``film_samples``.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.progress import OnCount, count_nothing
from avsol_ros.streams.windows import AudioVisualWindow
from avsol_ros.training.annotations.model import FrameTruth
from avsol_ros.training.annotations.window_truth import lasting_categories, window_facts
from avsol_ros.training.datasets.pairs import pairs

#: Time between two recordings: longer than the context of any model.
RECORDING_GAP_NS = 3600 * NANOSECONDS


@dataclass(frozen=True, eq=False)
class Truth:
    """
    What is known of a window.

    :param name: of the window, for people.
    :param recording: number of the scene or clip that it is from.
    :param start: seconds in the recording at which it begins.
    :param frames: truth of its moments, their times those in the recording.
    :param size: width and height of the picture in which the boxes are given.
    :ivar labels: categories that sound in view for at least ``LABELLED`` of the window.
    :ivar facts: see ``window_facts``.
    """

    name: str
    recording: int
    start: float
    frames: tuple[FrameTruth, ...]
    size: tuple[float, float]
    labels: frozenset[str] = field(init=False)
    facts: dict = field(init=False)

    def __post_init__(self):
        heard = [{o.category for o in frame.sounding} for frame in self.frames]
        object.__setattr__(self, 'labels', lasting_categories(heard))
        object.__setattr__(self, 'facts', window_facts([frame.objects for frame in self.frames]))


@dataclass(frozen=True, eq=False)
class Sample:
    """
    A window and its truth.

    :param window: its times are later than in the recording by an hour for each recording
        before, so that models with context see only their own past.
    """

    window: AudioVisualWindow
    truth: Truth


class Samples(Protocol):
    """Windows as one model takes them, in a fixed order; reading one may fail."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def name(self, index: int) -> str:
        """Name of a sample, without reading it."""

    def sound(self, index: int) -> np.ndarray:
        """Sound of a sample: (16000,) float32."""


class Source(ABC):
    """
    Something to score on.

    :ivar about: what it is, for people: heading -> text.
    :ivar recordings: whether windows follow each other in time.
    :ivar of_films: whether each window has one annotated frame, as in films that people annotate.
    """

    categories: tuple[str, ...]
    about: dict[str, str]
    recordings: bool
    of_films: bool = False

    @abstractmethod
    def samples(self, frames: int, size: int, progress: OnCount = count_nothing) -> Samples:
        """
        Windows as a model takes them.

        :param progress: told how far their making is, where they are not there yet.
        """

    def scored_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Height and width at which maps over an image are scored: those of the image."""
        return image_size

    def partners(self, count: int, seed: int) -> np.ndarray:
        """
        For each of ``count`` windows the one whose sound it is tried with.

        :returns: (count,) int64, -1 of a window without.
        """
        return pairs(count, 0, seed) if count > 1 else np.full(count, -1, np.int64)
