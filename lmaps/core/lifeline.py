"""`Lifeline`: a child's end of its line to the supervisor.

Over it the child beats, so that one that hangs is noticed, and learns that the supervisor is gone.
"""

import contextlib
import json
import math
import os
import time
from multiprocessing.connection import Connection
from typing import Any

BEAT_EVERY = 1.0
"""Seconds between two beats."""


class Lifeline:
    """A child's end of ``connection``. Without one (None) there is no supervisor, and nothing is said or heard.

    Nothing here waits for the supervisor. ``next_due`` (monotonic) is when to beat next.
    """

    def __init__(self, connection: Connection | None = None) -> None:
        self._connection = connection
        self.next_due = math.inf if connection is None else 0.0
        if connection is not None:
            os.set_blocking(connection.fileno(), False)

    def fds(self) -> list[int]:
        """The descriptors to wait for."""
        return [] if self._connection is None else [self._connection.fileno()]

    def beat(self) -> None:
        """Tell the supervisor that this process is alive, if it is time to."""
        now = time.monotonic()
        if now >= self.next_due:
            self.next_due = now + BEAT_EVERY
            self.tell({"beat": True})

    def tell(self, news: dict[str, Any]) -> None:
        """Tell the supervisor ``news``; one that is gone, or reads no more, loses it."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.send_bytes(json.dumps(news).encode())

    def hear(self) -> dict[str, Any] | None:
        """The supervisor's order; None if the supervisor is gone, and then this end is closed too."""
        if self._connection is None:
            return None
        try:
            order: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            self._connection.close()
            self._connection = None
            self.next_due = math.inf
            return None
        return order
