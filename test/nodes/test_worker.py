"""A slow function on windows, in a thread of its own."""

import threading

from waiting import PATIENCE_S, wait_for

from avsol_ros.nodes.worker import Worker


def test_only_delivered_results_count_as_done():
    begun, gate, errors = threading.Event(), threading.Event(), []

    def compute(window):
        begun.set()
        assert gate.wait(PATIENCE_S)
        if window == 'bad':
            raise ValueError(window)
        return window

    delivered = []
    worker = Worker(compute, lambda window, result: delivered.append(result), errors.append, 4)
    try:
        gate.set()
        worker.submit('bad')
        wait_for(lambda: worker.counts.failed == 1)
        assert (worker.counts.done, worker.counts.delay_s) == (0, 0)
        worker.submit('good')
        wait_for(lambda: worker.counts.done == 1)
        delay_s = worker.counts.delay_s
        assert delay_s > 0
        gate.clear()
        begun.clear()
        worker.submit('late')
        assert begun.wait(PATIENCE_S)
        stopping = threading.Thread(target=worker.stop)
        stopping.start()
        wait_for(lambda: not worker._running)
    finally:
        gate.set()
        worker.stop()
    stopping.join()
    assert (worker.counts.done, worker.counts.failed) == (1, 1)
    assert worker.counts.delay_s == delay_s
    assert delivered == ['good'] and len(errors) == 1
