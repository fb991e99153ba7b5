"""`TimeLimit`: interrupts a check that takes too long, such as a regular expression that backtracks without end.

The timer's signal raises an exception in the main thread while `TimeLimit.run` runs a function, and at no other time.
So such a function has to be pure: an interrupted write to a file, database or lock would be left half done.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, TypeVar

from lmaps.errors import LmapsError, TookTooLong

REPEAT_S = 0.1
"""Seconds between two alarms: an exception that is raised inside ``__del__`` is lost, and has to come again."""
TRIAL_S = 0.1
"""Seconds after which `slow_part` calls a part of a document slow."""
LOCATE_S = 0.5
"""Seconds that `slow_part` may take: the supervisor waits for a heartbeat meanwhile."""

T = TypeVar("T")

_handled = False
"""Whether the handler of SIGALRM is installed."""
_interruptible = False
"""Whether the function of a `TimeLimit` is running."""


class _TimeOver(BaseException):
    """Raised by the alarm. No error handler of the interrupted function catches it."""


class TimeLimit:
    """The ``seconds`` that one request may compute, in any number of `run`; ``key`` is the setting that limits them.

    ``position`` is for a function that checks one document after another: the number of the one it is at. It is kept
    when the function is interrupted.
    """

    def __init__(self, seconds: float = 2.0, key: str = "limits.message.validation") -> None:
        self.position = 0
        self._seconds = seconds
        self._key = key
        self._left = seconds

    def run(self, action: str, function: Callable[..., T], *args: object) -> T:
        """Return what ``function`` returns; raise `TookTooLong`, "cannot ``action``", when the time is over.

        Outside the main thread nothing is limited: Python delivers signals to the main thread alone.
        """
        if threading.current_thread() is not threading.main_thread():
            return function(*args)
        if not _handled:
            with alarm_handler():
                return self.run(action, function, *args)
        begin, self.position = time.monotonic(), 0
        # a timer of 0 seconds would never ring
        older = signal.setitimer(signal.ITIMER_REAL, max(self._left, 0.001), REPEAT_S)
        try:
            return _run_interruptible(function, args)
        except _TimeOver:
            reason = f"checking it took longer than {self._seconds:g} s ({self._key}); nothing was changed"
            raise TookTooLong(f"cannot {action}: {reason}") from None
        finally:
            signal.setitimer(signal.ITIMER_REAL, *older)
            self._left -= time.monotonic() - begin


def _run_interruptible(function: Callable[..., T], args: tuple[object, ...]) -> T:
    global _interruptible
    outer = _interruptible
    try:
        _interruptible = True
        return function(*args)
    finally:
        _interruptible = outer


@contextlib.contextmanager
def alarm_handler() -> Iterator[None]:
    """Handle SIGALRM within the block; afterwards the signal means what it meant before.

    A process that limits often opens the block once: installing the handler takes longer than most checks. Outside
    the main thread, where no handler can be installed, do nothing.
    """
    global _handled
    if _handled or threading.current_thread() is not threading.main_thread():
        yield
        return
    older = signal.signal(signal.SIGALRM, _on_alarm)
    _handled = True
    try:
        yield
    finally:
        _handled = False
        signal.signal(signal.SIGALRM, older)


def _on_alarm(_number: int, _frame: FrameType | None) -> None:
    if _interruptible:
        raise _TimeOver


def slow_part(check: Callable[[Any], object], document: object) -> tuple[str | int, ...]:
    """Return the keys and indices that lead to the smallest part of a JSON document that is slow to check.

    Each part is checked in a document that holds nothing else. The path ends early where no part is slow by itself: at
    an array whose items are compared with each other, or at a document that is only large.
    """
    deadline = time.monotonic() + LOCATE_S

    def is_slow(path: tuple[str | int, ...], part: object) -> bool:
        return time.monotonic() < deadline and _takes_long(check, _nested(path, part))

    path: tuple[str | int, ...] = ()
    part = document
    # if even an empty part is slow, its schema's defaults are, and no part of the document is to blame
    while isinstance(part, dict | list) and not is_slow(path, type(part)()):
        step = next((key for key, below in _items(part) if is_slow((*path, key), below)), None)
        if step is None:
            break
        path, part = (*path, step), part[step]  # type: ignore[index]  # a key of a dict, an index of a list
    return path


def _takes_long(check: Callable[[Any], object], document: object) -> bool:
    try:
        TimeLimit(TRIAL_S).run("check it", check, document)
    except TookTooLong:
        return True
    except LmapsError:  # it does not fit, such as a document without its other properties
        return False
    return False


def _items(part: dict[str, Any] | list[Any]) -> Iterable[tuple[str | int, object]]:
    return part.items() if isinstance(part, dict) else enumerate(part)


def _nested(path: tuple[str | int, ...], part: object) -> object:
    for key in reversed(path):
        part = {key: part} if isinstance(key, str) else [part]
    return part
