"""The first Ctrl-C waits for a good moment, the second does not."""

import os
import signal
import threading
import time

import pytest

from avsol_ros.stopping import Stopped, Stopping


def raise_signal(number=signal.SIGINT):
    """The handler has run when this returns, or raises what that raises."""
    signal.raise_signal(number)


@pytest.fixture(autouse=True)
def _usual_handlers():
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_first_is_noted():
    with Stopping() as stopping:
        stopping.check()
        assert not stopping.is_set() and not stopping.wait(0.0)
        raise_signal()
        assert stopping.is_set() and stopping.wait() and not stopping.forced
        with pytest.raises(Stopped):
            stopping.check()


def test_the_second_is_raised_and_a_third_too():
    with Stopping() as stopping:
        raise_signal()
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                raise_signal()
        assert stopping.forced


def test_signals_go_back_to_those_who_had_them():
    with Stopping(signal.SIGINT, signal.SIGTERM):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with pytest.raises(KeyboardInterrupt):
        raise_signal()


def test_sigterm_is_never_a_second_ctrl_c():
    """As ``ros2 launch`` sends it to who takes more than five seconds to finish."""
    with Stopping(signal.SIGINT, signal.SIGTERM) as stopping:
        for number in (signal.SIGTERM, signal.SIGTERM):
            raise_signal(number)
        assert stopping.is_set() and not stopping.forced
        with pytest.raises(KeyboardInterrupt):
            raise_signal()


def test_who_has_set_it_may_be_told_once_more():
    """A recorder that ends by itself finishes its files, though Ctrl-C comes meanwhile."""
    with Stopping() as stopping:
        stopping.set()
        raise_signal()
        assert not stopping.forced
        with pytest.raises(KeyboardInterrupt):
            raise_signal()


@pytest.mark.parametrize('when', ['before', 'within'])
def test_where_nothing_is_lost_the_first_is_raised(when):
    with Stopping() as stopping:
        with pytest.raises(KeyboardInterrupt):
            if when == 'before':
                raise_signal()
            with stopping.at_once():
                assert when == 'within'
                raise_signal()
        assert stopping.is_set() and not stopping.forced
    with Stopping() as stopping:
        with stopping.at_once():
            pass
        raise_signal()


def test_what_has_ended_is_not_interrupted():
    with Stopping() as stopping:
        raise_signal()
        stopping.end()
        raise_signal()
        assert not stopping.forced
    raise_signal()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_what_has_ended_by_itself_gives_the_signals_back():
    with Stopping() as stopping:
        stopping.end()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_thread_wakes_who_waits():
    stopping = Stopping()
    threading.Thread(target=stopping.set).start()
    assert stopping.wait(60) and stopping.wait(0)


def test_a_signal_wakes_who_waits():
    with Stopping() as stopping:
        threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()
        assert stopping.wait(60)


def test_a_wait_lasts_as_long_as_it_is_told():
    began = time.monotonic()
    assert not Stopping().wait(0.12)
    assert time.monotonic() - began >= 0.12


def test_threads_may_have_one_without_signals():
    found = []

    def run():
        with Stopping() as stopping:
            found.append(stopping.is_set())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [False]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_within_set_does_not_wait_for_itself(monkeypatch):
    """A lock that set() holds must not be taken by the handler, in the same thread."""
    with Stopping() as stopping:
        real = stopping._set._cond.notify_all

        def notify():
            raise_signal()
            real()

        monkeypatch.setattr(stopping._set._cond, 'notify_all', notify)
        stopping.set()
        assert stopping.is_set()
