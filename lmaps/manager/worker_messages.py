"""Hearing: what workers say, as pieces of work. What cannot be kept of it now is kept back, and tried again."""

import logging
import math
import time
from collections.abc import Callable, Iterator

from lmaps.errors import LmapsError, MessageRefused
from lmaps.manager.dispatcher import RETRY, Dispatcher
from lmaps.protocol.work import Hello, Lines, More, Part, Result, WorkerMessage, decode
from lmaps.store import Transaction
from lmaps.transport.server import Incoming, ServerSocket

log = logging.getLogger(__name__)


class WorkerInbox:
    """Hears the workers for the dispatcher."""

    def __init__(self, workers: ServerSocket, dispatcher: Dispatcher) -> None:
        self._workers = workers
        self._dispatcher = dispatcher
        self._refused: list[WorkerReport] = []
        self._not_before = 0.0

    def collect(self, *, heard: bool) -> Iterator["WorkerReport"]:
        """What was kept back, else what the workers say, if they were ``heard``.

        A hello ends it: what follows is heard when it is settled.
        """
        if self._refused and time.monotonic() >= self._not_before:
            yield self._refused.pop(0)
            return
        while heard and (incoming := self._workers.receive()) is not None:
            try:
                message = decode(incoming.body)
            except MessageRefused as refused:
                log.warning("a worker's message was dropped: %s", refused)
                continue
            if isinstance(message, WorkerMessage):
                yield WorkerReport(self._dispatcher, incoming, message, self._again)
            if isinstance(message, Hello):
                return

    @property
    def next_due(self) -> float:
        """When what was refused is tried again (monotonic), infinity if nothing was."""
        return self._not_before if self._refused else math.inf

    def _again(self, refused: "WorkerReport") -> None:
        """Try once more in a while to keep what a worker said."""
        self._refused.append(refused)
        self._not_before = time.monotonic() + RETRY


class WorkerReport:
    """A worker's message as a piece of work."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        incoming: Incoming,
        message: WorkerMessage,
        again: Callable[["WorkerReport"], None],
    ) -> None:
        self._dispatcher = dispatcher
        self._identity = incoming.identity
        self._message = message
        self._again = again
        self._settle: Callable[[], None] = lambda: None

    def run(self, tx: Transaction) -> None:
        """Record what it means."""
        match self._message:
            case Hello():
                self._settle = self._dispatcher.hello(tx, self._identity, self._message)
            case More():
                self._settle = self._dispatcher.more(tx, self._identity, self._message)
            case Lines():
                self._settle = self._dispatcher.lines(tx, self._identity, self._message)
            case Result():
                self._settle = self._dispatcher.result(tx, self._identity, self._message)

    def settle(self) -> None:
        """Acknowledge it."""
        self._settle()

    def fail(self, error: LmapsError) -> None:
        """Output is lost when it cannot be kept, an outcome never: it is tried again. What cannot be read is told.

        Who has not said hello is not heard; a worker that says it says everything again.
        """
        log.error("a worker's %s was not kept: %s", self._message.kind, error)
        if isinstance(error, MessageRefused):
            return
        if isinstance(self._message, Lines):
            self._dispatcher.acknowledge(self._identity, self._message)
        elif isinstance(self._message, More):
            told = Part(self._message.token, self._message.after, error=error.message)
            self._dispatcher.say(self._identity, told)
        else:
            self._again(self)
