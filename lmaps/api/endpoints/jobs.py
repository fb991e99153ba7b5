"""Endpoints on jobs: apply, cancel, jobs, job, lines, wait."""

import math
import time
from collections.abc import Sequence
from typing import Annotated

from lmaps.api.arguments import (
    Documents,
    Duration,
    Limit,
    Milliseconds,
    Number,
    Run,
    Text,
    UnitName,
    Write,
    argument,
    arguments,
)
from lmaps.api.changes import JobOrder, Proposal
from lmaps.api.context import Deferred, Invocation
from lmaps.api.endpoint import endpoint
from lmaps.api.endpoints import instances
from lmaps.api.job_queue import find, is_over, view
from lmaps.api.revisions import resolve
from lmaps.model.schema.dataclasses import Keywords
from lmaps.model.states import ENDED, UNCONFIRMED, ConfirmationState, JobKind, JobState
from lmaps.protocol import Reply
from lmaps.store import Changeset, Job

_WAIT = "For how long the answer may be held back [ms]."


@arguments
class Apply(Write):
    """The arguments of apply."""

    unit: UnitName
    instances: Documents = argument(default=[], doc="Documents that are created first.")
    timeout: Duration | None = argument(default=None, doc="The job is ended after so long.")
    confirm: Duration | None = argument(default=None, doc="It is undone unless it is confirmed within so long.")

    @property
    def is_allowed_unconfirmed(self) -> bool:
        """Whether it takes over the way back of the job that waits for confirmation."""
        return bool(self.confirm)


class ApplyProposal(Proposal):
    """A job that is to be queued, after instances are created, if there are any."""

    __slots__ = ()

    def reply(self, ctx: Invocation, changesets: Sequence[Changeset | None], job: Job | None) -> Reply:
        """Return the answer: the job, and what became of the instances."""
        if job is None:
            raise TypeError("an apply is proposed with its job")
        created = super().reply(ctx, changesets, None).extra if changesets else {}
        extra = {"job": view(ctx, job).to_json()} | created
        return Reply(f"job {job.id}", extra=extra, revision=job.revision or None, job=job.id)


@endpoint("apply", right="apply", also={"instances": "create"})
def apply(ctx: Invocation, request: Apply) -> Proposal:
    """Queue a job that hands the unit's whole state to its handler; with ``instances`` create them first.

    One that waits already hands over the same state: then it covers this one, which ends as it does.
    """
    unit = ctx.usable_unit(request.unit)
    order = JobOrder(unit, JobKind.APPLY, Run(timeout=request.timeout, confirm=request.confirm))
    if not request.instances:
        return ApplyProposal("", job=order)
    create = instances.create(ctx, instances.Create(unit=unit.name, instances=request.instances))
    return ApplyProposal("", create.changes, create.rows, order)


@arguments
class Cancel:
    """The arguments of cancel."""

    job: Number = argument(doc="The job's number.")


@endpoint("cancel", right="cancel", audited=True)
def cancel(ctx: Invocation, request: Cancel) -> Reply | Deferred:
    """End a job: one that waits at once, one that runs when nothing of it is left."""
    job = find(ctx, request.job)
    if job.state in ENDED:
        return _cancelled(ctx, request)
    if job.state == JobState.QUEUED:
        ctx.manager.signals.moved.update(ctx.tx.jobs.withdraw(job.id))
        return _cancelled(ctx, request)
    ctx.manager.signals.to_stop.add(job.id)
    return Deferred(ctx, request, job.id, math.inf, _cancelled)


def _cancelled(ctx: Invocation, request: Cancel) -> Reply | Deferred:
    job = find(ctx, request.job)
    if job.state not in ENDED:
        return Deferred(ctx, request, job.id, math.inf, _cancelled)
    reason = f", {job.error.rpartition(', ')[2]}" if job.error and job.state == JobState.CANCELLED else ""
    return Reply(f"job {job.id} {job.state}{reason}", extra={"job": view(ctx, job).to_json()})


@arguments
class Jobs:
    """The arguments of jobs."""

    unit: UnitName | None = argument(default=None, doc="Only of this unit.")
    state: Text | None = argument(default=None, doc="Only in this state.")
    limit: Limit = argument(default=20, doc="At most so many.")


@endpoint("jobs", right="show", scope="some", action="list jobs")
def jobs(ctx: Invocation, request: Jobs) -> Reply:
    """List the newest jobs, of all units or of one, in all states or in one."""
    units = request.unit or ctx.units_with("show")
    rows = ctx.tx.jobs.search(units, [request.state] if request.state else None, request.limit)
    return Reply("", extra={"jobs": [view(ctx, row).to_json() for row in rows]})


@arguments
class JobStatus:
    """The arguments of job."""

    job: Number = argument(doc="The job's number.")
    wait_ms: Milliseconds = argument(default=0, doc=_WAIT)


