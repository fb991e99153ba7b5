"""Dispatch: which worker runs what. Jobs of the queue, and tasks that the manager itself needs.

A job is durably marked as running, with slot, token and the daemon's boot id, before its worker hears of it, and a
worker's messages count only under the token that its slot holds: so a job runs at most once, whichever process dies.
"""

import logging
import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from lmaps.api.documents import former_secrets, older_texts
from lmaps.api.endpoints import confirm
from lmaps.api.registry import ManagerState, Slot
from lmaps.errors import LmapsError
from lmaps.model.states import JobKind, JobState
from lmaps.process import STOP_GRACE_S
from lmaps.protocol.work import ManagerMessage, Result, Run, Stop, encode
from lmaps.store import Job, Origin, Page, Store, Transaction
from lmaps.transport.server import ServerSocket
from lmaps.util import times
from lmaps.util.failpoints import failpoint
from lmaps.util.jsonio import Encoded, JsonObject
from lmaps.util.logs import log_context

log = logging.getLogger(__name__)

RETRY_S = 1.0
"""After a write that the disk refused, wait so long before the next try."""
PAGE_SIZE = 10_000
"""Instances that one message hands over at most: one of all would block the loop while it is made."""
TASK_TIMEOUT_S = 60.0
"""How long a task of the manager's own may take."""
EXIT_GRACE_S = 2.0
"""How long a worker may take to report the end of its tool, after the tool has had `STOP_GRACE_S`."""

LOST = "the process that ran it is gone: it may have run in part"


class Task(NamedTuple):
    """A task that the manager itself has run; ``on_result`` is called with what came of it."""

    run: Run
    on_result: Callable[[Result], None]


class EndedJob(NamedTuple):
    """A job whose end was recorded, in which state and with which exit code."""

    job: Job
    state: str
    rc: int | None = None


class StartedJob(NamedTuple):
    """A job that was marked as running, for the worker of this slot."""

    slot: Slot
    run: Run
    job: Job


