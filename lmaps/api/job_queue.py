"""Jobs as endpoints need them: queue one, find the one that a request names, show it to its reader."""

from typing import Any

from lmaps.api.context import Invocation
from lmaps.api.unit_status import condition, misfits
from lmaps.errors import Busy, Conflict, NotFound, UnitUnusable
from lmaps.model.states import ENDED, UNCONFIRMED, ConfirmationState, JobKind, JobState, UnitCondition
from lmaps.model.units import Unit
from lmaps.store import Job
from lmaps.util import times
from lmaps.util.failpoints import failpoint
from lmaps.util.text import plural

_TAKEN_BACK = frozenset({ConfirmationState.UNDOING, ConfirmationState.UNDONE, ConfirmationState.UNDO_FAILED})
RETRY_AFTER_MS = 5000
"""When to ask again for a job that the queue had no place for."""


SHOWN = (
    "unit kind revision state rc summary error author on_behalf_of door message ticket "
    "queued_at started_at ended_at covered_by timeout repeats undoes confirmation confirm_deadline previous_revision"
).split()
"""The columns of a job that its readers see."""


def queue(call: Invocation, unit: Unit, kind: JobKind = JobKind.APPLY) -> Job:
    """A new job of the unit, behind those that wait; its options are the request's."""
    if condition(call, unit.name) == UnitCondition.INVALID:
        raise UnitUnusable(
            f"cannot apply {unit.name}: stored instances no longer fit its schema",
            errors=misfits(call, unit),
            hint="set or delete them, or give the unit its old schema",
        )
    within = _confirmation(call, unit)
    waiting = call.tx.jobs.queued()
    timeout = times.parse_duration(call.args["timeout"]) if call.args.get("timeout") else None
    alike = (unit.name, kind, timeout, None)
    covering = [each.id for each in waiting if (each.unit, each.kind, each.timeout, each.confirm_within) == alike]
    if within is not None:
        covering = []
    _expect_room(call, 0 if covering else len(waiting))
    failpoint("job.before_enqueue")
    if covering:
        failpoint("job.coalesce")
    job = call.tx.jobs.add(
        unit.name,
        kind,
        call.tx.history.newest_revision(unit.name) or 0,
        unit.digest,
        call.why,
        timeout=timeout,
        confirm_within=within,
        covered_by=covering[0] if covering else None,
    )
    failpoint("job.after_enqueue")
    return job


def _expect_room(call: Invocation, waiting: int) -> None:
    """There is a place in the queue, and the subject may take one more."""
    limits = call.manager.config.limits
    words = None
    if waiting >= limits.queue:
        words = f"{plural(waiting, 'job')} wait already (limits.queue)"
    elif call.is_bounded and call.tx.jobs.count_waiting(call.subject.name) >= limits.jobs:
        words = f"{plural(limits.jobs, 'job')} of {call.subject.name} wait already (limits.jobs)"
    if words:
        raise Busy(f"cannot queue: {words}", extra={"retry_after_ms": RETRY_AFTER_MS})


def _confirmation(call: Invocation, unit: Unit) -> float | None:
    """Seconds within which the job is to be confirmed; there has to be something to go back to."""
    if not call.args.get("confirm"):
        return None
    if call.tx.jobs.applied_revision(unit.name) is None:
        raise Conflict(f"cannot apply {unit.name} with confirmation: it was never applied, there is no way back")
    return times.parse_duration(call.args["confirm"])


def find(call: Invocation) -> Job:
    """The job that the request names; `NotFound` if there is none."""
    found = call.tx.jobs.find(call.args["job"])
    if found is None:
        raise not_there(call)
    return found


def not_there(call: Invocation) -> NotFound:
    """The error for a job that is not there."""
    return NotFound(f"cannot {call.verb}: there is no job {call.args['job']}", hint="lmaps jobs lists them")


def is_over(job: Job) -> bool:
    """Whether a job has ended, and is confirmed or undone if it was to be."""
    return job.state in ENDED and job.confirmation not in UNCONFIRMED


def told(call: Invocation, job: Job) -> dict[str, Any]:
    """A job as its reader sees it.

    ``outcome`` is the state of the run itself, whichever job it was; ``over`` says that nothing more will come of it.
    One that waits has its ``place`` in the queue, from 1, and the job that it waits for (``after``); one that was taken
    back says by which job (``undone_by``).
    """
    covering = call.tx.jobs.find(job.covered_by) if job.covered_by is not None else None
    row = {"job": job.id} | {name: getattr(job, name) for name in SHOWN}
    row |= {"outcome": (covering or job).state, "over": is_over(job), "place": None, "after": None, "undone_by": None}
    if job.confirmation in _TAKEN_BACK:
        by = call.tx.jobs.undoing(job.unit, job.id)[0]
        row["undone_by"] = {"job": by.id, "revision": by.revision, "state": by.state}
    if job.state == JobState.QUEUED:
        run = covering or job
        row["place"] = sum(1 for waiting in call.tx.jobs.queued() if waiting.id <= run.id)
        row["after"] = _before(call, run)
    return row


def _before(call: Invocation, job: Job) -> dict[str, Any] | None:
    """The job of the same unit that runs now."""
    running = [each for each in call.tx.jobs.search(job.unit, [JobState.RUNNING]) if each.id != job.id]
    if not running:
        return None
    return {"job": running[0].id, "author": running[0].author, "started_at": running[0].started_at}