@endpoint("job", right="show", action="show the job")
def job(ctx: Invocation, request: JobStatus) -> Reply | Deferred:
    """Show all that is known of one job; waits up to ``wait_ms`` for its end."""
    row = find(ctx, request.job)
    until = ctx.arrived + request.wait_ms / 1000
    if not is_over(row) and time.monotonic() < until:
        return Deferred(ctx, request, row.id, until, job)
    return Reply(f"job {row.id} {row.state}", extra={"job": view(ctx, row).to_json()})


@arguments
class Lines:
    """The arguments of lines."""

    job: Number = argument(doc="The job's number.")
    after: Number = argument(default=0, doc="Only what comes after this line.")
    limit: Limit = argument(default=1000, doc="At most so many lines.")
    wait_ms: Milliseconds = argument(default=0, doc=_WAIT)
    state: Text | None = argument(default=None, doc="Answer once the job is no longer in this state.")


@endpoint("lines", right="show", action="show the job's output")
def lines(ctx: Invocation, request: Lines) -> Reply | Deferred:
    """Show a job's output after a line; waits up to ``wait_ms`` for some, or until it is over or left ``state``."""
    row = find(ctx, request.job)
    running = row.covered_by or row.id
    output = ctx.tx.jobs.lines(running, request.after, request.limit + 1)
    until = ctx.arrived + request.wait_ms / 1000
    has_moved = request.state is not None and row.state != request.state
    if not output and not has_moved and not is_over(row) and time.monotonic() < until:
        return Deferred(ctx, request, running, until, lines)
    shown = [
        {"number": line.number, "at": line.at, "stream": line.stream, "text": line.text}
        | ({"event": line.event} if line.event else {})
        for line in output[: request.limit]
    ]
    extra = {"lines": shown, "job": view(ctx, row).to_json(), "more": len(output) > request.limit}
    return Reply("", extra=extra | {"last": ctx.tx.jobs.last_line(running)})


NEVER_LEVEL = 1
"""Level of the answer when what is waited for cannot become true by itself."""


@arguments
class Wait:
    """The arguments of wait."""

    unit: UnitName
    for_: Annotated[
        str, Keywords("What is waited for: applied, confirmed, or rev=REV.", pattern="^(applied|confirmed|rev=.+)$")
    ]
    wait_ms: Milliseconds = argument(default=0, doc=_WAIT)


@endpoint("wait", right="show", action="wait")
def wait(ctx: Invocation, request: Wait) -> Reply | Deferred:
    """Answer when it is true, when it cannot become true any more, or after ``wait_ms``: ``true`` is null then."""
    name, what = ctx.recorded_unit(request.unit).name, request.for_
    going = _going(ctx, name)
    done = _is_confirmed(ctx, name) if what == "confirmed" else _is_applied(ctx, name, what)
    until = ctx.arrived + request.wait_ms / 1000
    if done is None and going is not None:
        if time.monotonic() < until:
            return Deferred(ctx, request, going.id, until, wait)
        return Reply(f"{name} is not {what} yet", extra={"true": None})
    job = _last_confirmed(ctx, name) if what == "confirmed" else going
    extra = {"true": bool(done), "job": view(ctx, job).to_json() if job else None}
    if done:
        return Reply(f"{name} is {what}", extra=extra)
    return Reply(f"{name} does not become {what} by itself", level=NEVER_LEVEL, extra=extra)


def _going(ctx: Invocation, name: str) -> Job | None:
    """Return a job of the unit that something may still come of."""
    jobs = [*ctx.tx.jobs.unconfirmed(name), *ctx.tx.jobs.search(name, [JobState.RUNNING])]
    jobs += [job for job in ctx.tx.jobs.queued() if job.unit == name]
    return jobs[0] if jobs else None


def _is_applied(ctx: Invocation, name: str, what: str) -> bool | None:
    """Return whether the handler ran with success with the newest state, or with a revision at least as new."""
    if what == "applied":
        return None if ctx.tx.jobs.is_pending(name) else True
    wanted = resolve(ctx, name, what.removeprefix("rev="))
    return True if (ctx.tx.jobs.applied_revision(name) or 0) >= wanted else None


def _is_confirmed(ctx: Invocation, name: str) -> bool | None:
    last = _last_confirmed(ctx, name)
    if last is None or last.confirmation in UNCONFIRMED:
        return None
    return last.confirmation == ConfirmationState.CONFIRMED


def _last_confirmed(ctx: Invocation, name: str) -> Job | None:
    """Return the newest job that had to be confirmed."""
    jobs = ctx.tx.jobs.search(name, limit=100)
    return next((job for job in jobs if job.confirmation not in (None, ConfirmationState.REARMED)), None)
