"""Ctrl-C that waits for a good moment, so that what is written becomes whole."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# A signal handler wakes nobody: those who wait look this often, in seconds, whether one came.
_LOOK_S = 0.05


class Stopped(Exception):
    """Told to stop, seen at a moment when no file is cut within a message."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, and in a line what is kept and how to go on."""


@contextmanager
def on_interrupt(line: str | Callable[[], str]) -> Iterator[None]:
    """
    Let a Ctrl-C in the block say what is kept and how to go on.

    What a block inside this one says, which knows more, is said instead.

    :param line: what to say, or a function that knows it then.
    :raises Interrupted: in place of a KeyboardInterrupt.
    """
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt:
        raise Interrupted(line if isinstance(line, str) else line()) from None


class Stopping:
    """
    A request to stop, by a signal or by :meth:`set`.

    In its ``with`` block the first signal is only noted. A second Ctrl-C raises KeyboardInterrupt
    there, for what is not to be finished, and gives the signals back to those who had them.

    Like threading.Event it can be waited for. Other than that it takes no lock when a signal
    comes: the handler runs in the main thread, which may hold that very lock.

    :param signals: numbers of the signals that are taken.
    :ivar forced: whether the second Ctrl-C has come.
    """

    def __init__(self, *signals: int):
        self._signals = signals or (signal.SIGINT,)
        self._before: dict[int, Any] = {}
        self._requested = self._signalled = self._at_once = self._ended = False
        self._set = threading.Event()
        self.forced = False

    def __enter__(self) -> 'Stopping':
        try:
            for number in self._signals:
                self._before[number] = signal.signal(number, self._take)
        except ValueError:  # not in the main thread, which alone gets signals
            pass
        return self

    def __exit__(self, *_: object) -> None:
        if self._ended and self._signalled:
            ignore_signals(*self._signals)
        else:
            self._give_back()

    def set(self) -> None:
        """Request it, from any thread."""
        self._requested = True
        self._set.set()

    def is_set(self) -> bool:
        return self._requested

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is requested, or so many seconds; tell whether it is."""
        end = None if seconds is None else time.monotonic() + seconds
        while not self._requested:
            left = _LOOK_S if end is None else min(end - time.monotonic(), _LOOK_S)
            if left <= 0:
                break
            self._set.wait(left)
        return self._requested

    def check(self) -> None:
        """Raise :class:`Stopped` if it is requested."""
        if self._requested:
            raise Stopped

    def end(self) -> None:
        """
        Let further signals do nothing, for what they would stop has ended.

        After the block that stays so, where one has come: it has ended the process.
        """
        self._ended = True
        if self._signalled:
            ignore_signals(*self._signals)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let also the first signal raise KeyboardInterrupt in the block: nothing is lost yet."""
        self._at_once = True
        try:
            if self._signalled:
                raise KeyboardInterrupt
            yield
        finally:
            self._at_once = False

    def _take(self, number: int, _frame: FrameType | None) -> None:
        again = self._signalled and number == signal.SIGINT
        self._requested = self._signalled = True
        if self._ended:
            return
        if again:
            self.forced = True
            self._give_back()
        if again or self._at_once:
            raise KeyboardInterrupt

    def _give_back(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            # None: it was not set from Python, and cannot be set again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def ignore_signals(*signals: int) -> None:
    """Let signals do nothing any more."""
    for number in signals:
        signal.signal(number, signal.SIG_IGN)
