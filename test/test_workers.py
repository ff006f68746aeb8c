"""Jobs that crash, hang or raise: the others are done all the same."""

import os
import signal
import time

import pytest

from avsol_ros import workers
from avsol_ros.errors import AvsolError
from avsol_ros.workers import Failed, run_jobs


def work(kind, value):
    if kind == 'segfault':
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == 'exit':
        os._exit(value)
    if kind == 'hang':
        while True:
            time.sleep(60)
    if kind == 'raise':
        raise ValueError('two\nlines')
    if kind == 'full':
        raise AvsolError('no space left')
    if kind == 'nothing':
        return None
    if kind == 'pid':
        return os.getpid()
    return value * 2


def ended(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_job_may_do_what_it_likes():
    jobs = [
        ('segfault', 1),
        ('exit', 3),
        ('exit', 0),
        ('raise', 4),
        ('nothing', 5),
        *(('ok', n) for n in range(20)),
    ]
    results = dict(run_jobs(work, jobs, workers=2, timeout_s=60))
    assert set(results) == set(jobs)
    assert all(results['ok', n] == 2 * n for n in range(20))
    assert results['nothing', 5] is None
    assert 'SIGSEGV' in results['segfault', 1].reason
    assert 'status 3' in results['exit', 3].reason
    assert 'status 0' in results['exit', 0].reason
    assert results['raise', 4] == Failed('ValueError: two lines')


def test_a_job_that_hangs_is_ended():
    results = dict(run_jobs(work, [('hang', 1), ('hang', 2)], workers=2, timeout_s=0.5))
    assert all('longer than 0.5 s' in failed.reason for failed in results.values())


def test_a_full_disk_ends_the_run():
    with pytest.raises(AvsolError, match='no space left'):
        list(run_jobs(work, [('full', 0), ('ok', 1)], workers=1, timeout_s=60))


def test_who_stops_early_leaves_no_process():
    jobs = [('pid', 0), ('hang', 1), ('hang', 2)]
    results = run_jobs(work, jobs, workers=2, timeout_s=60)
    _, pid = next(results)
    results.close()
    assert ended(pid)


def test_no_jobs_need_no_worker():
    assert list(run_jobs(work, [], workers=4, timeout_s=1)) == []


def test_says_when_workers_cannot_start(tmp_path, monkeypatch, capfd):
    (tmp_path / 'half_installed.py').write_text(
        'import multiprocessing\n'
        'if multiprocessing.current_process().name != "MainProcess":\n'
        '    raise RuntimeError("half installed")\n'
        'def work():\n    pass\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    from half_installed import work as broken

    with pytest.raises(AvsolError, match='a worker process did not start'):
        list(run_jobs(broken, [(), ()], workers=1, timeout_s=60))
    assert 'half installed' in capfd.readouterr().err


def test_says_when_workers_never_start(tmp_path, monkeypatch):
    (tmp_path / 'far_away.py').write_text(
        'import multiprocessing, time\n'
        'if multiprocessing.current_process().name != "MainProcess":\n'
        '    time.sleep(3600)\n'
        'def work():\n    pass\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(workers, '_STARTUP_S', 1)
    from far_away import work as distant

    with pytest.raises(AvsolError, match='did not start: it took longer than 1 s'):
        list(run_jobs(distant, [(), ()], workers=2, timeout_s=60))
