"""Inference in a thread of its own, behind a queue that drops the oldest window."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class WorkerCounts:
    """
    What a worker has done since it was made.

    :param submitted: windows it was given.
    :param done: windows whose result was delivered.
    :param dropped: windows that made room for newer ones.
    :param failed: windows whose computation or delivery raised.
    :param busy_s: seconds spent computing and delivering.
    :param delay_s: seconds the last delivered window took from submission to delivery.
    """

    submitted: int = 0
    done: int = 0
    dropped: int = 0
    failed: int = 0
    busy_s: float = 0.0
    delay_s: float = 0.0


class Worker:
    """
    Runs a slow function on windows without making the caller wait.

    :param compute: called in the worker's thread with each window.
    :param deliver: called in the worker's thread with the window and its result.
    :param on_error: called in the worker's thread with an exception that either of them raised;
        the worker goes on with the next window.
    :param capacity: windows that may wait; when one more comes, the oldest goes.
    """

    def __init__(
        self,
        compute: Callable[[Any], Any],
        deliver: Callable[[Any, Any], None],
        on_error: Callable[[Exception], None],
        capacity: int,
    ):
        self._compute = compute
        self._deliver = deliver
        self._on_error = on_error
        self._capacity = capacity
        self._queue: deque = deque()
        self._changed = threading.Condition()
        self._counts = WorkerCounts()
        self._running = True
        self._computing = False
        self._thread = threading.Thread(target=self._run, name='avsol inference', daemon=True)
        self._thread.start()

    @property
    def counts(self) -> WorkerCounts:
        return self._counts

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is being computed."""
        with self._changed:
            return not self._queue and not self._computing

    def submit(self, window) -> int:
        """Queue a window; returns how many older ones were dropped for it."""
        with self._changed:
            dropped = 0
            while len(self._queue) >= self._capacity:
                self._queue.popleft()
                dropped += 1
            self._queue.append((time.monotonic(), window))
            self._count(submitted=1, dropped=dropped)
            self._changed.notify()
        return dropped

    def stop(self, wait: bool = True) -> None:
        """
        Forget what waits, let the current window finish and end the thread.

        :param wait: until it has ended. Without, the thread keeps only the computation alive, not
            those to whom it would deliver.
        """
        with self._changed:
            self._running = False
            self._queue.clear()
            self._changed.notify()
        if wait:
            self._thread.join()
        else:
            self._deliver = self._on_error = _ignore

    def _count(self, **more) -> None:
        self._counts = replace(
            self._counts,
            **{name: getattr(self._counts, name) + value for name, value in more.items()},
        )

    def _run(self) -> None:
        while True:
            with self._changed:
                self._computing = False
                self._changed.wait_for(lambda: self._queue or not self._running)
                if not self._running:
                    return
                submitted_at, window = self._queue.popleft()
                self._computing = True
            self._work(submitted_at, window)
            del window  # let go of its images while waiting for the next

    def _work(self, submitted_at: float, window) -> None:
        began = time.monotonic()
        try:
            result = self._compute(window)
            delivered = self._running
            if delivered:
                self._deliver(window, result)
            failed = False
        except Exception as error:  # a bad window must not end the node
            delivered, failed = False, True
            if self._running:
                self._on_error(error)
        ended = time.monotonic()
        with self._changed:
            self._count(busy_s=ended - began, done=delivered, failed=failed)
            if delivered:
                self._counts = replace(self._counts, delay_s=ended - submitted_at)


def _ignore(*_) -> None:
    pass
