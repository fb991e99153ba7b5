"""Confirmation: a job that is kept when somebody, or its probe, says so in time, and undone otherwise.

The deadline is a column of the job, committed before its handler starts: it outlives every process.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lmaps.api import job_queue
from lmaps.api.context import Invocation, ManagerState
from lmaps.api.endpoints import history
from lmaps.errors import Conflict
from lmaps.model.states import ENDED, ChangesetKind, ConfirmationState, Door, JobKind, JobState
from lmaps.protocol import Reply
from lmaps.store import Job, Origin, Transaction
from lmaps.util import times
from lmaps.util.failpoints import failpoint

TRIES = 3
"""How often an undo is begun when it is interrupted."""


def confirm(call: Invocation) -> Reply:
    """Keep what waits for confirmation, or undo it now."""
    name = call.kept_unit.name
    found = [job for job in call.tx.jobs.unconfirmed(name) if job.confirmation == ConfirmationState.WAITING]
    if not found:
        raise Conflict(f"cannot confirm {name}: nothing of it waits for confirmation", hint=f"lmaps jobs {name}")
    job = found[0]
    if job.state not in ENDED:
        raise Conflict(f"cannot confirm {name}: job {job.id} still runs", hint=f"lmaps attach {job.id}")
    if call.args["rollback"]:
        undo(call.manager, call.tx, job, call.why)
        message = f"{name} goes back to r{job.previous_revision}"
    else:
        keep(call.manager, call.tx, job)
        message = f"{name} r{job.revision} is confirmed"
    told = job_queue.told(call, call.tx.jobs.find(job.id) or job)
    return Reply(message, extra={"job": told}, revision=call.tx.history.newest_revision(name))


def arm(tx: Transaction, job: Job) -> dict[str, Any]:
    """The columns of a job that starts and is to be confirmed; one that waited until now hands over its way back."""
    waiting = [
        each
        for each in tx.jobs.unconfirmed(job.unit)
        if each.confirmation == ConfirmationState.WAITING and each.id != job.id
    ]
    for each in waiting:
        tx.jobs.update(each.id, confirmation=ConfirmationState.REARMED)
    failpoint("confirm.armed")
    within = job.confirm_within or 0
    return {
        "confirmation": ConfirmationState.WAITING,
        "previous_revision": waiting[-1].previous_revision if waiting else tx.jobs.applied_revision(job.unit),
        "confirm_deadline": times.format_time(datetime.now(UTC) + timedelta(seconds=within)),
        "confirm_boot_deadline": int((time.clock_gettime(time.CLOCK_BOOTTIME) + within) * 1000),
        "host_boot": host_boot(),
    }


def host_boot() -> str:
    """What names this start of the host."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def left(job: Job) -> float:
    """Seconds until a job's deadline; the clock of the wall counts only after the host was started anew."""
    if job.host_boot == host_boot() and job.confirm_boot_deadline is not None:
        return job.confirm_boot_deadline / 1000 - time.clock_gettime(time.CLOCK_BOOTTIME)
    return times.seconds_between(times.now(), job.confirm_deadline or times.now())


def keep(manager: ManagerState, tx: Transaction, job: Job) -> None:
    """It is confirmed."""
    tx.jobs.update(job.id, confirmation=ConfirmationState.CONFIRMED, confirm_deadline=None)
    manager.signals.moved.add(job.id)


def undo(manager: ManagerState, tx: Transaction, job: Job, why: Origin) -> None:
    """Bring the previous state back, and have it applied."""
    for each in tx.jobs.queued():
        if each.unit == job.unit:
            manager.signals.moved.update(tx.jobs.withdraw(each.id))
    before = job.previous_revision or 0
    edits = history.back_to(tx, job.unit, before)
    if edits:
        tx.changesets.record(job.unit, ChangesetKind.ROLLBACK, why, edits, before)
    tx.jobs.update(job.id, confirmation=ConfirmationState.UNDOING, confirm_deadline=None)
    _apply_again(manager, tx, job, why)


def _apply_again(manager: ManagerState, tx: Transaction, job: Job, why: Origin) -> None:
    revision = tx.history.newest_revision(job.unit) or 0
    tx.jobs.add(job.unit, JobKind.APPLY, revision, job.digest, why, undoes=job.id)
    manager.signals.moved.add(job.id)
    manager.signals.queue_changed = True


def ended(manager: ManagerState, tx: Transaction, number: int) -> None:
    """A job has ended: if it was to be confirmed and failed, or took another one back, the rest follows."""
    job = tx.jobs.find(number)
    if job is None:
        return
    if job.confirmation == ConfirmationState.WAITING and job.state != JobState.SUCCEEDED:
        undo(manager, tx, job, timer(job, f"job {job.id} {job.state}"))
    if job.undoes is not None:
        _undo_ended(manager, tx, job, job.undoes)


def _undo_ended(manager: ManagerState, tx: Transaction, job: Job, undone: int) -> None:
    original = tx.jobs.find(undone)
    if original is None:
        return
    if job.state == JobState.INTERRUPTED and len(tx.jobs.undoing(job.unit, undone)) < TRIES:
        _apply_again(manager, tx, original, timer(original, f"again: job {job.id} was interrupted"))
        return
    tx.jobs.update(
        undone,
        confirmation=ConfirmationState.UNDONE if job.state == JobState.SUCCEEDED else ConfirmationState.UNDO_FAILED,
    )
    failpoint("confirm.undone")
    manager.signals.moved.add(undone)


def timer(job: Job, message: str) -> Origin:
    """Why the daemon itself changes something: for whom, and what has happened."""
    return Origin(job.author, job.on_behalf_of, Door.TIMER, message, job.ticket)
