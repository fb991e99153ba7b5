"""Requests that a manager finds waiting all at once, so that they are one group."""

import json
import time
from collections.abc import Sequence
from typing import Any, Self

import zmq

from lmaps.protocol import Reply, Request
from tests.daemons import until
from tests.robustness.load import Entry
from tests.robustness.tree import Tree


class Batch:
    """One client that sends many requests, and reads the answers as they come."""

    def __init__(self, daemon: Tree) -> None:
        self._daemon = daemon
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.connect(daemon.endpoint)
        self._entries: dict[str, Entry] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.destroy(0)

    def send(self, entries: Sequence[Entry], then: str | None = None, action: str = "kill") -> None:
        """Send all while the manager sleeps, so that it finds them together; ``then`` is a failpoint to kill it at."""
        self._daemon.arm("batch.after_commit", "sleep(50)")
        self._say(Entry("units", {}))
        until(self._daemon.has_acted)
        if then is not None:
            self._daemon.arm(then, action)
        for entry in entries:
            self._say(entry)
        if then is None:  # else it may die before this answer is on its way
            assert self.receive(1) == 1

    def _say(self, entry: Entry) -> None:
        entry.sent = time.monotonic()
        self._entries[entry.key] = entry
        self._socket.send_multipart([b"", Request(entry.verb, entry.args, entry.key, entry.key).encode()])

    def receive(self, count: int, within: float = 20.0) -> int:
        """Read answers into their entries until there are ``count`` or the time is over; how many came."""
        deadline = time.monotonic() + within
        for number in range(count):
            if not self._socket.poll(max(0, int((deadline - time.monotonic()) * 1000))):
                return number
            told: dict[str, Any] = json.loads(self._socket.recv_multipart()[1])
            entry = self._entries[told["id"]]
            entry.reply, entry.answered = Reply.from_json(told), time.monotonic()
        return count
