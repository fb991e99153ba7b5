"""The fork: the supervisor's view of a child, and the first acts of the child."""

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

from setproctitle import setproctitle

from lmaps.config.settings import Log
from lmaps.errors import LmapsError
from lmaps.supervisor.report import print_error
from lmaps.util import heartbeat
from lmaps.util.failpoints import failpoint
from lmaps.util.jsonio import JsonObject
from lmaps.util.logs import set_up_logging
from lmaps.util.signals import forget_signals, signals_blocked

PR_SET_PDEATHSIG = 1  # of linux/prctl.h

_context = multiprocessing.get_context("fork")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class Child:
    """A running child process.

    ``pidfd`` is readable once the child has ended. ``channel`` is the supervisor's end of the channel between the two.
    ``started`` is on the monotonic clock. ``silent_s`` counts the seconds since the child's last message. ``unsent``
    holds the orders for which the channel has had no room yet.
    """

    name: str
    process: ForkProcess
    pidfd: int
    channel: socket.socket
    started: float
    silent_s: int = 0
    unsent: list[JsonObject] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """The child's pid."""
        return self.process.pid or 0

    def events(self) -> dict[int, int]:
        """Return the descriptors to poll, each with its poll events."""
        events = {self.pidfd: select.POLLIN}
        if self.channel.fileno() >= 0:
            # POLLOUT only while orders wait: an empty channel is always writable, and the loop would spin.
            events[self.channel.fileno()] = select.POLLIN | (select.POLLOUT if self.unsent else 0)
        return events

    def has_message(self, ready: Collection[int]) -> bool:
        """Return whether there is something to `receive`, if the descriptors in ``ready`` are readable."""
        return self.channel.fileno() in ready

    def signal(self, number: int) -> None:
        """Send a signal to the child; if the child has ended, no process gets it."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def send(self, order: JsonObject) -> None:
        """Send ``order``, or keep it for `send_unsent` while the channel is full: the supervisor never blocks.

        An order that is kept already is not kept twice: a storm of SIGHUPs must not fill the memory.
        """
        if order not in self.unsent:
            self.unsent.append(order)
        self.send_unsent()

    def send_unsent(self) -> None:
        """Send the orders that were kept, the oldest first, as far as the channel has room."""
        while self.unsent and heartbeat.send(self.channel, self.unsent[0]):
            del self.unsent[0]

    def receive(self) -> JsonObject | None:
        """Return the child's next message, empty if there is none.

        None means that the child has closed its end; this end is closed then too.
        """
        message = heartbeat.receive(self.channel)
        if message is None:
            self.channel.close()  # a channel at its end stays readable, and the loop would spin
        else:
            self.silent_s = 0
        return message

    def reap(self) -> int:
        """Wait for the end of the child, free what belongs to it, and return its exit code (negative: the signal)."""
        self.process.join()
        os.close(self.pidfd)
        self.channel.close()
        return self.process.exitcode or 0


def fork(name: str, role: Callable[[socket.socket], None], log: Log) -> Child:
    """Fork a child called ``name`` that runs ``role`` with its end of a new channel.

    The child exits with 0 when ``role`` returns; after a `LmapsError`, which it prints, with that error's exit code.
    """
    # A lock that another thread holds at the fork stays locked in the child for ever.
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 (names are enough)
    if threads != 1:
        raise LmapsError(f"cannot fork {name}: this process has {threads} threads, and one alone may fork")
    failpoint("supervisor.before_fork")
    ours, theirs = heartbeat.channel_pair()
    process = _context.Process(target=_child_main, args=(name, role, theirs, os.getpid(), log), name=name)
    gc.freeze()  # else the child's first collection writes to every object, and copies all the pages that it shares
    with signals_blocked():  # else a signal meant for the child would be taken by the handlers that it inherits
        process.start()
    theirs.close()  # else the child's end never closes, and its death is not seen on the channel
    failpoint("supervisor.after_fork")
    return Child(name, process, os.pidfd_open(process.pid or 0), ours, time.monotonic())


def _child_main(
    name: str, role: Callable[[socket.socket], None], channel: socket.socket, supervisor: int, log: Log
) -> None:
    forget_signals()
    close_inherited(keep=(0, 1, 2, channel.fileno()))
    setproctitle(f"lmapsd: {name}")
    set_up_logging(name, log.level, log.format)
    end_with(supervisor)
    try:
        role(channel)
    except LmapsError as error:
        print_error(error)
        sys.exit(error.daemon_level)


def close_inherited(keep: Collection[int]) -> None:
    """Close every descriptor except those to ``keep``.

    A child that kept a lock or another child's channel would hold it beyond the end of its owner.
    """
    for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 (names are enough)
        if descriptor not in keep:
            with contextlib.suppress(OSError):  # the descriptor that listed the directory is closed already
                os.close(descriptor)


def end_with(supervisor: int) -> None:
    """Have the kernel send SIGTERM to this process when the supervisor ends.

    Call it again after a change of user: the kernel clears the setting then.
    """
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != supervisor:  # it ended before the call, and no signal will come
        sys.exit(1)
