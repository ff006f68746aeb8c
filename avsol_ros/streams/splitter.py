"""Where one stream of camera and microphone ends and the next begins, by the stamps alone."""

from collections import deque
from typing import Any, NamedTuple

from avsol_ros.streams.time_jumps import (
    BACK_NS,
    BACK_WHEN_IDLE_NS,
    TOPICS_APART_NS,
    goes_back,
)

# Pieces of one topic that wait at most for the other topic, whatever time they span: a bound on
# memory.
HELD_ITEMS = {'image': 120, 'audio': 1000}


class Item(NamedTuple):
    """
    A piece of one topic: a frame, or a chunk of sound.

    :param kind: 'image' or 'audio'.
    :param start_ns: time of its beginning.
    :param end_ns: time of its end; of a frame the same.
    :param value: what it carries; the splitter does not look at it.
    """

    kind: str
    start_ns: int
    end_ns: int
    value: Any


class Splitter:
    """
    Splits the pieces of two topics, each in its order, into streams.

    A stream ends where the stamps of both topics, taken together, show nothing for longer than
    the timeout. Which topic's messages arrive first does not matter: a piece that lies beyond
    such a silence is held until the other topic has passed the silence too, or shows that there
    was none. docs/time.md has the whole policy.

    :param timeout_ns: the silence that ends a stream.
    :ivar strays: pieces left out, because their stamp was far off while those of the pieces
        before and after them were not.
    """

    def __init__(self, timeout_ns: int):
        self._timeout_ns = timeout_ns
        # Pieces that lie outside the present stream, oldest first.
        self._held: dict[str, deque[Item]] = {kind: deque() for kind in HELD_ITEMS}
        # End of the newest piece that each topic has in the present stream.
        self._newest: dict[str, int] = {}
        # Topics that have sent nothing since the stream became idle.
        self._idle: set[str] = set()
        self.strays = 0

    def add(self, kind: str, start_ns: int, end_ns: int, value: Any) -> list[Item | None]:
        """
        Add a piece.

        :returns: the pieces whose stream is now decided, in the order in which to use them; None
            between two of them where a stream has ended.
        """
        out: list[Item | None] = []
        self._add(Item(kind, start_ns, end_ns, value), out)
        return out

    def release(self) -> list[Item | None]:
        """Return all that is held, as from ``add``: the other topic will not come."""
        out: list[Item | None] = []
        while any(self._held.values()):
            self._start_next_stream(out)
        return out

    def note_idle(self) -> None:
        """Note that nothing arrives any more; the stream may resume."""
        self._idle = set(self._held)

    def clear(self) -> None:
        """Forget everything; what is added next begins a new stream."""
        for held in self._held.values():
            held.clear()
        self._newest.clear()
        self._idle.clear()

    def _add(self, item: Item, out: list[Item | None]) -> None:
        held = self._held[item.kind]
        if self._is_outside(item):
            held.append(item)
        else:
            # Time did not jump after all: what was held of this topic had wrong stamps.
            self.strays += len(held)
            held.clear()
            self._accept(item, out)
        self._accept_held(out)
        if all(self._held.values()) or any(map(self._has_waited_enough, self._held)):
            self._start_next_stream(out)

    def _is_outside(self, item: Item) -> bool:
        """Whether a piece lies outside the present stream, as far as that is known."""
        if not self._newest:
            return False
        if item.start_ns > max(self._newest.values()) + self._timeout_ns:
            return True
        newest_ns = self._newest.get(item.kind)
        limit_ns = BACK_WHEN_IDLE_NS if item.kind in self._idle else BACK_NS
        return newest_ns is not None and goes_back(item.end_ns, newest_ns, limit_ns)

    def _accept(self, item: Item, out: list[Item | None]) -> None:
        """Put a piece into the present stream."""
        self._idle.discard(item.kind)
        self._newest[item.kind] = max(self._newest.get(item.kind, item.end_ns), item.end_ns)
        out.append(item)

    def _accept_held(self, out: list[Item | None]) -> None:
        """Put held pieces into the present stream that belong to it, now that it goes further."""
        accepted = True
        while accepted:
            accepted = False
            for held in self._held.values():
                while held and not self._is_outside(held[0]):
                    self._accept(held.popleft(), out)
                    accepted = True

    def _has_waited_enough(self, kind: str) -> bool:
        """Whether so much of a topic is held that the other one counts as ended."""
        held = self._held[kind]
        return bool(held) and (
            held[-1].end_ns - held[0].start_ns > TOPICS_APART_NS or len(held) > HELD_ITEMS[kind]
        )

    def _start_next_stream(self, out: list[Item | None]) -> None:
        """End the present stream and add what was held to the next one, in order of time."""
        out.append(None)
        queues = [deque(held) for held in self._held.values()]
        self.clear()
        while any(queues):
            first = min(filter(None, queues), key=lambda queue: queue[0].start_ns)
            self._add(first.popleft(), out)
