"""One process at a time, and the others know whom they wait for."""

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from avsol_ros.errors import AvsolError
from avsol_ros.locks import claim_folder, lock

HOLD = """
import sys
from pathlib import Path
from avsol_ros.locks import lock
with lock(Path(sys.argv[1]), 'is writing'):
    print('held', flush=True)
    sys.stdin.read()
"""

COUNT = """
import sys
from pathlib import Path
from avsol_ros.locks import lock
path = Path(sys.argv[1])
for _ in range(50):
    with lock(path, 'counts', wait=str):
        count = path.with_suffix('.count')
        count.write_text(str(int(count.read_text()) + 1))
"""


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, '-c', code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def holder(path, *arguments):
    """Another process that holds the lock until its stdin is closed."""
    process = start(HOLD, path, *arguments)
    try:
        assert process.stdout.readline() == 'held\n'
        yield process
    finally:
        process.kill()
        process.communicate()


def test_it_is_free_again_afterwards_and_leaves_no_file(tmp_path):
    path = tmp_path / 'made' / '.lock'
    for _ in range(2):
        with lock(path, 'is writing'):
            assert path.exists()
    with pytest.raises(ZeroDivisionError):
        with lock(path, 'is writing'):
            raise ZeroDivisionError
    assert list(path.parent.iterdir()) == []


def test_who_does_not_wait_is_told_who_holds_it(tmp_path):
    path = tmp_path / '.lock'
    with holder(path, 'an argument', 'two\nlines') as process:
        with pytest.raises(AvsolError) as caught:
            with lock(path, 'is writing into x'):
                pass
    assert re.fullmatch(
        rf"process {process.pid} \(-c {path} 'an argument' 'two lines'; "
        r'since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\) is writing into x; '
        'wait for it, or choose another folder',
        str(caught.value),
    )


def test_who_waits_is_told_for_whom_and_then_has_it(tmp_path):
    path, told = tmp_path / '.lock', []
    with holder(path) as process, ThreadPoolExecutor() as pool:

        def wait():
            with lock(path, 'is writing', wait=told.append):
                return path.exists()

        waiting = pool.submit(wait)
        while not told:
            assert not waiting.done()
        process.communicate()  # its input ends, and so does it
        assert waiting.result(60)
    assert len(told) == 1
    assert told[0].startswith(f'process {process.pid} (-c')
    assert told[0].endswith('is writing; waiting for it')


def test_a_kill_frees_it(tmp_path):
    path = tmp_path / '.lock'
    with holder(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert path.exists()
        with lock(path, 'is writing'):
            pass
    assert not path.exists()


def test_no_two_hold_it_at_once(tmp_path):
    """Though each removes the file that the others are waiting at."""
    path = tmp_path / 'a.lock'
    count = tmp_path / 'a.count'
    count.write_text('0')
    processes = [start(COUNT, path) for _ in range(6)]
    for process in processes:
        process.communicate(timeout=100)
        assert process.returncode == 0
    assert count.read_text() == '300'
    assert not path.exists()


def test_a_lock_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(AvsolError, match='cannot write .*Not a directory.*--out'):
        with lock(tmp_path / 'file' / '.lock', 'is writing', advice='choose another --out'):
            pass


def test_a_holder_without_a_name_is_another_process(tmp_path):
    path = tmp_path / '.lock'
    with open(path, 'w') as file:  # its disk was full
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(AvsolError, match='^another process is writing; wait for it'):
            with lock(path, 'is writing'):
                pass


def test_errors_of_the_block_are_not_those_of_the_lock(tmp_path):
    with pytest.raises(OSError, match='mine'):
        with lock(tmp_path / '.lock', 'is writing'):
            raise OSError('mine')


@pytest.mark.parametrize('number', [errno.ENOSYS, errno.ENOLCK])
def test_where_there_are_no_locks_work_goes_on(tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, 'flock', flock)
    with lock(tmp_path / '.lock', 'is writing'):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_claimed_folder_stays_if_something_is_in_it(tmp_path):
    for name in ('empty', 'full'):
        with claim_folder(tmp_path / name / 'inner'):
            if name == 'full':
                (tmp_path / name / 'inner' / 'file').touch()
    assert sorted(tmp_path.rglob('*')) == [
        tmp_path / 'full',
        tmp_path / 'full/inner',
        tmp_path / 'full/inner/file',
    ]
    (tmp_path / 'mine').mkdir()
    with claim_folder(tmp_path / 'mine'):
        pass
    assert (tmp_path / 'mine').exists()
