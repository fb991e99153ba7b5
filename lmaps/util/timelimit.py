"""`TimeLimit`: ends computing that takes too long, such as a pattern that tries every way to fit.

The timer's signal is raised as an exception in the process's main thread, and only while it runs what was given to
`TimeLimit.run`: nothing else is ever interrupted. So this has to be pure: no file, no database, no lock.
"""

import signal
import threading
import time
from _signal import getsignal  # type: ignore[import-not-found]  # signal's own takes long to make an enum of it
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, TypeVar

from lmaps.errors import TookTooLong

AGAIN = 0.1
"""Seconds after which the signal comes again, should the exception have been lost where none can be raised."""

T = TypeVar("T")


class _TimeOver(BaseException):
    """No error that anybody on the way would catch."""


class TimeLimit:
    """The ``seconds`` that one request may compute, in any number of pieces; ``key`` names the limit.

    In any thread but the main one nothing is limited. Afterwards the signal means what it meant before.
    """

    def __init__(self, seconds: float = 2.0, key: str = "limits.message.validation") -> None:
        self._seconds = seconds
        self._key = key
        self._left = seconds

    def run(self, what: str, function: Callable[..., T], *args: Any) -> T:
        """What ``function`` gives; `TookTooLong` says that one cannot ``what``, and its traceback leads to where."""
        if threading.current_thread() is not threading.main_thread():
            return function(*args)
        begin, before = time.monotonic(), getsignal(signal.SIGALRM)
        if before is not _ring:
            signal.signal(signal.SIGALRM, _ring)
        older = signal.setitimer(signal.ITIMER_REAL, max(self._left, 0.001), AGAIN)
        try:
            return _interruptible(function, args)
        except _TimeOver as over:
            words = f"checking it took longer than {self._seconds:g} s ({self._key}); nothing was changed"
            raise TookTooLong(f"cannot {what}: {words}").with_traceback(over.__traceback__) from None
        finally:
            signal.setitimer(signal.ITIMER_REAL, *older)
            if before not in (_ring, signal.SIG_DFL):
                signal.signal(signal.SIGALRM, before)
            self._left -= time.monotonic() - begin


def _interruptible(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    return function(*args)


def _ring(_number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code is _interruptible.__code__:
            raise _TimeOver
        frame = frame.f_back


def frames(trace: TracebackType | None) -> Iterator[FrameType]:
    """The frames of a traceback, the outermost first."""
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next
