"""Signals as bytes in a pipe, so that one poll waits for them with everything else."""

import contextlib
import os
import signal
from collections.abc import Collection, Iterator
from types import FrameType


class SignalQueue:
    """The signals of ``numbers`` that arrived since `take` was called last. ``fd`` is readable when there are some."""

    def __init__(self, fd: int, numbers: Collection[int]) -> None:
        self.fd = fd
        self._numbers = numbers

    def take(self) -> list[int]:
        """Return the signals that arrived, in order."""
        with contextlib.suppress(BlockingIOError):
            # Python writes every signal that has a handler into the pipe, such as the alarm of a time limit
            return [number for number in os.read(self.fd, 65536) if number in self._numbers]
        return []


@contextlib.contextmanager
def queued_signals(numbers: Collection[signal.Signals]) -> Iterator[SignalQueue]:
    """Queue the signals of these numbers within the block; afterwards their handlers are restored."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    old_handlers = {number: signal.signal(number, do_nothing) for number in numbers}
    old_fd = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield SignalQueue(reading, numbers)
    finally:
        signal.set_wakeup_fd(old_fd)
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Deliver no signal within the block; signals that arrive meanwhile are delivered after it."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def forget_signals() -> None:
    """Undo, in a forked child, the parent's signal handling; hold no signal back.

    SIGINT and SIGHUP reach the whole process group of the terminal. Only the supervisor acts on them: it stops its
    children itself.
    """
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):
        # not SIG_IGN: tools would inherit it, and could no more be interrupted
        signal.signal(number, do_nothing)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal whose number is read from the pipe."""
