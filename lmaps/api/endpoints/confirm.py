"""Confirmation: a job takes effect if a person or its probe confirms it in time, and is undone otherwise.

The deadline is a column of the job, committed before its handler starts: it holds even if every process dies.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lmaps.api import job_queue
from lmaps.api.arguments import UnitName, Write, argument, arguments
from lmaps.api.context import Invocation, ManagerState
from lmaps.api.endpoint import endpoint
from lmaps.api.endpoints import history
from lmaps.errors import Conflict
from lmaps.model.states import ENDED, ChangesetKind, ConfirmationState, Door, JobKind, JobState
from lmaps.protocol import Reply
from lmaps.store import Job, Origin, Transaction
from lmaps.util import times
from lmaps.util.failpoints import failpoint
from lmaps.util.jsonio import JsonObject

MAX_UNDOS = 3
"""An undo whose run is interrupted is run again, up to this number of runs in all."""


@arguments
class Confirm(Write):
    """The arguments of confirm."""

    unit: UnitName
    rollback: bool = argument(default=False, doc="Undo the job now instead of confirming it.")

    @property
    def is_allowed_unconfirmed(self) -> bool:
        """Always True: this request confirms or undoes the job that waits."""
        return True


@endpoint("confirm", right="apply")
def confirm(ctx: Invocation, request: Confirm) -> Reply:
    """Confirm the job of a unit that waits for confirmation, or undo it now."""
    name = ctx.recorded_unit(request.unit).name
    waiting = [job for job in ctx.tx.jobs.unconfirmed(name) if job.confirmation == ConfirmationState.WAITING]
    if not waiting:
        raise Conflict(f"cannot confirm {name}: no job waits for confirmation", hint=f"lmaps jobs {name}")
    job = waiting[0]
    if job.state not in ENDED:
        raise Conflict(f"cannot confirm {name}: job {job.id} is still running", hint=f"lmaps attach {job.id}")
    if request.rollback:
        undo(ctx.manager, ctx.tx, job, ctx.origin)
        message = f"{name} goes back to r{job.previous_revision}"
    else:
        mark_confirmed(ctx.manager, ctx.tx, job)
        message = f"{name} r{job.revision} is confirmed"
    view = job_queue.view(ctx, ctx.tx.jobs.find(job.id) or job)
    return Reply(message, extra={"job": view.to_json()}, revision=ctx.tx.history.newest_revision(name))


def arm(tx: Transaction, job: Job) -> JsonObject:
    """Return the confirmation columns of a job that starts now and has to be confirmed.

    A job of the unit that still waits for confirmation is marked as ``rearmed``. The new job takes over the revision to
    which it would have gone back.
    """
    unconfirmed = tx.jobs.unconfirmed(job.unit)
    waiting = [other for other in unconfirmed if other.confirmation == ConfirmationState.WAITING and other.id != job.id]
    for other in waiting:
        tx.jobs.update(other.id, confirmation=ConfirmationState.REARMED)
    failpoint("confirm.armed")
    timeout_s = job.confirm_within or 0
    return {
        "confirmation": ConfirmationState.WAITING,
        "previous_revision": waiting[-1].previous_revision if waiting else tx.jobs.applied_revision(job.unit),
        "confirm_deadline": times.format_time(datetime.now(UTC) + timedelta(seconds=timeout_s)),
        "confirm_boot_deadline": int((time.clock_gettime(time.CLOCK_BOOTTIME) + timeout_s) * 1000),
        "host_boot": host_boot(),
    }


def host_boot() -> str:
    """Return the ID that the kernel gave to this start of the host."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def seconds_left(job: Job) -> float:
    """Return the seconds until a job's deadline.

    They are counted on CLOCK_BOOTTIME. The wall clock, which somebody may set, is used only after a reboot.
    """
    if job.host_boot == host_boot() and job.confirm_boot_deadline is not None:
        return job.confirm_boot_deadline / 1000 - time.clock_gettime(time.CLOCK_BOOTTIME)
    return times.seconds_between(times.now(), job.confirm_deadline or times.now())


def mark_confirmed(manager: ManagerState, tx: Transaction, job: Job) -> None:
    """Record that a job is confirmed."""
    tx.jobs.update(job.id, confirmation=ConfirmationState.CONFIRMED, confirm_deadline=None)
    manager.signals.moved.add(job.id)


def undo(manager: ManagerState, tx: Transaction, job: Job, origin: Origin) -> None:
    """Record the previous state as a new changeset, and queue a job that applies it."""
    for waiting in tx.jobs.queued():
        if waiting.unit == job.unit:  # this queued job would apply the state that is being undone
            manager.signals.moved.update(tx.jobs.withdraw(waiting.id))
    target = job.previous_revision or 0
    edits = history.back_to(tx, job.unit, target)
    if edits:
        tx.changesets.record(job.unit, ChangesetKind.ROLLBACK, origin, edits, target)
    tx.jobs.update(job.id, confirmation=ConfirmationState.UNDOING, confirm_deadline=None)
    _apply_again(manager, tx, job, origin)


def _apply_again(manager: ManagerState, tx: Transaction, job: Job, origin: Origin) -> None:
    """Queue a job that applies the newest revision of the unit and thereby undoes ``job``."""
    revision = tx.history.newest_revision(job.unit) or 0
    tx.jobs.add(job.unit, JobKind.APPLY, revision, job.digest, origin, undoes=job.id)
    manager.signals.moved.add(job.id)
    manager.signals.queue_changed = True


def on_job_end(manager: ManagerState, tx: Transaction, number: int) -> None:
    """Act on the end of job ``number``.

    If the job waits for confirmation and has not succeeded, undo it. If it is an undo, record how the undo ended.
    """
    job = tx.jobs.find(number)
    if job is None:
        return
    if job.confirmation == ConfirmationState.WAITING and job.state != JobState.SUCCEEDED:
        undo(manager, tx, job, timer_origin(job, f"job {job.id} {job.state}"))
    if job.undoes is not None:
        _undo_ended(manager, tx, job, job.undoes)


def _undo_ended(manager: ManagerState, tx: Transaction, job: Job, undone: int) -> None:
    """Record how the undo of the job ``undone`` ended; an interrupted one is run again, up to `MAX_UNDOS`."""
    original = tx.jobs.find(undone)
    if original is None:
        return
    if job.state == JobState.INTERRUPTED and len(tx.jobs.undoing(job.unit, undone)) < MAX_UNDOS:
        _apply_again(manager, tx, original, timer_origin(original, f"again: job {job.id} was interrupted"))
        return
    succeeded = job.state == JobState.SUCCEEDED
    tx.jobs.update(undone, confirmation=ConfirmationState.UNDONE if succeeded else ConfirmationState.UNDO_FAILED)
    failpoint("confirm.undone")
    manager.signals.moved.add(undone)


def timer_origin(job: Job, message: str) -> Origin:
    """Return the origin of a change that the daemon makes by itself for the author of ``job``; ``message`` says why."""
    return Origin(job.author, job.on_behalf_of, Door.TIMER, message, job.ticket)
