"""What systemd hears (sd_notify): ready, reloading, stopping, alive. Where it waits for nothing, nothing is sent."""

import contextlib
import math
import os
import socket
import time


def notify(*states: str) -> None:
    """Tell systemd ``states`` (``READY=1``), if this is a service that it waits for."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sending,
    ):
        sending.connect("\0" + address[1:] if address.startswith("@") else address)
        sending.sendall("\n".join(states).encode())


def tell_reloading() -> None:
    """Tell systemd that a reload begins; READY=1 ends it."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


class Watchdog:
    """Tells systemd that this process turns its loop, twice as often as it is waited for.

    ``next_due`` (monotonic) is when to do it next, infinity if nobody waits.
    """

    def __init__(self) -> None:
        self._every = _interval() / 2
        self.next_due = time.monotonic() + self._every

    def turn(self) -> None:
        """Tell it, if it is time to."""
        if time.monotonic() >= self.next_due:
            self.next_due = time.monotonic() + self._every
            notify("WATCHDOG=1")


def _interval() -> float:
    """Seconds within which systemd wants to hear from this process."""
    told = os.environ.get("WATCHDOG_USEC", "")
    meant = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(told) / 1_000_000 if told.isdecimal() and int(told) and meant else math.inf
