"""Confirmations: undoes in time what nobody has confirmed, and runs the probes that confirm by themselves.

Deadlines stand in the database, so they outlive every process. Here is only when to run next, and how often a probe
has passed: after a restart it begins to count again.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from lmaps.api.endpoints.confirm import mark_confirmed, seconds_left, timer_origin, undo
from lmaps.api.registry import ManagerState
from lmaps.errors import LmapsError
from lmaps.model.states import ENDED, ConfirmationState, JobState
from lmaps.protocol.work import Result
from lmaps.store import Job, Store, Transaction
from lmaps.util import times
from lmaps.util.failpoints import failpoint

log = logging.getLogger(__name__)

PASSES = 3
"""Passes of a probe in a row that confirm."""
PROBE_INTERVAL_S = 5.0
"""Time between two runs of a probe."""
RETRY_S = 1.0
"""After a write that the disk refused, wait so long before the next try."""

RunTask = Callable[[str, list[Any], dict[str, Any], Callable[[Result], None]], None]


@dataclass(slots=True)
class Waiting:
    """A job that waits for confirmation. Times are monotonic.

    due        when it is undone
    probing    whether its probe has begun to run
    probed_at  when the probe runs next: infinity before the job has ended, and while the probe runs
    passes     how often in a row the probe has passed
    note       how the probe went last, if the job's output does not say it yet
    """

    due: float
    probing: bool = False
    probed_at: float = math.inf
    passes: int = 0
    note: str | None = None

    def is_due(self, now: float) -> bool:
        """Whether there is something to do for the job."""
        return self.due <= now or self.probed_at <= now or self.note is not None


class Confirmations:
    """Looks after the jobs that wait for confirmation. ``run_task`` has a worker run a task."""

    def __init__(self, manager: ManagerState, run_task: RunTask) -> None:
        self.deadline = math.inf
        """When to run next (monotonic), infinity if nothing waits."""
        self._manager = manager
        self._run_task = run_task
        self._waiting: dict[int, Waiting] = {}

    def load(self, tx: Transaction) -> None:
        """Read which jobs wait now."""
        now = time.monotonic()
        jobs = [job for job in tx.jobs.unconfirmed() if job.confirmation == ConfirmationState.WAITING]
        former, self._waiting = self._waiting, {}
        for job in jobs:
            waiting = self._waiting[job.id] = former.get(job.id) or Waiting(now + seconds_left(job))
            if not waiting.probing and job.state in ENDED and self._has_probe(job):
                waiting.probing, waiting.probed_at = True, now
        self._schedule()

    def run_once(self, store: Store) -> None:
        """Undo what was not confirmed in time, confirm what has passed its probe, run the probes that are due."""
        now = time.monotonic()
        acting = [number for number, waiting in self._waiting.items() if waiting.is_due(now)]
        try:
            with store.transaction() as tx:
                for number in acting:
                    self._act(tx, number, now)
                self.load(tx)
        except LmapsError as error:
            log.error("a confirmation cannot be recorded: %s", error)
            self.deadline = now + RETRY_S

    def _schedule(self) -> None:
        waiting = self._waiting.values()
        self.deadline = min((min(job.due, job.probed_at) for job in waiting), default=math.inf)

    def _act(self, tx: Transaction, number: int, now: float) -> None:
        job, waiting = tx.jobs.find(number), self._waiting[number]
        if job is None or job.confirmation != ConfirmationState.WAITING:
            return
        if waiting.note is not None:
            self._add_note(tx, job, waiting.note)
            waiting.note = None
        if waiting.passes >= PASSES:
            mark_confirmed(self._manager, tx, job)
        elif waiting.due <= now:
            failpoint("confirm.due")
            undo(self._manager, tx, job, timer_origin(job, f"job {job.id} was not confirmed"))
        elif waiting.probed_at <= now:
            waiting.probed_at = math.inf  # a probe that takes longer than the interval must not run twice at once
            waiting.probing = self._has_probe(job)
            if waiting.probing:
                failpoint("confirm.probe")
                digest = self._manager.units.units[job.unit].digest
                self._run_task("probe", [job.unit, digest], {}, partial(self._on_probe, number))

    def _has_probe(self, job: Job) -> bool:
        unit = self._manager.units.units.get(job.unit)
        return unit is not None and bool(unit.probe)

    def _on_probe(self, number: int, result: Result) -> None:
        """Count how a probe went; its line is written by the next run, for this is called outside a transaction."""
        waiting = self._waiting.get(number)
        if waiting is None:
            return  # confirmed or undone meanwhile
        passed = result.state == JobState.SUCCEEDED
        waiting.passes = waiting.passes + 1 if passed else 0
        how = "passed" if passed else f"failed ({result.error})" if result.rc is None else f"failed (exit {result.rc})"
        waiting.note = f"probe {how}, {waiting.passes} of {PASSES}"
        waiting.probed_at = time.monotonic() + PROBE_INTERVAL_S
        self.deadline = 0.0

    def _add_note(self, tx: Transaction, job: Job, text: str) -> None:
        line = {"at": times.now(), "stream": "note", "text": text}
        tx.jobs.add_lines(job.id, tx.jobs.last_line(job.id) + 1, [line])
        self._manager.signals.moved.add(job.id)
