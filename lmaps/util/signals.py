"""Signals as bytes in a pipe, so that one poll waits for them with everything else."""

import contextlib
import os
import signal
from collections.abc import Collection, Iterator
from types import FrameType


class SignalQueue:
    """The signals of ``numbers`` that came since they were last taken. ``fd`` is readable when there are some.

    The pipe is told of every signal that has a handler, also of those that are none of ours.
    """

    def __init__(self, fd: int, numbers: Collection[int]) -> None:
        self.fd = fd
        self._numbers = numbers

    def take(self) -> list[int]:
        """What has come, in order."""
        with contextlib.suppress(BlockingIOError):
            return [number for number in os.read(self.fd, 65536) if number in self._numbers]
        return []


@contextlib.contextmanager
def queued_signals(numbers: Collection[signal.Signals]) -> Iterator[SignalQueue]:
    """Queue the signals of these numbers within the block; afterwards they do again what they did before."""
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
def held_back() -> Iterator[None]:
    """Deliver no signal within the block: what comes meanwhile comes after it."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def forget_signals() -> None:
    """In a child: nothing of the parent's handling is left, and no signal is held back.

    What reaches the whole group of the terminal (Ctrl-C, hanging up) is the supervisor's to decide. So it does nothing
    here, by a handler: being ignored would be inherited by tools. What a shell has its background jobs ignore is not.
    """
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, do_nothing)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal that is known by its byte in the pipe."""