class Dispatcher:
    """Knows what each worker runs, and gives idle workers work."""

    def __init__(self, manager: ManagerState, workers: ServerSocket) -> None:
        self.draining = False
        self.stopping: set[int] = set()
        """Jobs to be ended before their time, until they have ended: their worker may have to be told once more."""
        self._manager = manager
        self._workers = workers
        self._waiting: deque[Task] = deque()
        self._running: dict[str, Task] = {}
        self._unreported: set[int] = set()
        self._overdue: set[int] = set()
        self._not_before = 0.0

    def recover(self, tx: Transaction) -> None:
        """At the manager's start, end the jobs that an earlier daemon has left running.

        Jobs of this daemon go on: only the manager was replaced, and their workers will say so (`adopt`).
        """
        for job in tx.jobs.search(states=[JobState.RUNNING]):
            if job.boot_id != self._manager.boot_id:
                log_end(self.interrupt(tx, job))
            else:
                self._unreported.add(job.id)

    def call(self, task: str, args: list[Any], kwargs: dict[str, Any], on_result: Callable[[Result], None]) -> None:
        """Have ``task`` run by the next idle worker, before any job."""
        self._waiting.append(Task(Run(secrets.token_hex(8), task, args, kwargs), on_result))

    @property
    def idle(self) -> bool:
        """Whether no worker runs anything. False while it is unknown, after a restart of the manager."""
        return not self._unreported and all(slot.token is None for slot in self._manager.slots.values())

    @property
    def deadline(self) -> float:
        """When jobs are to be started again, or a worker is overdue (monotonic); infinity if there is neither."""
        retry = self._not_before if self._not_before > time.monotonic() else math.inf
        return min([retry, *(slot.due for slot in self._manager.slots.values())])

    def take_overdue(self) -> Iterator[int]:
        """Yield, once, the number of each slot whose worker should have reported an end by now: it hangs."""
        for slot in self._manager.slots.values():
            if slot.due <= time.monotonic():
                slot.due = math.inf
                self._overdue.update([] if slot.job is None else [slot.job])
                yield slot.number

    def on_worker_death(self, pid: int) -> None:
        """Give the worker's slot nothing until another one has connected.

        Its job is ended then, not now: what the worker had sent before it died may still be in the socket.
        """
        for slot in self._manager.slots.values():
            if slot.pid == pid:
                slot.gone, slot.due = True, math.inf

    def assign_jobs(self, store: Store) -> None:
        """Give idle workers what waits: tasks first, then the oldest jobs whose unit is free."""
        signals = self._manager.signals
        if not (self._waiting or signals.queue_changed) or time.monotonic() < self._not_before:
            return
        idle = deque(slot for _, slot in sorted(self._manager.slots.items()) if slot.state == "idle")
        while idle and self._waiting:
            task = self._waiting.popleft()
            self._running[task.run.token] = task
            self._start(idle.popleft(), task.run, None, TASK_TIMEOUT_S)
        if not signals.queue_changed or not idle or self.draining:
            return
        try:
            with store.transaction() as tx:
                started = list(self._begin(tx, idle))
                if started:
                    failpoint("dispatch.before")
        except LmapsError as error:
            log.error("no job can be started: %s", error)
            self._not_before = time.monotonic() + RETRY_S
            return
        signals.queue_changed = False
        # Only now, when the jobs are durably running: a worker that was sent one whose mark is then lost would run it,
        # and so would the next one.
        for slot, run, job in started:
            self._start(slot, run, job.id, self.timeout_s(job))

    def _begin(self, tx: Transaction, idle: deque[Slot]) -> Iterator[StartedJob]:
        """Mark as running as many queued jobs as there are idle workers and free units."""
        taken = {name for job in tx.jobs.search(states=[JobState.RUNNING]) for name in self._locks(job)}
        for job in tx.jobs.queued():
            if not idle:
                return
            locks = self._locks(job)
            if taken & locks:
                continue  # it keeps its place; younger jobs of free units need not wait for it
            taken |= locks
            slot = idle.popleft()
            yield StartedJob(slot, self._mark_running(tx, job, slot), job)

    def _locks(self, job: Job) -> set[tuple[str, str]]:
        """Return what no two running jobs may share: the unit, and the locks that it names."""
        unit = self._manager.units.units.get(job.unit)
        return {("unit", job.unit), *(("lock", name) for name in (unit.locks if unit else ()))}

    def _mark_running(self, tx: Transaction, job: Job, slot: Slot) -> Run:
        """Record that the job runs, and return the message for its worker."""
        token = secrets.token_hex(8)
        unit = self._manager.units.units.get(job.unit)
        # The state of now, not of when the job was queued: that is why a job covers those that were queued after it.
        revision = tx.history.newest_revision(job.unit) or 0
        page = tx.snapshots.page(job.unit, revision, 0, PAGE_SIZE)
        digest = unit.digest if unit else job.digest
        tx.jobs.update(
            job.id,
            state=JobState.RUNNING,
            revision=revision,
            digest=digest,
            boot_id=self._manager.boot_id,
            slot=slot.number,
            pid=slot.pid,
            token=token,
            started_at=times.now(),
            **(confirm.arm(tx, job) if job.confirm_within is not None else {}),
        )
        kwargs = {
            "unit": job.unit,
            "digest": digest,
            "revision": revision,
            "job": job.id,
            "timeout": job.timeout,
            "older_texts": older_texts(tx, unit) if unit else {},
            **document_lists(page),
        }
        if unit is not None and (former := former_secrets(tx, unit)):
            kwargs["former_secrets"] = former
        return Run(token, job.kind, kwargs=kwargs, last=page.last)

    def timeout_s(self, job: Job) -> float:
        """Return how many seconds a job may run, infinity if there is no limit."""
        unit = self._manager.units.units.get(job.unit)
        timeout = job.timeout if job.timeout is not None or unit is None else unit.timeout
        return math.inf if timeout is None else timeout

    def extend(self, slot: Slot, timeout_s: float) -> None:
        """Have the slot's task end within so many seconds from now; its worker itself ends the tool then."""
        slot.due = time.monotonic() + timeout_s + STOP_GRACE_S + EXIT_GRACE_S

    def _start(self, slot: Slot, run: Run, job: int | None, timeout_s: float) -> None:
        slot.token, slot.job = run.token, job
        self.extend(slot, timeout_s)
        if job is not None:
            self._manager.signals.moved.add(job)
            failpoint("dispatch.after")
            with log_context(job=job, unit=run.kwargs["unit"], revision=run.kwargs["revision"], slot=slot.number):
                log.info("job started")
        self.send(slot.identity, run)
        if job is not None:
            failpoint("dispatch.sent")

    def send(self, identity: bytes, message: ManagerMessage) -> None:
        """Send ``message`` to the worker behind ``identity``; one that is gone loses it, and its successor connects."""
        self._workers.send(identity, encode(message))

    def stop_jobs(self) -> None:
        """Have the workers of the jobs that are signalled end them."""
        signalled, self._manager.signals.to_stop = self._manager.signals.to_stop, set()
        self.stopping |= signalled
        for slot in self._manager.slots.values():
            if slot.job in signalled and slot.token is not None:
                slot.due = min(slot.due, time.monotonic() + STOP_GRACE_S + EXIT_GRACE_S)
                self.send(slot.identity, Stop(slot.token))

    def adopt(self, tx: Transaction, slot: Slot, token: str | None) -> list[EndedJob]:
        """Compare the running jobs of a slot with ``token``, of the task that its worker says it runs.

        A job with this token goes on: the manager was restarted, or the connection lost. A job with another one has
        died with an earlier worker of the slot, and is ended and returned.
        """
        lost = []
        for job in tx.jobs.search(states=[JobState.RUNNING]):
            if job.slot != slot.number:
                continue
            self._unreported.discard(job.id)
            if job.token == token:
                failpoint("adopt")
                slot.token, slot.job = job.token, job.id
                self.extend(slot, self.timeout_s(job))
            else:
                lost.append(self.interrupt(tx, job))
        return lost

    def interrupt(self, tx: Transaction, job: Job) -> EndedJob:
        """End a job whose process is gone; queue it once more if its unit allows that, else people decide.

        A job that was to be confirmed, or that undoes one, is not queued again: its confirmation decides what follows.
        """
        outcome = self._outcome(job)
        self.end(tx, job.id, state=outcome, error=LOST)
        unit = self._manager.units.units.get(job.unit)
        plain = job.kind == JobKind.APPLY and job.repeats is None and job.undoes is None and job.confirm_within is None
        if unit is not None and unit.reruns and plain and outcome == JobState.INTERRUPTED:
            origin = Origin(job.author, job.on_behalf_of, job.door, f"again: job {job.id} was interrupted", job.ticket)
            tx.jobs.add(job.unit, job.kind, job.revision, job.digest, origin, timeout=job.timeout, repeats=job.id)
            self._manager.signals.queue_changed = True
        return EndedJob(job, outcome)

    def _outcome(self, job: Job) -> JobState:
        """Return the final state of a job whose process is gone."""
        if job.id not in self._overdue:
            return JobState.INTERRUPTED
        # Its worker was replaced because it hung: the job was not interrupted by chance, it is over.
        return JobState.CANCELLED if job.id in self.stopping else JobState.TIMED_OUT

    def end(self, tx: Transaction, job: int, **columns: object) -> None:
        """Record the end of a running job, of those that it covers, and what follows for its confirmation."""
        self._manager.signals.moved.update(tx.jobs.end(job, **columns))
        confirm.on_job_end(self._manager, tx, job)

    def forget(self, ended: EndedJob) -> None:
        """Drop what is remembered of a job, and log its end.

        To be called after the commit: if the group is undone and run again, the second run needs the same answers.
        """
        self.stopping.discard(ended.job.id)
        self._overdue.discard(ended.job.id)
        log_end(ended)

    def is_running(self, token: str | None) -> bool:
        """Whether ``token`` is that of a task of the manager's own."""
        return token in self._running

    def finish_task(self, result: Result) -> None:
        """Hand the result to whoever has called for the task; the result of a job is handed to nobody."""
        task = self._running.pop(result.token, None)
        if task is not None:
            task.on_result(result)


def document_lists(page: Page) -> JsonObject:
    """Return instances as the tasks take them: lists ``given`` and ``completed``, of JSON text as it is stored.

    The list ``definitions`` has the numbers of the unit texts that they were completed under.
    """
    return {
        "given": Encoded.array(page.clear_given),
        "completed": Encoded.array(page.clear_completed),
        "definitions": list(page.definitions),
    }


def log_end(ended: EndedJob) -> None:
    """Log the end of a job."""
    job = ended.job
    with log_context(job=job.id, unit=job.unit, revision=job.revision, state=ended.state, rc=ended.rc):
        log.info("job ended")
