"""What all storage files of bags share: channels, problems, messages in order of time."""

import heapq
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Generator, Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
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
    """What is wrong with a bag, one line each; a problem that is found again adds no line."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}
        self._counted: dict[str, tuple[set[Hashable], str]] = {}

    def add(self, text: str) -> None:
        """Note something that happens once."""
        self._lines[text] = None

    def count(self, text: str, item: Hashable, detail: str = '') -> None:
        """
        Note something that may happen often, as one line that counts.

        :param text: with ``{count}`` and ``{s}``, the plural's letter.
        :param item: what it happened to; the same item is counted once.
        :param detail: added to the line; that of the first time is kept.
        """
        if text not in self._counted:
            self._counted[text] = (set(), detail)
            self._lines[text] = None
        self._counted[text][0].add(item)

    def lines(self) -> list[str]:
        """Return the lines in the order in which the problems were found."""
        return [self._line(text) for text in self._lines]

    def _line(self, text: str) -> str:
        if text not in self._counted:
            return text
        items, detail = self._counted[text]
        count = len(items)
        line = text.format(count=count, s='' if count == 1 else 's')
        return f'{line} ({detail})' if detail else line


#: (log time in ns, its channel, bytes as recorded)
Record = tuple[int, Channel, bytes]


class StorageFile(ABC):
    """
    One storage file of a bag; subclasses read one format each.

    :param name: what to call the file in problems.
    :param problems: gets what is wrong with it.
    :ivar metadata: what rosbag2 repeats of its metadata.yaml inside the file, as YAML; '' if
        nothing.
    :raises AvsolError: if nothing in it can be read.
    """

    def __init__(self, path: Path, name: str, problems: Problems):
        self._name, self._problems = name, problems
        self._channels: dict[int, Channel] = {}  # by their number in the file
        self.metadata = ''
        self._open(path)

    @property
    def channels(self) -> list[Channel]:
        return list(self._channels.values())

    @property
    def counts(self) -> dict[Channel, int]:
        """Number of messages of each channel."""
        total = self._count_messages()
        return {channel: total[key] for key, channel in self._channels.items()}

    @property
    @abstractmethod
    def span(self) -> tuple[int, int] | None:
        """First and last log time; None without messages."""

    @abstractmethod
    def messages(self, path: Path, topics: Collection[str] | None = None) -> Iterator[Record]:
        """
        Yield the messages in order of log time.

        :param path: where the file is now.
        :param topics: names; None for all.
        """

    @abstractmethod
    def _open(self, path: Path) -> None:
        """Find the channels, and where messages are."""

    @abstractmethod
    def _count_messages(self) -> Counter[int]:
        """Number of messages by number of the channel."""

    def _select_channels(self, topics: Collection[str] | None) -> dict[int, Channel]:
        """Channels of topics, or all, by number."""
        return {
            key: channel
            for key, channel in self._channels.items()
            if topics is None or channel.topic in topics
        }

    def _check_magic(self, found: bytes, expected: bytes, format_name: str) -> None:
        """:param found: the first bytes of the file."""
        if not found:
            raise AvsolError(f'{self._name} is empty')
        if found.startswith(b'#ROSBAG'):
            raise AvsolError(ros1_hint(self._name))
        if found != expected:
            raise AvsolError(
                f'{self._name} is no {format_name} file: it begins with {found[:8]!r}'
            )


def merge_in_time(
    sources: Iterable[tuple[int, Callable[[], Iterator[Record]]]],
) -> Iterator[Record]:
    """
    Merge streams that are in order of time; each is opened only when it is needed.

    Of messages with equal times, those of earlier sources come first.

    :param sources: for each, a time in ns before which it has no message, and a function that
        opens it.
    """
    openers: list[Callable[[], Iterator[Record]]] = []
    # Of each source its time, its position and its next record, None before it is opened.
    # Positions are all different, so the heap never compares records.
    waiting: list[tuple[int, int, Record | None]] = []
    for start, opener in sources:
        waiting.append((start, len(openers), None))
        openers.append(opener)
    heapq.heapify(waiting)
    streams: dict[int, Iterator[Record]] = {}  # those that are open, by position
    try:
        while waiting:
            _, position, record = heapq.heappop(waiting)
            if record is None:
                streams[position] = openers[position]()
            else:
                yield record
                record = None  # it may be large: let go of it before the next one is read
            record = next(streams[position], None)
            if record is None:
                del streams[position]
            else:
                heapq.heappush(waiting, (record[0], position, record))
            record = None
    finally:
        for stream in streams.values():
            if isinstance(stream, Generator):
                stream.close()


def note_backwards(name: str, times: npt.ArrayLike, problems: Problems) -> None:
    """Note when log times, in the order of recording, go back by more than a recorder's queue."""
    recorded = np.asarray(times, np.int64)
    if len(recorded) > 1:
        back = (np.maximum.accumulate(recorded)[:-1] - recorded[1:]).max()
        if back > BACK_NS:
            problems.add(
                f'{name}: the log time goes back by up to {back / NANOSECONDS:.3f} s; '
                'messages come in order of log time'
            )


def ros1_hint(name: str) -> str:
    """Error line for a recording of ROS 1."""
    return (
        f'{name} is a recording of ROS 1; convert it: rosbags-convert --src FILE.bag --dst FOLDER'
    )
