"""`Threader` and `OpenThread`: run something in a thread while something else happens.

with Threader(keep_connected) as keeper:
    ...
"""

import contextlib
import ctypes
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

STOP_TIMEOUT_S = 1.0
"""Seconds that `Threader.stop` waits for the thread to end."""


class Threader:
    """Runs ``method(*args)`` in a daemon thread for the length of a ``with`` block, and ends it after it."""

    method: Callable[..., object] | None = None
    args: Sequence[object] | None = None
    thread: threading.Thread | None = None
    """The thread; None before the first `start`."""

    def __init__(self, method: Callable[..., object], args: Sequence[object] | None = None) -> None:
        self.method = method
        self.args = args

    def start(self) -> bool:
        """Start the thread, anew if it has ended; return whether it is alive."""
        if self.method is not None and not self.isAlive():
            self.thread = threading.Thread(target=_run, args=(self.method, self.args or ()), daemon=True)
            self.thread.start()
        return self.isAlive()

    def stop(self) -> bool:
        """Raise SystemExit in the thread, and wait for it; return whether it has ended.

        Python delivers it between two steps of Python code: a thread that is blocked in a call goes on until that
        call returns, and a lock that it is just taking may stay taken.
        """
        if self.thread is not None and self.thread.ident is not None and self.isAlive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread.ident), ctypes.py_object(SystemExit))
            self.thread.join(STOP_TIMEOUT_S)
        return not self.isAlive()

    def isAlive(self) -> bool:  # noqa: N802 (the documented name)
        """Return whether the thread is alive."""
        return self.thread is not None and self.thread.is_alive()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _run(method: Callable[..., object], args: Sequence[object]) -> None:
    with contextlib.suppress(SystemExit):
        method(*args)


class OpenThread(Threader):
    """As `Threader`, but the thread goes on after the ``with`` block."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it go on."""
