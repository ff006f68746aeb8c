"""How far a long run is, on stderr: a bar on a terminal, a line now and then in a log."""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from tqdm import tqdm

#: Told how far a long run is, as :meth:`Progress.count` is: a name, how many things are done, how
#: many there are, and what they are in the plural.
OnCount = Callable[[str, int, int, str], object]

_TERMINAL_S = 0.2  # between updates of a bar
_LOG_S = 30.0  # between lines in a log
_WIDTH, _HEIGHT = 80, 24  # of a terminal that does not tell its own: tqdm draws nothing there

_BAR = '{desc}: {percentage:3.0f}%|{bar}| '
_SHARE = _BAR + '[{elapsed}<{remaining}{postfix}]'
_COUNT = _BAR + '{n_fmt} of {total_fmt}{unit} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]'
_ENDLESS = '{desc}: {n_fmt}{unit} [{elapsed}, {rate_noinv_fmt}{postfix}]'


def count_nothing(name: str, done: int, total: int, unit: str) -> None:
    """An ``OnCount`` that says nothing."""


class Progress:
    """
    Says how far a run is, and how long it will go on.

    Each piece of work has a name; another name begins another bar. A bar is cleared when it is
    full, and at the end of a ``with`` block.

    :param log_s: seconds between lines where stderr is no terminal.
    """

    def __init__(self, log_s: float = _LOG_S):
        self._terminal = sys.stderr.isatty()
        self._log_s = log_s
        self._name: str | None = None
        self._bar: tqdm | None = None
        self._initial: float = 0
        self._began = self._logged = time.monotonic()

    def __enter__(self) -> 'Progress':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def count(
        self, name: str, done: float, total: float | None, unit: str, note: str = ''
    ) -> None:
        """
        Say how many things are done, with the rate and the time that is left.

        :param total: how many there are; None where nobody knows.
        :param unit: what they are, in the plural; ``B`` for bytes, which are said in kB and MB.
        :param note: what else there is to say.
        """
        form = _ENDLESS if total is None else _COUNT
        unit = unit if unit == 'B' else f' {unit}'
        self._show(name, form, done, total, note, unit=unit, unit_scale=unit == 'B')

    def share(self, name: str, share: float, note: str = '') -> None:
        """
        Say what share is done, 0 to 1, with the time that is left.

        :param note: what else there is to say.
        """
        self._show(name, _SHARE, min(max(share, 0.0), 1.0), 1.0, note)

    def say(self, line: str, file: TextIO | None = None) -> None:
        """Print a line between; on stdout by default."""
        file = file or sys.stdout
        with _Bar.external_write_mode(file=file):
            print(line, file=file, flush=True)

    def warn(self, line: str) -> None:
        """Print a line between, on stderr."""
        self.say(line, sys.stderr)

    def close(self) -> None:
        """Clear the line."""
        if self._bar is not None:
            self._bar.close()
        self._name = self._bar = None

    def _show(
        self, name: str, form: str, done: float, total: float | None, note: str, **options: Any
    ) -> None:
        if name != self._name:
            self.close()
            self._name, self._initial, self._began = name, done, time.monotonic()
        if self._terminal:
            self._draw(form, done, total, note, options)
        else:
            self._log(form, done, total, note, options)
        if done == total:
            self.close()

    def _draw(self, form: str, done: float, total: float | None, note: str, options: dict) -> None:
        if self._bar is None:
            size_known = _knows_size()
            self._bar = _Bar(
                desc=self._name,
                total=total,
                bar_format=form,
                postfix=note,
                initial=done,
                file=sys.stderr,
                leave=False,
                dynamic_ncols=size_known,
                ncols=None if size_known else _WIDTH,
                nrows=None if size_known else _HEIGHT,
                mininterval=_TERMINAL_S,
                miniters=0,
                **options,
            )
        self._bar.total, self._bar.bar_format = total, form
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)

    def _log(self, form: str, done: float, total: float | None, note: str, options: dict) -> None:
        now = time.monotonic()
        if now - self._logged < self._log_s:
            return
        self._logged = now
        line = tqdm.format_meter(
            done,
            total,
            now - self._began,
            prefix=self._name,
            initial=self._initial,
            bar_format=form.replace('|{bar}|', ','),
            postfix=note,
            **options,
        )
        print(line, file=sys.stderr, flush=True)


def _knows_size() -> bool:
    try:
        return min(os.get_terminal_size(sys.stderr.fileno())) > 0
    except OSError:
        return False


class _Bar(tqdm):
    """A bar without a thread that watches it, and without a lock between processes."""

    monitor_interval = 0


_Bar.set_lock(threading.RLock())
