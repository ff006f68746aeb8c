"""What the storages of bags have in common: channels, problems, messages in order of time."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.streams.time_jumps import BACK_NS


@dataclass(frozen=True, eq=False)
class Channel:
    """
    One topic of one storage file.

    :param definition: ros2msg or ros2idl text; '' if the file has none.
    :param serialization: how messages are encoded: 'cdr' of all that ROS 2 records.
    """

    topic: str
    type: str
    definition: str = ''
    serialization: str = 'cdr'


class Problems:
    """What is wrong with a bag, one line each; the same thing found again is no new line."""

    def __init__(self):
        self._lines = {}
        self._counted = {}

    def add(self, text: str) -> None:
        """Note something that happens once."""
        self._lines[text] = None

    def count(self, text: str, item, detail: str = '') -> None:
        """
        Note something that may happen often, as one line that counts.

        :param text: with ``{count}`` and ``{s}``, the plural's letter.
        :param item: what it happened to: the same item counts once.
        :param detail: added to the line, from the first.
        """
        if text not in self._counted:
            self._counted[text] = (set(), detail)
            self._lines[text] = None
        self._counted[text][0].add(item)

    def lines(self) -> list[str]:
        """Return the lines in the order in which the problems were found."""
        return [self._line(text) for text in self._lines]

    def _line(self, text):
        if text not in self._counted:
            return text
        items, detail = self._counted[text]
        count = len(items)
        line = text.format(count=count, s='' if count == 1 else 's')
        return f'{line} ({detail})' if detail else line


#: (log time in ns, its channel, bytes as recorded)
Record = tuple[int, Channel, bytes]


def merge_in_time(
    sources: Iterable[tuple[int, Callable[[], Iterator[Record]]]],
) -> Iterator[Record]:
    """
    Merge streams that are in order of time, each opened only when its time has come.

    Of messages with equal times those of earlier sources come first.

    :param sources: of each, a time in ns before which it has nothing, and what opens it.
    """
    # While None stands for the record, the source is not open yet. Positions differ, so that
    # nothing after them is compared.
    waiting = [(start, position, None, make) for position, (start, make) in enumerate(sources)]
    heapq.heapify(waiting)
    try:
        while waiting:
            _, position, record, stream = heapq.heappop(waiting)
            if record is None:
                stream = stream()
            else:
                yield record
                record = None
            record = next(stream, None)
            if record is not None:
                heapq.heappush(waiting, (record[0], position, record, stream))
            record = None
    finally:
        for _, _, record, stream in waiting:
            if record is not None:
                stream.close()


def note_backwards(name: str, times, problems: Problems) -> None:
    """Note when log times, in the order of recording, go back by more than a recorder's queue."""
    times = np.asarray(times, np.int64)
    if len(times) > 1:
        back = (np.maximum.accumulate(times)[:-1] - times[1:]).max()
        if back > BACK_NS:
            problems.add(
                f'{name}: the log time goes back by up to {back / NANOSECONDS:.3f} s; '
                'messages come in order of log time'
            )


def ros1_hint(name: str) -> str:
    """Tell what to do with a recording of ROS 1."""
    return (
        f'{name} is a recording of ROS 1; convert it: rosbags-convert --src FILE.bag --dst FOLDER'
    )
