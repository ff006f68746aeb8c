"""How far a run is: a bar on a terminal, lines in a log."""

import fcntl
import os
import re
import struct
import termios
import threading
from contextlib import contextmanager, redirect_stderr

import pytest

from avsol_ros import progress as module
from avsol_ros.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock for logs that goes on only when told to."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, 'time', clock)
    return clock


@contextmanager
def terminal(columns):
    """
    A terminal as stderr; give a function that reads what is written to it.

    :param columns: 0 of one that does not tell how many it has.
    """
    ours, theirs = os.openpty()
    rows = 24 if columns else 0
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
    with open(theirs, 'w', buffering=1) as file, redirect_stderr(file):

        def read():
            file.write('\0')
            file.flush()
            text = b''
            while not text.endswith(b'\0'):  # a terminal passes on what it gets a little later
                text += os.read(ours, 1 << 16)
            return text[:-1].decode()

        yield read
    os.close(ours)


def shown(text):
    """The lines of a terminal after what was written to it."""
    lines = []
    for line in text.replace('\r\n', '\n').split('\n'):
        cells = ''
        for part in line.split('\r'):
            cells = part + cells[len(part) :]
        lines.append(cells.rstrip())
    return lines


def test_a_log_gets_a_line_now_and_then(capsys, clock):
    with Progress() as progress:
        for second in range(61):
            clock.now = 1000 + second
            progress.count('a', second, 100, 'windows', 'two are broken')
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        'a:  30%, 30 of 100 windows [00:30<01:10,  1.00 windows/s, two are broken]',
        'a:  60%, 60 of 100 windows [01:00<00:40,  1.00 windows/s, two are broken]',
    ]


def test_what_was_done_before_does_not_make_it_faster(capsys, clock):
    progress = Progress(log_s=10)
    progress.count('films', 4000, 4100, 'films')
    clock.now += 20
    progress.count('films', 4010, 4100, 'films')
    line = capsys.readouterr().err
    assert line == 'films:  98%, 4010 of 4100 films [00:20<03:00,  0.50 films/s]\n'


def test_a_share_tells_the_time_that_is_left(capsys, clock):
    progress = Progress(log_s=0)
    progress.share('bag', 0.0)
    clock.now += 30
    progress.share('bag', 0.25, 'ten windows')
    progress.share('bag', 1.5)
    assert capsys.readouterr().err.splitlines()[1:] == [
        'bag:  25%, [00:30<01:30, ten windows]',
        'bag: 100%, [00:30<00:00]',
    ]


def test_bytes_of_which_nobody_knows_how_many(capsys, clock):
    progress = Progress(log_s=1)
    progress.count('weights', 0, None, 'B')
    clock.now += 2
    progress.count('weights', 5_000_000, None, 'B')
    assert capsys.readouterr().err == 'weights: 5.00MB [00:02, 2.50MB/s]\n'


def test_a_short_run_says_nothing_in_a_log(capsys):
    with Progress() as progress:
        progress.count('a', 1, 2, 'windows')
        progress.say('found')
        progress.warn('odd')
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ('found\n', 'odd\n')


@pytest.mark.parametrize('columns', [0, 100])
def test_a_terminal_has_a_bar_that_goes(columns):
    with terminal(columns) as read:
        with Progress() as progress:
            progress.count('model a', 0, 8, 'windows')
            text = read()
            assert re.search(r'model a: +0%\|.*\| 0 of 8 windows \[00:00<\?', shown(text)[0])
            progress.warn('this one is broken')
            progress.share('model b', 0.5, 'so far')
            text += read()
            assert shown(text)[0] == 'this one is broken'
            assert re.search(r'^model b: +50%\|[^ ].*\| \[00:00<\?, so far\]', shown(text)[1])
        assert shown(text + read()) == ['this one is broken', '']


def test_a_full_bar_makes_room():
    with terminal(80) as read:
        progress = Progress()
        progress.count('a', 1, 2, 'B')
        progress.count('a', 2, 2, 'B')
        assert shown(read()) == ['']


def test_a_bar_starts_no_thread():
    before = threading.active_count()
    with terminal(80), Progress() as progress:
        progress.count('a', 1, 2, 'windows')
        assert threading.active_count() == before
