"""Dispatch: which worker runs what. Jobs of the queue, and tasks that the manager itself needs.

A job is marked running, with slot, token and the daemon's boot id, before its worker hears of it; what a worker says
counts only under the token that its slot holds. So a job runs at most once, whoever dies.
"""

import logging
import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from lmaps.api.endpoints import confirm
from lmaps.api.registry import ManagerState, Slot
from lmaps.errors import LmapsError, MessageRefused
from lmaps.model.states import JobKind, JobState
from lmaps.process import STOP_GRACE_S
from lmaps.protocol.work import (
    Ack,
    Done,
    Hello,
    Lines,
    ManagerMessage,
    More,
    Part,
    Result,
    Run,
    Stop,
    encode,
)
from lmaps.store import Job, Origin, Page, Store, Transaction
from lmaps.transport.server import ServerSocket
from lmaps.util import times
from lmaps.util.failpoints import failpoint
from lmaps.util.jsonio import Encoded
from lmaps.util.logs import log_context

log = logging.getLogger(__name__)

RETRY = 1.0
"""Seconds after which what the disk refused is tried again."""

LOST = "the process that ran it is gone: it may have run in part"
AT_ONCE = 10_000
"""Instances that one message hands over, at most."""
TASK_WITHIN = 60.0
"""Seconds that a task of the manager's may take."""
EXIT_GRACE_S = 2.0
"""Seconds that a worker has to tell of an end, after its tool has had `STOP_GRACE_S`."""


class Task(NamedTuple):
    """A task that the manager itself wants run: what to run and whom to tell."""

    run: Run
    then: Callable[[Result], None]


