"""The fork: what the supervisor keeps of a child, and what a child does first."""

import contextlib
import ctypes
import gc
import multiprocessing
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from multiprocessing.context import ForkProcess
from typing import Any

from setproctitle import setproctitle

from lmaps.config import Log
from lmaps.errors import LmapsError
from lmaps.supervisor.report import tell
from lmaps.util import heartbeat
from lmaps.util.failpoints import failpoint
from lmaps.util.logs import set_up_logging
from lmaps.util.signals import forget_signals, held_back

PR_SET_PDEATHSIG = 1

_context = multiprocessing.get_context("fork")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class Child:
    """A running child. ``pidfd`` is readable once it has ended, ``line`` is the supervisor's end of its line.

    ``started`` is on the monotonic clock, ``silent`` counts the seconds in which it has said nothing. ``unsent`` are
    the orders that the line has had no room for yet.
    """

    name: str
    process: ForkProcess
    pidfd: int
    line: socket.socket
    started: float
    silent: int = 0
    unsent: list[dict[str, Any]] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """The child's pid."""
        return self.process.pid or 0

    def events(self) -> dict[int, int]:
        """The descriptors to wait for, each with what to wait for: for room on the line while orders are unsent."""
        events = {self.pidfd: select.POLLIN}
        if self.line.fileno() >= 0:
            events[self.line.fileno()] = select.POLLIN | (select.POLLOUT if self.unsent else 0)
        return events

    def has_spoken(self, ready: Collection[int]) -> bool:
        """Whether there is something to `receive`, if the descriptors in ``ready`` are readable."""
        return self.line.fileno() in ready

    def signal(self, number: int) -> None:
        """Send a signal; a child that has ended does not get it, and nobody else does."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def send(self, order: dict[str, Any]) -> None:
        """Send ``order``, or keep it for `send_rest` while the line is full: the supervisor waits for nobody.

        An order that is kept already is not kept twice, so that what is kept stays small.
        """
        if order not in self.unsent:
            self.unsent.append(order)
        self.send_rest()

    def send_rest(self) -> None:
        """Send the orders that are unsent, in order, as far as the line has room for them."""
        while self.unsent and heartbeat.send(self.line, self.unsent[0]):
            del self.unsent[0]

    def receive(self) -> dict[str, Any] | None:
        """What the child has sent; None if it has closed its end, and then this one is closed too."""
        told = heartbeat.receive(self.line)
        if told is None:
            self.line.close()
        else:
            self.silent = 0
        return told

    def reap(self) -> int:
        """Reap the child, which has ended or is about to; its exit code (negative: the signal)."""
        self.process.join()
        os.close(self.pidfd)
        self.line.close()
        return self.process.exitcode or 0


def fork(name: str, role: Callable[[socket.socket], None], log: Log) -> Child:
    """Fork a child that is called ``name`` and does ``role`` with its end of a new line.

    It exits with 0 when ``role`` returns, with the error's own code after a `LmapsError`, which it has told.
    """
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 (names are enough)
    if threads != 1:
        raise LmapsError(f"cannot fork {name}: this process has {threads} threads, and one alone may fork")
    failpoint("supervisor.before_fork")
    ours, theirs = heartbeat.channel_pair()
    process = _context.Process(target=_child_main, args=(name, role, theirs, os.getpid(), log), name=name)
    gc.freeze()
    with held_back():  # else a signal meant for the child would be taken by the handlers that it inherits
        process.start()
    theirs.close()
    failpoint("supervisor.after_fork")
    return Child(name, process, os.pidfd_open(process.pid or 0), ours, time.monotonic())


def _child_main(
    name: str, role: Callable[[socket.socket], None], line: socket.socket, supervisor: int, log: Log
) -> None:
    forget_signals()
    close_foreign(keep=(0, 1, 2, line.fileno()))
    setproctitle(f"lmapsd: {name}")
    set_up_logging(name, log["level"], log["format"])
    end_with(supervisor)
    try:
        role(line)
    except LmapsError as error:
        tell(error)
        sys.exit(error.daemon_level)


def close_foreign(keep: Collection[int]) -> None:
    """Close every descriptor but those to ``keep``: locks and other children's lines are not to outlive their owner."""
    for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 (names are enough)
        if descriptor not in keep:
            with contextlib.suppress(OSError):  # the one that listed them is gone already
                os.close(descriptor)


def end_with(supervisor: int) -> None:
    """Have the kernel send SIGTERM when the supervisor is gone; one that is gone already sends none.

    To be called again when the user of this process has changed, which makes the kernel forget it.
    """
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != supervisor:
        sys.exit(1)
