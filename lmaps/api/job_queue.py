"""Jobs as endpoints need them: queue one, find the one that a request names, show it to its reader."""

from lmaps.api.arguments import Run
from lmaps.api.context import Invocation
from lmaps.api.unit_status import condition, misfits
from lmaps.errors import Busy, Conflict, NotFound, UnitUnusable
from lmaps.model.states import ENDED, UNCONFIRMED, ConfirmationState, JobKind, JobState, UnitCondition
from lmaps.model.units import Unit
from lmaps.protocol.views import JobView, RunningJob, UndoView
from lmaps.store import Job
from lmaps.util import times
from lmaps.util.failpoints import failpoint
from lmaps.util.jsonio import JsonObject
from lmaps.util.text import plural

_TAKEN_BACK = frozenset({ConfirmationState.UNDOING, ConfirmationState.UNDONE, ConfirmationState.UNDO_FAILED})
RETRY_AFTER_MS = 5000
"""When to ask again for a job that the queue had no place for."""
_COLUMNS = (
    "unit kind revision state rc summary error author on_behalf_of door message ticket "
    "queued_at started_at ended_at covered_by timeout repeats undoes confirmation confirm_deadline previous_revision"
).split()
"""The columns of a job that its readers see."""
_TAKE_SHOW = ("summary", "error", "author", "on_behalf_of", "door", "message", "ticket", "after")
"""What of a job only subjects with the right ``show`` on its unit see: who asked for it, why, and what it said."""


def queue(ctx: Invocation, unit: Unit, kind: JobKind = JobKind.APPLY, run: Run | None = None) -> Job:
    """Queue a new job of the unit, behind those that wait, and return it.

    A job that waits already, and is like the new one, will hand over the same state: it covers the new one. Raises
    `UnitUnusable` if stored instances no longer fit the unit, `Busy` if the queue is full.
    """
    if condition(ctx, unit.name) == UnitCondition.INVALID:
        raise UnitUnusable(
            f"cannot apply {unit.name}: stored instances no longer fit its schema",
            errors=misfits(ctx, unit),
            hint="set or delete them, or give the unit its old schema",
        )
    timeout = times.parse_duration(run.timeout) if run and run.timeout else None
    confirm_within = _confirm_within(ctx, unit, run)
    waiting = ctx.tx.jobs.queued()
    alike = (unit.name, kind, timeout, None)
    covering = [job.id for job in waiting if (job.unit, job.kind, job.timeout, job.confirm_within) == alike]
    if confirm_within is not None:  # its way back is its own
        covering = []
    _expect_room(ctx, 0 if covering else len(waiting))
    failpoint("job.before_enqueue")
    if covering:
        failpoint("job.coalesce")
    job = ctx.tx.jobs.add(
        unit.name,
        kind,
        ctx.tx.history.newest_revision(unit.name) or 0,
        unit.digest,
        ctx.origin,
        timeout=timeout,
        confirm_within=confirm_within,
        covered_by=covering[0] if covering else None,
    )
    failpoint("job.after_enqueue")
    return job


def _expect_room(ctx: Invocation, waiting: int) -> None:
    """Raise `Busy` if the queue has no place, or the subject may not take one more."""
    limits = ctx.manager.config.limits
    reason = None
    if waiting >= limits.queue:
        reason = f"{plural(waiting, 'job')} wait already (limits.queue)"
    elif ctx.is_bounded and ctx.tx.jobs.count_waiting(ctx.subject.name) >= limits.jobs:
        reason = f"{plural(limits.jobs, 'job')} of {ctx.subject.name} wait already (limits.jobs)"
    if reason:
        raise Busy(f"cannot queue the job: {reason}", extra={"retry_after_ms": RETRY_AFTER_MS})


def _confirm_within(ctx: Invocation, unit: Unit, run: Run | None) -> float | None:
    """Return the seconds within which the job has to be confirmed; there has to be a state to go back to."""
    if run is None or not run.confirm:
        return None
    if ctx.tx.jobs.applied_revision(unit.name) is None:
        raise Conflict(
            f"cannot apply {unit.name} with confirmation: it was never applied, so there is no state to go back to"
        )
    return times.parse_duration(run.confirm)


def find(ctx: Invocation, number: int) -> Job:
    """Return the job of this number; raise `NotFound` if there is none."""
    job = ctx.tx.jobs.find(number)
    if job is None:
        raise not_there(number)
    return job


def not_there(number: int) -> NotFound:
    """Return the error for a job that is not there."""
    return NotFound(f"there is no job {number}", hint="lmaps jobs lists them")


def is_over(job: Job) -> bool:
    """Return whether a job has ended, and is confirmed or undone if it was to be."""
    return job.state in ENDED and job.confirmation not in UNCONFIRMED


def shown(ctx: Invocation, row: JsonObject) -> JsonObject:
    """Return the view of a job, as data, with what the subject may see of it."""
    return row if ctx.may(row["unit"], "show") else row | dict.fromkeys(_TAKE_SHOW)


def view(ctx: Invocation, job: Job) -> JobView:
    """Return a job with what the subject may see of it."""
    covering = ctx.tx.jobs.find(job.covered_by) if job.covered_by is not None else None
    run = covering or job
    place, after, undone_by = None, None, None
    if job.confirmation in _TAKEN_BACK:
        undo = ctx.tx.jobs.undoing(job.unit, job.id)[0]
        undone_by = UndoView(undo.id, undo.revision, undo.state)
    if job.state == JobState.QUEUED:
        # Of other units only those count that the subject may know of.
        place = sum(
            other.id <= run.id for other in ctx.tx.jobs.queued() if other.id == run.id or ctx.may(other.unit, "list")
        )
        after = _running_before(ctx, run)
    fields = {name: getattr(job, name) for name in _COLUMNS} | {"after": after}
    if not ctx.may(job.unit, "show"):
        fields |= dict.fromkeys(_TAKE_SHOW)
    return JobView(job=job.id, **fields, outcome=run.state, over=is_over(job), place=place, undone_by=undone_by)


def _running_before(ctx: Invocation, job: Job) -> RunningJob | None:
    """Return the job of the same unit that runs now."""
    running = [other for other in ctx.tx.jobs.search(job.unit, [JobState.RUNNING]) if other.id != job.id]
    return RunningJob(running[0].id, running[0].author, running[0].started_at) if running else None
