"""What is wrong with a bag or a clip: counted, one line for each kind."""

import re
from collections import Counter


def without_numbers(reason: str) -> str:
    """A reason with its numbers masked: reasons that differ in their numbers alone are one."""
    return re.sub(r'\d+', '#', reason)


class Findings:
    """Counts of what was left out of a bag, and why."""

    def __init__(self):
        self._counts: Counter[str] = Counter()
        self._refused: dict[tuple[str, str], list] = {}

    def count(self, what: str, count: int = 1) -> None:
        """:param what: in words, after its number: ``images that came too late``."""
        if count:
            self._counts[what] += count

    def refuse(self, what: str, reason: str, count: int = 1) -> None:
        """Count what cannot be used; the first reason of each kind is kept."""
        self._refused.setdefault((what, without_numbers(reason)), [0, reason])[0] += count

    def lines(self) -> list[str]:
        return [
            *(f'{count} {what}' for what, count in sorted(self._counts.items())),
            *(
                f'{count} {what} that cannot be used, the first: {reason}'
                for (what, _), (count, reason) in self._refused.items()
            ),
        ]
