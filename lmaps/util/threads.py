"""`Threader` and `OpenThread`: run something in a thread while something else happens.

with Threader(keep_connected) as keeper:
    ...
"""

import ctypes
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

STOP_WITHIN = 1.0
"""Seconds that a thread may take to end."""


class Threader:
    """Runs ``method(*args)`` in a daemon thread for the length of a ``with`` block, and ends it after it."""

    def __init__(self, method: Callable[..., Any], args: Sequence[Any] | None = None) -> None:
        self.method = method
        self.args = tuple(args or ())
        self.thread = self._new_thread()

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.method(*self.args)
        except SystemExit:
            return

    def start(self) -> bool:
        """Start the thread, anew if it has ended; whether it is alive."""
        if not self.thread.is_alive():
            if self.thread.ident is not None:
                self.thread = self._new_thread()
            self.thread.start()
        return self.isAlive()

    def stop(self) -> bool:
        """Raise SystemExit in the thread, and wait for it; whether it has ended.

        Python delivers it between two steps of Python code: a thread that is blocked in a call goes on until that
        call returns, and a lock that it is just taking may stay taken.
        """
        if self.thread.ident is not None and self.isAlive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread.ident), ctypes.py_object(SystemExit))
            self.thread.join(STOP_WITHIN)
        return not self.isAlive()

    def isAlive(self) -> bool:  # noqa: N802 (the documented name)
        """Whether the thread is alive."""
        return self.thread.is_alive()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class OpenThread(Threader):
    """As `Threader`, but the thread goes on after the ``with`` block."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it go on."""
