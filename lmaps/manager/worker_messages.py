"""What workers send: each message is recorded in the database first, and acted on when that is durable."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from lmaps.api.registry import ManagerState, Slot
from lmaps.errors import LmapsError, MessageRefused
from lmaps.manager.dispatcher import LOST, PAGE_SIZE, RETRY_S, Dispatcher, EndedJob, document_lists
from lmaps.model.states import JobState
from lmaps.protocol.work import Ack, Done, Hello, Lines, ManagerMessage, More, Part, Result, Stop, WorkerMessage, decode
from lmaps.store import Transaction
from lmaps.transport.server import Incoming, ServerSocket
from lmaps.util.failpoints import failpoint

log = logging.getLogger(__name__)


class WorkerInbox:
    """Reads the workers' socket, and keeps the messages that could not be recorded until they can."""

    def __init__(self, workers: ServerSocket, messages: "WorkerMessages") -> None:
        self.deadline = math.inf
        """When a message is tried again (monotonic), infinity if none is kept."""
        self._workers = workers
        self._messages = messages
        self._kept: list[WorkerReport] = []

    def collect(self) -> Iterator["WorkerReport"]:
        """Yield a message that is to be tried again, else those that wait at the socket, up to a `Hello`.

        One is tried at a time, alone: it would fail again and again the group that it is part of.
        """
        if self._kept and time.monotonic() >= self.deadline:
            yield self._kept.pop(0)
            self.deadline = self.deadline if self._kept else math.inf
            return
        while (incoming := self._workers.receive()) is not None:
            try:
                # A worker limits its messages by their size: one has at most one value per byte.
                message = decode(incoming.body, nodes=len(incoming.body))
            except MessageRefused as refused:
                log.warning("a worker's message was dropped: %s", refused)
                continue
            if isinstance(message, WorkerMessage):
                yield WorkerReport(self, self._messages, incoming, message)
            if isinstance(message, Hello):
                return  # what the worker sends after it counts only when its slot is known, which is after the commit

    def keep(self, report: "WorkerReport") -> None:
        """Try once more in a while to record a message."""
        self._kept.append(report)
        self.deadline = time.monotonic() + RETRY_S


class Settlement(Protocol):
    """What is to be done when the record of a worker's message is durable."""

    def settle(self) -> None:
        """Do it."""


class WorkerReport:
    """One message of a worker, as part of a group."""

    def __init__(
        self, inbox: WorkerInbox, messages: "WorkerMessages", incoming: Incoming, message: WorkerMessage
    ) -> None:
        self._inbox = inbox
        self._messages = messages
        self._identity = incoming.identity
        self._message = message
        self._settlement: Settlement | None = None

    def run(self, tx: Transaction) -> None:
        """Record the message."""
        match self._message:
            case Hello() as hello:
                self._settlement = self._messages.on_hello(tx, self._identity, hello)
            case More() as more:
                self._settlement = self._messages.on_more(tx, self._identity, more)
            case Lines() as lines:
                self._settlement = self._messages.on_lines(tx, self._identity, lines)
            case Result() as result:
                self._settlement = self._messages.on_result(tx, self._identity, result)

    def settle(self) -> None:
        """Act on the message, and acknowledge it."""
        if self._settlement is not None:
            self._settlement.settle()

    def fail(self, error: LmapsError) -> None:
        """Give up output that cannot be recorded, report instances that cannot be read, try everything else again.

        A worker keeps what is not acknowledged, and sends it again after its next hello.
        """
        log.error("a worker's %s was not recorded: %s", self._message.kind, error)
        if isinstance(error, MessageRefused):
            return  # the sender has not said hello: it would be refused each time
        match self._message:
            case Lines() as lines:  # acknowledged as if it were stored: a full disk must not keep the job from ending
                self._messages.acknowledge(self._identity, lines).settle()
            case More() as more:
                self._messages.send(self._identity, Part(more.token, more.after, error=error.message))
            case _:
                self._inbox.keep(self)


