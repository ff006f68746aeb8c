"""
The sparse annotation of a film: boxes for one frame of each of some windows (version 3).

To box ten frames a second of a real film takes hours. One frame in each of a few windows tells as
much about a map that is one for the whole window.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from avsol_ros.training.annotations.model import NANOSECONDS, FrameTruth, ObjectTruth

#: Length of a window, and where in it the annotated frame is: the first at or after this time.
WINDOW_S = 1.0
MIDDLE_S = 0.5


@dataclass(frozen=True, slots=True)
class WindowTruth:
    """
    What is in view and what sounds in ``[start, start + 1)``.

    :param start: seconds from the film's first frame.
    :param objects: boxes are of the first frame at or after ``start + 0.5``, and ``sounding`` is
        of the whole window. Tracks only number the objects of the window.
    """

    start: float
    objects: tuple[ObjectTruth, ...] = ()

    @property
    def start_ns(self) -> int:
        return round(self.start * NANOSECONDS)

    @property
    def frame(self) -> FrameTruth:
        """The one annotated frame, its time counted from the film's first frame."""
        return FrameTruth(self.start + MIDDLE_S, self.objects)


@dataclass(frozen=True, slots=True)
class FilmWindows:
    """
    The annotated windows of one film.

    :param video: name of its file.
    :param width: of the upright picture in whose pixels the boxes are, as is ``height``.
    :param duration: seconds.
    :param categories: all that could occur, in the order of class indices.
    :param windows: in the order of their starts.
    :param doubt: what of it is not sure, for people.
    """

    video: str
    width: int
    height: int
    duration: float
    categories: tuple[str, ...]
    windows: tuple[WindowTruth, ...]
    doubt: str = ''

    @property
    def frames(self) -> tuple[FrameTruth, ...]:
        """The annotated frames, one of each window."""
        return tuple(window.frame for window in self.windows)

    @property
    def present(self) -> frozenset[str]:
        """Categories of all objects, sounding or silent, in view or not."""
        objects = (item for window in self.windows for item in window.objects)
        return frozenset(item.category for item in objects if item.category is not None)


def window_id(video: str, start: float) -> str:
    """Name of a window among those of several films: the film's name, ``@`` and the start."""
    return f'{video.rpartition(".")[0] or video}@{start:g}'


def share_film_categories(films: Iterable[FilmWindows]) -> list[FilmWindows]:
    """Give all films one list of categories: those of the first, then what others add."""
    films = list(films)
    shared = tuple(dict.fromkeys(c for film in films for c in film.categories))
    return [replace(film, categories=shared) for film in films]
