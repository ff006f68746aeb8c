"""
Jobs in worker processes, any of which may crash or hang without ending the run.

Decoders of damaged films do both. ``concurrent.futures`` gives up as a whole when one process
dies, and cannot stop a job that never ends. The library pebble does both, but sets no limit to
the start of a worker, never ends where a worker fails while it imports the job's module, reports
a process that exits with status 0 only when the job's time is over, and gives each worker that
is stuck in C code three seconds to end, one worker after the other, after Ctrl-C.
"""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from avsol_ros.errors import AvsolError

_STARTUP_S = 300  # to import torch from a slow network disk


@dataclass(frozen=True)
class Failed:
    """A job without a result; ``reason`` says in one line what happened."""

    reason: str


def run_jobs(
    function: Callable, jobs: Iterable[tuple], workers: int, timeout_s: float
) -> Iterator[tuple[tuple, Any]]:
    """
    Call a function with each of the jobs, in worker processes; give results as they come.

    A job whose function raises, whose process dies or which takes too long gives ``Failed``. An
    AvsolError of the function ends the run: it says that going on makes no sense (a full disk).
    When the caller stops, by Ctrl-C or otherwise, the workers are killed at once.

    :param function: of a module, since workers import it by name.
    :param jobs: arguments of each call; they and the results are pickled.
    :param workers: number of processes.
    :param timeout_s: seconds after which a job is ended.
    :return: pairs of a job and what the function returned, or Failed.
    :raises AvsolError: also where a worker does not start.
    """
    waiting = iter(jobs)
    pool: list[_Worker] = []
    try:
        while True:
            while len(pool) < workers and (job := next(waiting, None)) is not None:
                pool.append(_Worker(function, job, timeout_s))
            if not pool:
                return
            wait(
                [worker.pipe for worker in pool],
                max(0.0, min(worker.due for worker in pool) - time.monotonic()),
            )
            for worker in list(pool):
                done = worker.receive()
                if done is None:
                    continue
                job = worker.job
                following = next(waiting, None) if worker.alive else None
                if following is None:
                    worker.kill()
                    pool.remove(worker)
                else:
                    worker.send(following)
                yield job, done[0]
    finally:
        for worker in pool:
            worker.kill()


class _Worker:
    """
    A process that does one job at a time.

    :ivar due: by when, on the monotonic clock, it must have started or done its job.
    """

    def __init__(self, function: Callable, job: tuple, timeout_s: float):
        # Not fork: torch and OpenCV may already run threads in this process.
        context = multiprocessing.get_context('spawn')
        self.pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, function), daemon=True)
        # The child starts with SIGINT blocked: Ctrl-C is for the parent, which kills its children.
        # The resource tracker must run before: its start would unblock the signal again.
        resource_tracker.ensure_running()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        other.close()
        self._timeout_s = timeout_s
        self._ready = False
        self.alive = True
        self.job = job
        self.due = time.monotonic() + _STARTUP_S

    def send(self, job: tuple) -> None:
        self.job = job
        self.due = time.monotonic() + self._timeout_s
        try:
            self.pipe.send(job)
        except OSError:
            # It died between two jobs; `receive` finds out.
            pass

    def receive(self) -> tuple[Any] | None:
        """Return the result of the job, or Failed, in a tuple; None while there is none."""
        try:
            while self.pipe.poll():
                kind, value = self.pipe.recv()
                if kind == 'ready':
                    self._ready = True
                    self.send(self.job)
                elif kind == 'stop':
                    raise AvsolError(value)
                else:
                    return (value,)
        except (EOFError, OSError):
            self._process.join(5)
            return self._fail(f'the process that worked on it ended with {self._exit()}')
        if time.monotonic() < self.due:
            return None
        limit = self._timeout_s if self._ready else _STARTUP_S
        return self._fail(f'it took longer than {limit:g} s')

    def _fail(self, reason: str) -> tuple[Failed]:
        if not self._ready:
            raise AvsolError(
                f'a worker process did not start: {reason}; see above for its error, '
                'or try fewer workers'
            )
        self.alive = False
        return (Failed(reason),)

    def _exit(self) -> str:
        code = self._process.exitcode
        if code is not None and code < 0:
            return f'{signal.Signals(-code).name} (a crash, or too little memory)'
        return f'status {code}'

    def kill(self) -> None:
        self.alive = False
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _serve(pipe: Connection, function: Callable) -> None:
    """Do jobs until the parent closes the pipe or dies."""
    pipe.send(('ready', None))
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            answer = 'done', function(*job)
        except AvsolError as error:
            answer = 'stop', str(error)
        except Exception as error:
            answer = 'done', Failed(' '.join(f'{type(error).__name__}: {error}'.split()))
        try:
            pipe.send(answer)
        except BrokenPipeError:
            return
