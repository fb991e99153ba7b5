"""Confirmations: sees to deadlines and probes of jobs that are to be confirmed.

What counts stands in the database. Here is only when to look next, and how often a probe has passed.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from lmaps.api.endpoints.confirm import keep, left, timer, undo
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
EVERY = 5.0
"""Seconds between two runs of a probe."""
RETRY = 1.0
"""Seconds after which what the disk refused is tried again."""

RunTask = Callable[[str, list[Any], dict[str, Any], Callable[[Result], None]], None]


@dataclass(slots=True)
class Waiting:
    """A job that waits: until when (monotonic), and how its probe stands; ``news`` is not yet told.

    ``probed_at`` is when the probe runs next: infinity before the job has ended, and while the probe runs.
    """

    due: float
    probing: bool = False
    probed_at: float = math.inf
    passes: int = 0
    news: str | None = None


class Confirmations:
    """Looks after the jobs that wait for confirmation. ``run_task`` has a worker run a task."""

    def __init__(self, service: ManagerState, run_task: RunTask) -> None:
        self.service = service
        self._run_task = run_task
        self._waiting: dict[int, Waiting] = {}
        self._not_before = 0.0

    @property
    def next_due(self) -> float:
        """When to turn next (monotonic), infinity if nothing waits."""
        due = min((min(each.due, each.probed_at) for each in self._waiting.values()), default=math.inf)
        return max(due, self._not_before)

    def look(self, tx: Transaction) -> None:
        """See which jobs wait now."""
        now = time.monotonic()
        waiting = [job for job in tx.jobs.unconfirmed() if job.confirmation == ConfirmationState.WAITING]
        known, self._waiting = self._waiting, {}
        for job in waiting:
            each = self._waiting[job.id] = known.get(job.id) or Waiting(now + left(job))
            if not each.probing and job.state in ENDED and self._has_probe(job):
                each.probing, each.probed_at = True, now

    def turn(self, store: Store, *, moved: bool) -> None:
        """Undo what was not confirmed in time, confirm what has passed its probe, run the probes that are due."""
        now = time.monotonic()
        acting = [
            number for number, each in self._waiting.items() if each.due <= now or each.news or each.probed_at <= now
        ]
        if (not moved and not acting) or now < self._not_before:
            return
        try:
            with store.transaction() as tx:
                for number in acting:
                    self._see_to(tx, number, now)
                self.look(tx)
        except LmapsError as error:
            log.error("a confirmation cannot be seen to: %s", error)
            self._not_before = now + RETRY

    def _see_to(self, tx: Transaction, number: int, now: float) -> None:
        job, each = tx.jobs.find(number), self._waiting[number]
        if job is None or job.confirmation != ConfirmationState.WAITING:
            return
        if each.news is not None:
            self._tell(tx, job, each.news)
            each.news = None
        if each.passes >= PASSES:
            keep(self.service, tx, job)
        elif each.due <= now:
            failpoint("confirm.due")
            undo(self.service, tx, job, timer(job, f"job {job.id} was not confirmed"))
        elif each.probed_at <= now:
            each.probed_at = math.inf
            each.probing = self._has_probe(job)
            if each.probing:
                failpoint("confirm.probe")
                digest = self.service.units.units[job.unit].digest
                self._run_task("probe", [job.unit, digest], {}, partial(self._probed, number))

    def _has_probe(self, job: Job) -> bool:
        unit = self.service.units.units.get(job.unit)
        return unit is not None and bool(unit.probe)

    def _probed(self, number: int, result: Result) -> None:
        each = self._waiting.get(number)
        if each is None:
            return
        passed = result.state == JobState.SUCCEEDED
        each.passes = each.passes + 1 if passed else 0
        how = "passed" if passed else f"failed ({result.error})" if result.rc is None else f"failed (exit {result.rc})"
        each.news = f"probe {how}, {each.passes} of {PASSES}"
        each.probed_at = time.monotonic() + EVERY

    def _tell(self, tx: Transaction, job: Job, text: str) -> None:
        line = {"at": times.now(), "stream": "note", "text": text}
        tx.jobs.add_lines(job.id, tx.jobs.last_line(job.id) + 1, [line])
        self.service.signals.moved.add(job.id)
