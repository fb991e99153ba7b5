"""Notifications to systemd (sd_notify): ready, reloading, stopping, alive. Without systemd nothing is sent."""

import contextlib
import math
import os
import socket
import time


def notify(*states: str) -> None:
    """Send ``states`` (``READY=1``) to systemd, if systemd waits for notifications of this service."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as connection,
    ):
        connection.connect("\0" + address[1:] if address.startswith("@") else address)
        connection.sendall("\n".join(states).encode())


def notify_reloading() -> None:
    """Report to systemd that a reload begins; READY=1 ends it."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


class Watchdog:
    """Reports to systemd that the loop of this process runs, twice in each interval that systemd asks for.

    ``deadline`` (monotonic) is when to report next, infinity if systemd does not ask for it.
    """

    def __init__(self) -> None:
        self._interval_s = _watchdog_s() / 2
        self.deadline = time.monotonic() + self._interval_s

    def run_once(self) -> None:
        """Report if the deadline has passed."""
        if time.monotonic() >= self.deadline:
            self.deadline = time.monotonic() + self._interval_s
            notify("WATCHDOG=1")


def _watchdog_s() -> float:
    """Return the seconds after which systemd kills this process if it does not report; infinity for never."""
    interval_us = os.environ.get("WATCHDOG_USEC", "")
    # Another pid means that the variables were inherited from a service that started this process.
    is_ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(interval_us) / 1_000_000 if interval_us.isdecimal() and int(interval_us) and is_ours else math.inf
