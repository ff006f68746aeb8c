"""What was found when in a bag, as spans of time in which it stayed the same."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.localization import UNNAMED
from avsol_ros.offline.localization_run import Finding

_RUNS = 1000  # more spans are counted, not kept


@dataclass
class Span:
    """
    Windows one after the other in which the same was found; means over them.

    Each window stands for one hop round its middle.

    :param start_ns: where the first one's hop begins.
    :param end_ns: where the last one's ends.
    :param found: class of the strongest box; None where there is none.
    """

    start_ns: int
    end_ns: int
    found: str | None
    windows: int = 0
    avc: float | None = None
    class_score: float | None = None
    box: np.ndarray | None = None

    def add(self, finding: Finding) -> None:
        self.windows += 1
        result = finding.result
        self.avc = self._mean(self.avc, result.avc)
        if result.boxes:
            best = result.boxes[0]
            # The window's, as messages have it: recorded and computed spans are the same.
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
    What was found when, in spans; at most a thousand are kept.

    :param hop_ns: between the starts of windows; None where only the windows tell it.
    :ivar more: spans that are not kept.
    """

    def __init__(self, hop_ns: int | None = None):
        self._hop_ns = hop_ns
        self._last_ns: int | None = None
        self.spans: list[Span] = []
        self._open: Span | None = None
        self.more = 0

    def add(self, finding: Finding) -> None:
        result = finding.result
        found = result.boxes[0].class_name or UNNAMED if result.boxes else None
        step_ns = None if self._last_ns is None else result.start_ns - self._last_ns
        if self._hop_ns is None and step_ns is not None and step_ns > 0:
            self._hop_ns = min(step_ns, result.end_ns - result.start_ns)
            # The first window did not know it.
            only = self.spans[0]
            only.start_ns = only.end_ns = (only.start_ns + only.end_ns) // 2
            only.start_ns -= self._hop_ns // 2
            only.end_ns += self._hop_ns // 2
        half_ns = (self._hop_ns or result.end_ns - result.start_ns) // 2
        follows = step_ns is not None and 0 < step_ns <= 3 * half_ns
        if self._open is None or not follows or self._open.found != found:
            self._open = Span(result.centre_ns - half_ns, 0, found)
            if len(self.spans) < _RUNS:
                self.spans.append(self._open)
            else:
                self.more += 1
        self._open.add(finding)
        self._open.end_ns = result.centre_ns + half_ns
        self._last_ns = result.start_ns
