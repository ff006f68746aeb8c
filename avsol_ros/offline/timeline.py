"""What was found when: spans of time in which the same object was found."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.localization import UNNAMED
from avsol_ros.offline.localization_run import Finding

_MOST_SPANS = 1000  # more are counted, not stored


@dataclass
class Span:
    """
    Consecutive windows in which the same was found, with the means of their numbers.

    Each window stands for one hop of time around its middle.

    :param start_ns: start of the first window's hop.
    :param end_ns: end of the last window's hop.
    :param found: class of the strongest box; None if no box was found.
    :param windows: how many windows.
    :param avc: mean AVC probability, 0 to 1; None of a model without AVC.
    :param class_score: mean score of the class, 0 to 1.
    :param box: (4,) mean x0, y0, x1, y1 of the strongest boxes, pixels.
    """

    start_ns: int
    end_ns: int
    found: str | None
    windows: int = 0
    avc: float | None = None
    class_score: float | None = None
    box: np.ndarray | None = None

    def add(self, finding: Finding) -> None:
        """Add a window."""
        self.windows += 1
        result = finding.result
        self.avc = self._mean(self.avc, result.avc)
        if result.boxes:
            best = result.boxes[0]
            # The class's score in the whole window: messages hold no other, and recorded spans
            # must equal computed ones.
            score = result.class_scores.get(best.class_name, best.class_score)
            self.class_score = self._mean(self.class_score, score)
            self.box = self._mean(self.box, np.array([best.x0, best.y0, best.x1, best.y1]))

    def _mean(self, old: Any, new: Any) -> Any:
        """Take a window into the mean of a number or an array; None is not known."""
        return new if old is None or new is None else old + (new - old) / self.windows

    def as_dict(self, origin_ns: int) -> dict:
        """Plain values; times in seconds after the origin."""
        return {
            'start': (self.start_ns - origin_ns) / NANOSECONDS,
            'end': (self.end_ns - origin_ns) / NANOSECONDS,
            'found': self.found,
            'windows': self.windows,
            'avc': None if self.avc is None else float(self.avc),
            'class_score': None if self.class_score is None else float(self.class_score),
            'box': None if self.box is None else [round(v, 1) for v in self.box.tolist()],
        }


class Timeline:
    """
    Spans of a whole recording. At most a thousand are stored.

    :param hop_ns: time between the starts of windows; None takes it from the first two windows.
    :ivar spans: in the order of time.
    :ivar more: spans that are not stored.
    """

    def __init__(self, hop_ns: int | None = None):
        self._hop_ns = hop_ns
        self._last_ns: int | None = None
        self.spans: list[Span] = []
        self._open: Span | None = None
        self.more = 0

    def add(self, finding: Finding) -> None:
        """Add a window; windows come in order."""
        result = finding.result
        found = result.boxes[0].class_name or UNNAMED if result.boxes else None
        step_ns = None if self._last_ns is None else result.start_ns - self._last_ns
        if self._hop_ns is None and step_ns is not None and step_ns > 0:
            self._hop_ns = min(step_ns, result.end_ns - result.start_ns)
            # The hop was not known when the first window was added: correct its span.
            only = self.spans[0]
            only.start_ns = only.end_ns = (only.start_ns + only.end_ns) // 2
            only.start_ns -= self._hop_ns // 2
            only.end_ns += self._hop_ns // 2
        half_ns = (self._hop_ns or result.end_ns - result.start_ns) // 2
        follows = step_ns is not None and 0 < step_ns <= 3 * half_ns
        if self._open is None or not follows or self._open.found != found:
            self._open = Span(result.centre_ns - half_ns, 0, found)
            if len(self.spans) < _MOST_SPANS:
                self.spans.append(self._open)
            else:
                self.more += 1
        self._open.add(finding)
        self._open.end_ns = result.centre_ns + half_ns
        self._last_ns = result.start_ns