class Dispatcher:
    """Knows the workers and gives them work."""

    def __init__(self, service: ManagerState, workers: ServerSocket, on_hello: Callable[[], None]) -> None:
        self.service = service
        self.draining = False
        self._workers = workers
        self._on_hello = on_hello
        self._waiting: deque[Task] = deque()
        self._running: dict[str, Task] = {}
        self._awaited: set[int] = set()
        self._to_stop: set[int] = set()
        self._overdue: set[int] = set()
        self._not_before = 0.0

    def recover(self, tx: Transaction) -> None:
        """At the manager's start: what ran under an earlier daemon is `interrupted`; else its worker will tell."""
        for job in tx.jobs.search(states=[JobState.RUNNING]):
            if job.boot_id != self.service.boot_id:
                self._interrupt(tx, job)
            else:
                self._awaited.add(job.id)

    def call(self, task: str, args: list[Any], kwargs: dict[str, Any], then: Callable[[Result], None]) -> None:
        """Have ``task`` run by the next idle worker, before any job."""
        self._waiting.append(Task(Run(secrets.token_hex(8), task, args, kwargs), then))

    @property
    def idle(self) -> bool:
        """Whether no worker runs anything, as far as all have said how it stands."""
        return not self._awaited and all(slot.token is None for slot in self.service.slots.values())

    @property
    def next_due(self) -> float:
        """When jobs are tried to be started again, or a worker is overdue (monotonic), infinity if there is neither."""
        again = self._not_before if self._not_before > time.monotonic() else math.inf
        return min([again, *(slot.due for slot in self.service.slots.values())])

    def overdue(self) -> Iterator[int]:
        """The slots whose worker should have told of an end by now: it hangs. Each is named once."""
        for slot in self.service.slots.values():
            if slot.due <= time.monotonic():
                slot.due = math.inf
                self._overdue.update([] if slot.job is None else [slot.job])
                yield slot.number

    def lose(self, pid: int) -> None:
        """A worker has died: its slot is given nothing until another one says hello."""
        for slot in self.service.slots.values():
            if slot.pid == pid:
                slot.gone, slot.due = True, math.inf

    def fill(self, store: Store) -> None:
        """Give idle workers what waits: tasks first, then the oldest jobs whose unit is free."""
        if time.monotonic() < self._not_before:
            return
        idle = deque(slot for _, slot in sorted(self.service.slots.items()) if slot.state == "idle")
        while idle and self._waiting:
            task = self._waiting.popleft()
            self._running[task.run.token] = task
            self._start(idle.popleft(), task.run, None, TASK_WITHIN)
        if not self.service.signals.queue_changed or not idle or self.draining:
            return
        try:
            with store.transaction() as tx:
                started = list(self._begin(tx, idle))
                if started:
                    failpoint("dispatch.before")
        except LmapsError as error:
            log.error("no job can be started: %s", error)
            self._not_before = time.monotonic() + RETRY
            return
        self.service.signals.queue_changed = False
        for slot, run, job in started:
            self._start(slot, run, job.id, self._longest(job))

    def _begin(self, tx: Transaction, idle: deque[Slot]) -> Iterator[tuple[Slot, Run, Job]]:
        """Mark as running as many queued jobs as there are idle workers and free units."""
        taken = {name for job in tx.jobs.search(states=[JobState.RUNNING]) for name in self._needs(job)}
        for job in tx.jobs.queued():
            if not idle:
                return
            if taken & self._needs(job):
                continue
            taken |= self._needs(job)
            slot = idle.popleft()
            yield slot, self._mark_running(tx, job, slot), job

    def _needs(self, job: Job) -> set[tuple[str, str]]:
        """What no two running jobs may share: the unit, and the locks that it names."""
        unit = self.service.units.units.get(job.unit)
        return {("unit", job.unit), *(("lock", name) for name in (unit.locks if unit else ()))}

    def _mark_running(self, tx: Transaction, job: Job, slot: Slot) -> Run:
        token = secrets.token_hex(8)
        unit = self.service.units.units.get(job.unit)
        revision = tx.history.newest_revision(job.unit) or 0
        page = tx.snapshots.page(job.unit, revision, 0, AT_ONCE)
        digest = unit.digest if unit else job.digest
        tx.jobs.update(
            job.id,
            state=JobState.RUNNING,
            revision=revision,
            digest=digest,
            boot_id=self.service.boot_id,
            slot=slot.number,
            pid=slot.pid,
            token=token,
            started_at=times.now(),
            **(confirm.arm(tx, job) if job.confirm_within is not None else {}),
        )
        return Run(
            token,
            job.kind,
            kwargs={
                "unit": job.unit,
                "digest": digest,
                "revision": revision,
                "job": job.id,
                "timeout": job.timeout,
                **_rows(page),
            },
            last=page.last,
        )

    def _longest(self, job: Job) -> float:
        """Seconds that a job may run, infinity if there is no limit."""
        unit = self.service.units.units.get(job.unit)
        limit = job.timeout if job.timeout is not None or unit is None else unit.timeout
        return math.inf if limit is None else limit

    def _start(self, slot: Slot, run: Run, job: int | None, longest: float) -> None:
        slot.token, slot.job = run.token, job
        slot.due = time.monotonic() + longest + STOP_GRACE_S + EXIT_GRACE_S
        if job is not None:
            self.service.signals.moved.add(job)
            failpoint("dispatch.after")
            with log_context(job=job, unit=run.kwargs["unit"], revision=run.kwargs["revision"], slot=slot.number):
                log.info("job started")
        self.say(slot.identity, run)
        if job is not None:
            failpoint("dispatch.sent")

    def say(self, identity: bytes, message: ManagerMessage) -> None:
        """Send ``message`` to the worker behind ``identity``; one that is gone is replaced, and says hello."""
        self._workers.send(identity, encode(message))

    def stop_jobs(self) -> None:
        """Have the jobs ended that were signalled; a worker that is not connected learns of it when it is again."""
        signalled, self.service.signals.to_stop = self.service.signals.to_stop, set()
        self._to_stop |= signalled
        for slot in self.service.slots.values():
            if slot.job in signalled and slot.token is not None:
                slot.due = min(slot.due, time.monotonic() + STOP_GRACE_S + EXIT_GRACE_S)
                self.say(slot.identity, Stop(slot.token))

    def _interrupt(self, tx: Transaction, job: Job) -> None:
        """Its process is gone. If the unit says so it is run once more, else people decide.

        A job that was to be confirmed, or that took one back, is seen to by its confirmation alone.
        """
        outcome = self._outcome(job)
        self.service.signals.moved.update(tx.jobs.end(job.id, state=outcome, error=LOST))
        self._to_stop.discard(job.id)
        self._overdue.discard(job.id)
        _log_end(job, outcome, None)
        confirm.ended(self.service, tx, job.id)
        unit = self.service.units.units.get(job.unit)
        plain = job.kind == JobKind.APPLY and job.repeats is None and job.undoes is None and job.confirm_within is None
        if unit is not None and unit.reruns and plain and outcome == JobState.INTERRUPTED:
            why = Origin(job.author, job.on_behalf_of, job.door, f"again: job {job.id} was interrupted", job.ticket)
            tx.jobs.add(job.unit, job.kind, job.revision, job.digest, why, timeout=job.timeout, repeats=job.id)
            self.service.signals.queue_changed = True

    def _outcome(self, job: Job) -> JobState:
        """What a job whose process is gone has come to."""
        if job.id not in self._overdue:
            return JobState.INTERRUPTED
        return JobState.CANCELLED if job.id in self._to_stop else JobState.TIMED_OUT

    def hello(self, tx: Transaction, identity: bytes, hello: Hello) -> Callable[[], None]:
        """A worker is there: adopt the job that it still runs; a job that its slot ran and it does not is lost."""
        slot = Slot(hello.slot, identity, hello.pid)
        for job in tx.jobs.search(states=[JobState.RUNNING]):
            if job.slot != hello.slot:
                continue
            self._awaited.discard(job.id)
            if job.token == hello.token:
                failpoint("adopt")
                slot.token, slot.job = job.token, job.id
                slot.due = time.monotonic() + self._longest(job) + STOP_GRACE_S + EXIT_GRACE_S
            else:
                self._interrupt(tx, job)
        known = slot.token is not None or hello.token in self._running

        def settle() -> None:
            self._forget(self.service.slots.get(hello.slot), hello.token)
            self.service.slots[hello.slot] = slot
            self.service.handlers = hello.handlers
            if hello.token is not None and not known:
                self.say(identity, Done(hello.token))
            elif slot.token is not None and slot.job in self._to_stop:
                self.say(identity, Stop(slot.token))
            self.service.signals.queue_changed = True
            self._on_hello()

        return settle

    def _forget(self, old: Slot | None, token: str | None) -> None:
        """Tell whoever waits for a task that died with its worker."""
        if old is not None and old.token is not None and old.token != token and old.token in self._running:
            self._running.pop(old.token).then(Result(old.token, JobState.INTERRUPTED, error=LOST))

    def more(self, tx: Transaction, identity: bytes, more: More) -> Callable[[], None]:
        """Hand over more of the state that a job runs with. Its time begins when it has all."""
        slot = self._slot(identity, more.token)
        job = tx.jobs.find(slot.job) if slot is not None and slot.job is not None else None
        if slot is None or job is None:
            return lambda: None
        page = tx.snapshots.page(job.unit, job.revision, more.after, AT_ONCE)
        slot.due = time.monotonic() + self._longest(job) + STOP_GRACE_S + EXIT_GRACE_S
        return lambda: self.say(identity, Part(more.token, more.after, _rows(page), page.last))

    def lines(self, tx: Transaction, identity: bytes, lines: Lines) -> Callable[[], None]:
        """Keep the lines that are new; those that came before are sent again after a reconnect."""
        slot = self._slot(identity, lines.token)
        if slot is not None and slot.job is not None:
            new = max(lines.first, tx.jobs.last_line(slot.job) + 1)
            tx.jobs.add_lines(slot.job, new, lines.lines[new - lines.first :])
            self.service.signals.moved.add(slot.job)
        return lambda: self.acknowledge(identity, lines)

    def acknowledge(self, identity: bytes, lines: Lines) -> None:
        """Tell the worker that it may forget these lines."""
        self.say(identity, Ack(lines.token, lines.first + len(lines.lines) - 1))

    def result(self, tx: Transaction, identity: bytes, result: Result) -> Callable[[], None]:
        """Keep how a job ended, or hand a task's value to whoever waits for it; the worker is idle then."""
        failpoint("result.recv")
        slot = self._slot(identity, result.token)
        job = tx.jobs.find(slot.job) if slot is not None and slot.job is not None else None
        if slot is not None and slot.job is not None:
            ended = tx.jobs.end(slot.job, state=result.state, rc=result.rc, summary=result.summary, error=result.error)
            self.service.signals.moved.update(ended)
            confirm.ended(self.service, tx, slot.job)
            self._to_stop.discard(slot.job)
            failpoint("result.before_commit")

        def settle() -> None:
            failpoint("result.after_commit")
            self.say(identity, Done(result.token))
            if job is not None:
                _log_end(job, result.state, result.rc)
            if slot is not None:
                slot.token, slot.job, slot.due = None, None, math.inf
            self.service.signals.queue_changed = True
            task = self._running.pop(result.token, None)
            if task is not None:
                task.then(result)

        return settle

    def _slot(self, identity: bytes, token: str) -> Slot | None:
        """The slot that speaks under the token it was given; None for a voice from the past."""
        slot = next((slot for slot in self.service.slots.values() if slot.identity == identity), None)
        if slot is None:
            raise MessageRefused("cannot hear a worker that has not said hello")
        return slot if slot.token == token else None


def _rows(page: Page) -> dict[str, Any]:
    """Instances as the tasks take them."""
    return {"given": Encoded.array(page.given), "completed": Encoded.array(page.completed)}


def _log_end(job: Job, state: str, rc: int | None) -> None:
    with log_context(job=job.id, unit=job.unit, revision=job.revision, state=state, rc=rc):
        log.info("job ended")
