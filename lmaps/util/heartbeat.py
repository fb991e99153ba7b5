"""The channel between the supervisor and each child: heartbeats and reports one way, orders the other.

The supervisor kills a child whose heartbeats stop. A child ends when its channel is closed: its supervisor is gone.
"""

import contextlib
import json
import math
import socket
import time
from typing import Any

INTERVAL_S = 1.0
"""Seconds between two heartbeats."""
MAX_MESSAGE_BYTES = 65536
"""The largest message that a channel carries."""


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a new channel, the supervisor's first. Neither end blocks, and messages arrive whole."""
    # SEQPACKET keeps the bounds of messages: a stream would need framing on both sides
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def receive(channel: socket.socket) -> dict[str, Any] | None:
    """Return the next message, ``{}`` if none is waiting, or None if the other end is closed."""
    try:
        body = channel.recv(MAX_MESSAGE_BYTES)
    except BlockingIOError:
        return {}
    except OSError:
        return None
    # no message is empty: zero bytes are the end of a SEQPACKET socket
    message: dict[str, Any] | None = json.loads(body) if body else None
    return message


def send(channel: socket.socket, message: dict[str, Any]) -> bool:
    """Send ``message``; return False if the channel is full and it was not sent.

    Return True also if the other end is closed: there is nobody to send it to later either.
    """
    with contextlib.suppress(OSError):
        try:
            channel.send(json.dumps(message).encode())
        except BlockingIOError:
            return False
    return True


class SupervisorChannel:
    """A child's end of its channel. Without one (None) there is no supervisor, and every method does nothing.

    No method waits for the supervisor. ``deadline`` (monotonic) is when the next heartbeat is due.
    """

    def __init__(self, channel: socket.socket | None = None) -> None:
        self._channel = channel
        self.deadline = math.inf if channel is None else 0.0

    def fds(self) -> list[int]:
        """Return the descriptors to poll for orders."""
        return [] if self._channel is None else [self._channel.fileno()]

    def beat(self) -> None:
        """Send a heartbeat if one is due."""
        now = time.monotonic()
        if now >= self.deadline:
            self.deadline = now + INTERVAL_S
            self.report({"beat": True})

    def report(self, message: dict[str, Any]) -> None:
        """Send ``message`` to the supervisor. It is lost if the supervisor is gone or has stopped reading."""
        if self._channel is not None:
            send(self._channel, message)

    def receive(self) -> dict[str, Any] | None:
        """Return the supervisor's next order, ``{}`` if none is waiting.

        Return None if the supervisor is gone; this end is then closed too.
        """
        if self._channel is None:
            return None
        order = receive(self._channel)
        if order is None:
            self._channel.close()
            self._channel = None
            self.deadline = math.inf
        return order
