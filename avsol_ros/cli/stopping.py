"""Ctrl-C that waits for a good moment."""

import signal


class Stopped(Exception):
    """Ctrl-C, seen at a moment when no file is cut within a message."""


class Stopping:
    """In its ``with`` block the first Ctrl-C is only noted; a second one ends at once."""

    def __enter__(self) -> 'Stopping':
        self._asked = False
        try:
            self._before = signal.signal(signal.SIGINT, self._ask)
        except ValueError:  # not in the main thread, which alone gets signals
            self._before = None
        return self

    def __exit__(self, *_) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Raise :class:`Stopped` if Ctrl-C was pressed."""
        if self._asked:
            raise Stopped

    def _ask(self, *_) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, self._before)
