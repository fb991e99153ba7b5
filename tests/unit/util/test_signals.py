import os
import select
import signal

from lmaps.util.signals import queued_signals, signals_blocked

QUEUED = (signal.SIGTERM, signal.SIGHUP)


def test_signals_are_queued_in_order_and_wake_a_poll():
    with queued_signals(QUEUED) as queue:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert select.select([queue.fd], [], [], 5)[0] == [queue.fd]
        assert queue.take() == [signal.SIGHUP, signal.SIGTERM]
        assert queue.take() == []


def test_afterwards_signals_do_what_they_did_before():
    before = [signal.getsignal(number) for number in QUEUED]
    with queued_signals(QUEUED):
        assert [signal.getsignal(number) for number in QUEUED] != before
    assert [signal.getsignal(number) for number in QUEUED] == before


def test_signals_that_others_handle_are_not_queued():
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with queued_signals(QUEUED) as queue:
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGTERM)
            assert queue.take() == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_storm_loses_no_wakeup_and_blocks_nobody():
    with queued_signals(QUEUED) as queue:
        for _ in range(70_000):
            signal.raise_signal(signal.SIGHUP)
        assert set(queue.take()) == {signal.SIGHUP}


def test_what_comes_while_signals_are_held_back_comes_afterwards():
    with queued_signals(QUEUED) as queue:
        with signals_blocked():
            signal.raise_signal(signal.SIGTERM)  # to this thread: the runner of the tests may have others
            assert queue.take() == []
        assert queue.take() == [signal.SIGTERM]
