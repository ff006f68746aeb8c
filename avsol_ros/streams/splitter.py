"""Where one stream of camera and microphone ends and the next begins, by the stamps alone."""

from collections import deque
from typing import Any, NamedTuple

from avsol_ros.streams.time_jumps import (
    BACK_AT_REST_NS,
    BACK_NS,
    TOPICS_APART_NS,
    goes_back,
)

# Pieces of one topic that wait at most for the other topic, whatever time they span: a bound on
# memory.
HELD_ITEMS = {'image': 120, 'audio': 1000}


class Item(NamedTuple):
    """
    A piece of one topic: the times of its beginning and its end in nanoseconds.

    :param kind: 'image' or 'audio'.
    """

    kind: str
    start_ns: int
    end_ns: int
    value: Any


class Splitter:
    """
    Puts the pieces of the camera's and the microphone's topic, each in its order, into streams.

    A stream ends where, in the stamps of both topics taken together, nothing comes for longer
    than the timeout. Which topic's messages arrive first does not matter: what lies beyond such a
    silence waits until the other topic has passed it too, or shows that there was none.

    :param timeout_ns: the silence.
    """

    def __init__(self, timeout_ns: int):
        self._timeout_ns = timeout_ns
        self._held: dict[str, deque[Item]] = {kind: deque() for kind in HELD_ITEMS}
        self._newest: dict[str, int] = {}
        self._resting: set[str] = set()
        #: Pieces whose stamp was far off while those before and after it were not.
        self.strays = 0

    def add(self, kind: str, start_ns: int, end_ns: int, value) -> list[Item | None]:
        """Take a piece; gives pieces in the order to use them, None where a stream has ended."""
        out: list[Item | None] = []
        self._add(Item(kind, start_ns, end_ns, value), out)
        return out

    def release(self) -> list[Item | None]:
        """Give what waits: the other topic does not come."""
        out: list[Item | None] = []
        while any(self._held.values()):
            self._begin_anew(out)
        return out

    def rest(self) -> None:
        """Take note that the stream has come to rest; it may go on."""
        self._resting = set(self._held)

    def clear(self) -> None:
        """Forget all; what comes next is a new stream."""
        for held in self._held.values():
            held.clear()
        self._newest.clear()
        self._resting.clear()

    def _add(self, item: Item, out: list) -> None:
        held = self._held[item.kind]
        if self._far(item):
            held.append(item)
        else:
            self.strays += len(held)
            held.clear()
            self._accept(item, out)
        self._settle(out)

    def _far(self, item: Item) -> bool:
        """Whether a piece cannot belong to the present stream, as far as that is known."""
        if not self._newest:
            return False
        if item.start_ns > max(self._newest.values()) + self._timeout_ns:
            return True
        own_ns = self._newest.get(item.kind)
        back_ns = BACK_AT_REST_NS if item.kind in self._resting else BACK_NS
        return own_ns is not None and goes_back(item.end_ns, own_ns, back_ns)

    def _accept(self, item: Item, out: list) -> None:
        self._resting.discard(item.kind)
        self._newest[item.kind] = max(self._newest.get(item.kind, item.end_ns), item.end_ns)
        out.append(item)

    def _settle(self, out: list) -> None:
        """Use what need not wait any longer."""
        moving = True
        while moving:
            moving = False
            for held in self._held.values():
                while held and not self._far(held[0]):
                    self._accept(held.popleft(), out)
                    moving = True
        if all(self._held.values()) or any(map(self._too_long, self._held)):
            self._begin_anew(out)

    def _too_long(self, kind: str) -> bool:
        held = self._held[kind]
        return bool(held) and (
            held[-1].end_ns - held[0].start_ns > TOPICS_APART_NS or len(held) > HELD_ITEMS[kind]
        )

    def _begin_anew(self, out: list) -> None:
        """End the stream and put what waited into the next, the earlier first."""
        out.append(None)
        queues = [deque(held) for held in self._held.values()]
        self.clear()
        while any(queues):
            first = min(filter(None, queues), key=lambda queue: queue[0].start_ns)
            self._add(first.popleft(), out)