class WorkerMessages:
    """Records what workers report. Each method returns what remains to be done after the commit."""

    def __init__(self, manager: ManagerState, dispatcher: Dispatcher, on_ready: Callable[[], None]) -> None:
        """``on_ready`` is called after the hello of a worker: its handlers are known then."""
        self.manager = manager
        self.dispatcher = dispatcher
        self.on_ready = on_ready
        self.send = dispatcher.send

    def on_hello(self, tx: Transaction, identity: bytes, hello: Hello) -> Settlement:
        """Adopt the job that a connected worker still runs, and end the one that it should run and does not."""
        slot = Slot(hello.slot, identity, hello.pid)
        lost = self.dispatcher.adopt(tx, slot, hello.token)
        return WorkerConnected(self, hello, slot, lost)

    def on_more(self, tx: Transaction, identity: bytes, more: More) -> Settlement | None:
        """Read more of the instances that a job runs with. Its time begins anew: it ends when it has them all."""
        slot = self._slot(identity, more.token)
        job = tx.jobs.find(slot.job) if slot is not None and slot.job is not None else None
        if slot is None or job is None:
            return None
        # At the job's revision: what was changed since the first page belongs to the next job.
        page = tx.snapshots.page(job.unit, job.revision, more.after, PAGE_SIZE)
        self.dispatcher.extend(slot, self.dispatcher.timeout_s(job))
        return Send(self.dispatcher, identity, Part(more.token, more.after, document_lists(page), page.last))

    def on_lines(self, tx: Transaction, identity: bytes, lines: Lines) -> Settlement:
        """Record the lines that are new: after a reconnect the worker sends again what was not acknowledged."""
        slot = self._slot(identity, lines.token)
        if slot is not None and slot.job is not None:
            first = max(lines.first, tx.jobs.last_line(slot.job) + 1)
            tx.jobs.add_lines(slot.job, first, lines.lines[first - lines.first :])
            self.manager.signals.moved.add(slot.job)
        return self.acknowledge(identity, lines)

    def acknowledge(self, identity: bytes, lines: Lines) -> Settlement:
        """Return the message that lets the worker forget these lines. Those of an unknown task it may forget too."""
        return Send(self.dispatcher, identity, Ack(lines.token, lines.first + len(lines.lines) - 1))

    def on_result(self, tx: Transaction, identity: bytes, result: Result) -> Settlement:
        """Record how a job ended. The worker is told, and becomes idle, only once that is durable."""
        failpoint("result.recv")
        slot, ended = self._slot(identity, result.token), None
        if slot is not None and slot.job is not None:
            job = tx.jobs.find(slot.job)
            self.dispatcher.end(
                tx, slot.job, state=result.state, rc=result.rc, summary=result.summary, error=result.error
            )
            ended = None if job is None else EndedJob(job, result.state, result.rc)
            failpoint("result.before_commit")
        return TaskEnded(self, identity, result, slot, ended)

    def _slot(self, identity: bytes, token: str) -> Slot | None:
        """Return the slot of the worker, None if the slot's task is not (or no longer) the one with this token.

        Raises `MessageRefused` if the worker has not said hello.
        """
        slot = next((slot for slot in self.manager.slots.values() if slot.identity == identity), None)
        if slot is None:
            raise MessageRefused("cannot take messages of a worker that has not said hello")
        return slot if slot.token == token else None


@dataclass(frozen=True, slots=True)
class Send:
    """A message to a worker."""

    dispatcher: Dispatcher
    identity: bytes
    message: ManagerMessage

    def settle(self) -> None:
        """Send it."""
        self.dispatcher.send(self.identity, self.message)


@dataclass(frozen=True, slots=True)
class WorkerConnected:
    """A worker has a slot; ``lost`` are jobs that died with an earlier worker of it."""

    messages: WorkerMessages
    hello: Hello
    slot: Slot
    lost: list[EndedJob]

    def settle(self) -> None:
        """Take the worker's slot into use."""
        manager, dispatcher, token = self.messages.manager, self.messages.dispatcher, self.hello.token
        for ended in self.lost:
            dispatcher.forget(ended)
        former = manager.slots.get(self.slot.number)
        if former is not None and former.token is not None and former.token != token:
            # A task of the manager's own is in no database: unless it is told, its caller waits for ever.
            dispatcher.finish_task(Result(former.token, JobState.INTERRUPTED, error=LOST))
        manager.slots[self.slot.number] = self.slot
        manager.handlers = self.hello.handlers
        if token is not None and self.slot.token is None and not dispatcher.is_running(token):
            # Its result is recorded, and only the acknowledgement was lost; or it is of nobody's interest any more.
            dispatcher.send(self.slot.identity, Done(token))
        elif self.slot.token is not None and self.slot.job in dispatcher.stopping:
            dispatcher.send(self.slot.identity, Stop(self.slot.token))  # it may not have got the first one
        manager.signals.queue_changed = True
        self.messages.on_ready()


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A worker's task is over; ``slot`` is None if it was not the one that the slot should run."""

    messages: WorkerMessages
    identity: bytes
    result: Result
    slot: Slot | None
    ended: EndedJob | None

    def settle(self) -> None:
        """Acknowledge the result, free the slot, and hand the result of a task to its caller."""
        failpoint("result.after_commit")
        dispatcher = self.messages.dispatcher
        dispatcher.send(self.identity, Done(self.result.token))
        if self.ended is not None:
            dispatcher.forget(self.ended)
        if self.slot is not None:
            self.slot.token, self.slot.job, self.slot.due = None, None, math.inf
        self.messages.manager.signals.queue_changed = True
        dispatcher.finish_task(self.result)
