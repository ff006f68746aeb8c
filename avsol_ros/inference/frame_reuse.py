"""What windows that overlap have in common, computed once."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from avsol_ros.config import NANOSECONDS


class FrameReuse:
    """
    Remembers what was made of the frames of the last window.

    Frames are told apart by being the same array, not by what is in them: windows cut from one
    stream share theirs. Arrays are held as long as they are remembered, so that none is taken for
    another that lay in the same place before; nobody writes into them (``AudioVisualWindow``).

    :param make: takes N frames, gives N tensors (or one of N along its first axis), each
        depending on its own frame only.
    """

    def __init__(self, make: Callable[[Sequence[np.ndarray]], Iterable[torch.Tensor]]):
        self._make = make
        self._known: dict[int, tuple[np.ndarray, torch.Tensor]] = {}

    def __call__(self, frames: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """What ``make`` gives of each frame of a window."""
        new = {id(frame): frame for frame in frames if id(frame) not in self._known}
        made = self._make(tuple(new.values())) if new else ()
        known = self._known | {
            key: (frame, value) for (key, frame), value in zip(new.items(), made, strict=True)
        }
        self._known = {id(frame): known[id(frame)] for frame in frames}
        return [self._known[id(frame)][1] for frame in frames]


class Past:
    """
    The seconds before a window, for models with context.

    What a model remembers of a window is kept until it is too old to matter. Windows may overlap:
    the past of one are those that lie whole seconds before it.

    :param seconds: how many a model takes, the window's own included.
    """

    def __init__(self, seconds: int):
        self._seconds = seconds
        self._moments: dict[int, torch.Tensor] = {}

    def before(self, start_ns: int) -> torch.Tensor | None:
        """
        The seconds up to a window, as far back as none is missing.

        :returns: (1, n, M), the oldest first; None where there are none.
        """
        found: list[torch.Tensor] = []
        for back in range(1, self._seconds):
            moment = self._moments.get(start_ns - back * NANOSECONDS)
            if moment is None:
                break
            found.insert(0, moment)
        return torch.stack(found, 1) if found else None

    def add(self, start_ns: int, moment: torch.Tensor) -> None:
        """
        Keep what a model remembers of a window.

        What is later than the window goes: time has been set back.

        :param moment: (1, M).
        """
        oldest = start_ns - self._seconds * NANOSECONDS
        self._moments = {
            start: kept for start, kept in self._moments.items() if oldest < start < start_ns
        }
        self._moments[start_ns] = moment
