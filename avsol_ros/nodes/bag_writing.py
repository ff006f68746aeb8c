"""A bag that is written while callbacks go on."""

import threading
from collections import deque
from contextlib import suppress

from avsol_ros.bags import BagWriter
from avsol_ros.nodes.installed_types import installed_definition


class Writing:
    """
    Writes messages in a thread of its own.

    The bag is written beside its place and put there by :meth:`finish`. What a kill leaves is a
    folder of the bag's name with a dot before and .part behind.

    :param most_bytes: bytes of messages that may wait.
    """

    def __init__(self, path: str, storage: str, compression: str, most_bytes: int):
        self._bag = BagWriter(path, storage, compression)
        self._most_bytes = most_bytes
        self._bytes = 0
        self._queue: deque[tuple[str, str, int, bytes]] = deque()
        self._early: list[tuple[str, str, bytes]] = []
        self._changed = threading.Condition()
        self._ending = self._discarding = False
        self._topics: set[str] = set()
        self.dropped = 0
        self.failure: Exception | None = None
        self._begun = threading.Event()
        # All of the bag happens there: a database belongs to one thread.
        self._thread = threading.Thread(target=self._run, name='avsol record', daemon=True)
        self._thread.start()
        self._begun.wait()
        if self.failure is not None:
            raise self.failure

    def add(self, topic: str, type_name: str, log_ns: int, raw: bytes) -> None:
        """
        Have a message written; it is dropped when too much waits.

        :param log_ns: when it came; 0 when a simulated clock has not begun. That message gets the
            first time that the clock shows.
        """
        with self._changed:
            if self._bytes + len(raw) > self._most_bytes:
                self.dropped += 1
                return
            self._bytes += len(raw)
            if not log_ns:
                self._early.append((topic, type_name, raw))
                return
            self._release_early(log_ns)
            self._queue.append((topic, type_name, log_ns, raw))
            self._changed.notify()

    def finish(self) -> None:
        """Write what waits and put the bag in its place, if there is anything in it."""
        self._end()
        if self.failure is not None:
            raise self.failure

    def discard(self) -> None:
        """Leave nothing behind."""
        self._discarding = True
        self._end()

    def _end(self) -> None:
        with self._changed:
            self._release_early(0)
            self._ending = True
            self._changed.notify()
        self._thread.join()

    def _release_early(self, log_ns: int) -> None:
        self._queue.extend((topic, name, log_ns, raw) for topic, name, raw in self._early)
        self._early.clear()

    def _run(self) -> None:
        try:
            with suppress(_Discarded), self._bag:
                self._begun.set()
                self._write_all()
                if self._discarding or not self._topics:
                    raise _Discarded
        except Exception as error:
            self.failure = error
        finally:
            self._begun.set()

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._ending)
                if not self._queue or self._discarding:
                    return
                topic, type_name, log_ns, raw = self._queue.popleft()
            if topic not in self._topics:
                self._bag.add_topic(topic, type_name, installed_definition(type_name) or None)
                self._topics.add(topic)
            self._bag.write(topic, log_ns, raw)
            with self._changed:
                self._bytes -= len(raw)


class _Discarded(Exception):
    """What was written is not to be kept."""
