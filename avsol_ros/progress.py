"""How far a long run is: one line on stderr."""

import sys
import time
from collections.abc import Callable

_LINE_S = 30.0  # between progress lines in a log
_UPDATE_S = 0.2  # between updates of the line on a terminal
_BAR = 24  # characters


class Progress:
    """One line on stderr that is updated on a terminal; in a log a line now and then."""

    def __init__(self):
        self._terminal = sys.stderr.isatty()
        self._said = time.monotonic()
        self._width = 0

    def report(self, name: str, done: int, total: int) -> None:
        """Say how many windows are done."""
        if self._due():
            self._show(f'{name}: {done} of {total} windows')

    def report_share(self, name: str, share: float, rest: str = '') -> None:
        """
        Say what share is done, 0 to 1; on a terminal with a bar.

        :param rest: what else there is to say.
        """
        if not self._due():
            return
        share = min(max(share, 0.0), 1.0)
        full = round(share * _BAR)
        bar = f' [{"#" * full}{"-" * (_BAR - full)}]' if self._terminal else ''
        self._show(f'{name}:{bar} {100 * share:3.0f} %' + (f', {rest}' if rest else ''))

    def report_text(self, text: Callable[[], str]) -> None:
        """
        Say something else.

        :param text: called when it is time to.
        """
        if self._due():
            self._show(text())

    def warn(self, line: str) -> None:
        self.close()
        print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._width:
            print(file=sys.stderr)
            self._width = 0

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._said < (_UPDATE_S if self._terminal else _LINE_S):
            return False
        self._said = now
        return True

    def _show(self, text: str) -> None:
        if self._terminal:
            print(f'\r{text:{self._width}}', end='', file=sys.stderr, flush=True)
            self._width = len(text)
        else:
            print(text, file=sys.stderr, flush=True)
