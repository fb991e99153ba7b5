"""`SupervisorChannel`: a child's end of its line to the supervisor.

Over it the child beats, so that one that hangs is noticed, and learns that the supervisor is gone.
"""

import contextlib
import json
import math
import socket
import time
from typing import Any

BEAT_EVERY = 1.0
"""Seconds between two beats."""
LONGEST = 65536
"""Bytes that a message on a line may have."""


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """The ends of a new line, the supervisor's and a child's: messages come whole, and nobody waits for the other."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def heard(line: socket.socket) -> dict[str, Any] | None:
    """The next message on a ``line``, an empty one if there is none yet; None if the other end is gone."""
    try:
        told = line.recv(LONGEST)
    except BlockingIOError:
        return {}
    except OSError:
        return None
    message: dict[str, Any] | None = json.loads(told) if told else None
    return message


def say(line: socket.socket, message: dict[str, Any]) -> bool:
    """Say something on a ``line``; False if it is full, and nothing was said. An end that is gone loses it."""
    with contextlib.suppress(OSError):
        try:
            line.send(json.dumps(message).encode())
        except BlockingIOError:
            return False
    return True


class SupervisorChannel:
    """A child's end of its ``line``. Without one (None) there is no supervisor, and nothing is said or heard.

    Nothing here waits for the supervisor. ``next_due`` (monotonic) is when to beat next.
    """

    def __init__(self, line: socket.socket | None = None) -> None:
        self._line = line
        self.next_due = math.inf if line is None else 0.0

    def fds(self) -> list[int]:
        """The descriptors to wait for."""
        return [] if self._line is None else [self._line.fileno()]

    def beat(self) -> None:
        """Tell the supervisor that this process is alive, if it is time to."""
        now = time.monotonic()
        if now >= self.next_due:
            self.next_due = now + BEAT_EVERY
            self.tell({"beat": True})

    def tell(self, news: dict[str, Any]) -> None:
        """Tell the supervisor ``news``; one that is gone, or reads no more, loses it."""
        if self._line is not None:
            say(self._line, news)

    def hear(self) -> dict[str, Any] | None:
        """The supervisor's order; None if the supervisor is gone, and then this end is closed too."""
        if self._line is None:
            return None
        order = heard(self._line)
        if order is None:
            self._line.close()
            self._line = None
            self.next_due = math.inf
        return order
