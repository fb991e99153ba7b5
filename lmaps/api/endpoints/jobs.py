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

_WAIT = "How long the answer may be delayed [ms]."


@arguments
class Apply(Write):
    """The arguments of apply."""

    unit: UnitName
    instances: Documents = argument(default=[], doc="Instances to create first.")
    timeout: Duration | None = argument(default=None, doc="The time limit of the job.")
    confirm: Duration | None = argument(default=None, doc="The time for a confirmation; without one the job is undone.")

    @property
    def is_allowed_unconfirmed(self) -> bool:
        """Whether a job may wait for confirmation: if so, the new job takes over the revision to go back to."""
        return bool(self.confirm)


class ApplyProposal(Proposal):
    """The proposal to create instances, if there are any, and then to queue a job."""

    __slots__ = ()

    def reply(self, ctx: Invocation, changesets: Sequence[Changeset | None], job: Job | None) -> Reply:
        """Return the answer: the job, and the result for each instance."""
        if job is None:
            raise TypeError("an apply is proposed with its job")
        created = super().reply(ctx, changesets, None).extra if changesets else {}
        extra = {"job": view(ctx, job).to_json()} | created
        return Reply(f"job {job.id}", extra=extra, revision=job.revision or None, job=job.id)


@endpoint("apply", right="apply", also={"instances": "create"})
def apply(ctx: Invocation, request: Apply) -> Proposal:
    """Queue a job that passes the unit's whole state to its handler; with ``instances`` create them first.

    A job of the unit that is queued already will pass the same state. It covers the new job: the new job does not run,
    and ends with the same outcome.
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
    """Cancel a job. A queued one ends at once; a running one has ended when none of its processes is left."""
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

    unit: UnitName | None = argument(default=None, doc="Only jobs of this unit.")
    state: Text | None = argument(default=None, doc="Only jobs in this state.")
    limit: Limit = argument(default=20, doc="The number of jobs at most.")


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
    """Show one job; wait up to ``wait_ms`` for its end."""
    row = find(ctx, request.job)
    until = ctx.arrived + request.wait_ms / 1000
    if not is_over(row) and time.monotonic() < until:
        return Deferred(ctx, request, row.id, until, job)
    return Reply(f"job {row.id} {row.state}", extra={"job": view(ctx, row).to_json()})


@arguments
class Lines:
    """The arguments of lines."""

    job: Number = argument(doc="The job's number.")
    after: Number = argument(default=0, doc="Only lines after the one with this number.")
    limit: Limit = argument(default=1000, doc="The number of lines at most.")
    wait_ms: Milliseconds = argument(default=0, doc=_WAIT)
    state: Text | None = argument(default=None, doc="Answer once the job is no longer in this state.")


@endpoint("lines", right="show", action="show the job's output")
def lines(ctx: Invocation, request: Lines) -> Reply | Deferred:
    """Show a job's output after a line.

    Without new lines the answer waits, up to ``wait_ms``, until there are some, the job is over, or has left ``state``.
    """
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
"""Level of the answer when no job is left that could make the condition true."""


@arguments
class Wait:
    """The arguments of wait."""

    unit: UnitName
    for_: Annotated[
        str, Keywords("The condition: applied, confirmed, or rev=REV.", pattern="^(applied|confirmed|rev=.+)$")
    ]
    wait_ms: Milliseconds = argument(default=0, doc=_WAIT)


@endpoint("wait", right="show", action="wait")
def wait(ctx: Invocation, request: Wait) -> Reply | Deferred:
    """Wait until a condition is true, no job is left that could make it true, or ``wait_ms`` is over.

    In the answer ``true`` is true, false, or null.
    """
    name, condition = ctx.recorded_unit(request.unit).name, request.for_
    unfinished = _unfinished_job(ctx, name)
    done = _is_confirmed(ctx, name) if condition == "confirmed" else _is_applied(ctx, name, condition)
    until = ctx.arrived + request.wait_ms / 1000
    if done is None and unfinished is not None:
        if time.monotonic() < until:
            return Deferred(ctx, request, unfinished.id, until, wait)
        return Reply(f"{name} is not {condition} yet", extra={"true": None})
    job = _last_confirmed(ctx, name) if condition == "confirmed" else unfinished
    extra = {"true": bool(done), "job": view(ctx, job).to_json() if job else None}
    if done:
        return Reply(f"{name} is {condition}", extra=extra)
    return Reply(f"{name} does not become {condition} by itself", level=NEVER_LEVEL, extra=extra)


def _unfinished_job(ctx: Invocation, name: str) -> Job | None:
    """Return a job of the unit that waits for confirmation, runs or is queued; None if there is none."""
    jobs = [*ctx.tx.jobs.unconfirmed(name), *ctx.tx.jobs.search(name, [JobState.RUNNING])]
    jobs += [job for job in ctx.tx.jobs.queued() if job.unit == name]
    return jobs[0] if jobs else None


def _is_applied(ctx: Invocation, name: str, condition: str) -> bool | None:
    """Return True if the handler has succeeded with the newest state (``applied``) or REV (``rev=REV``), else None."""
    if condition == "applied":
        return None if ctx.tx.jobs.is_pending(name) else True
    wanted = resolve(ctx, name, condition.removeprefix("rev="))
    return True if (ctx.tx.jobs.applied_revision(name) or 0) >= wanted else None


def _is_confirmed(ctx: Invocation, name: str) -> bool | None:
    """Return whether the newest job that had to be confirmed was; None while that is open, or without such a job."""
    last = _last_confirmed(ctx, name)
    if last is None or last.confirmation in UNCONFIRMED:
        return None
    return last.confirmation == ConfirmationState.CONFIRMED


def _last_confirmed(ctx: Invocation, name: str) -> Job | None:
    """Return the newest job that had to be confirmed."""
    jobs = ctx.tx.jobs.search(name, limit=100)
    return next((job for job in jobs if job.confirmation not in (None, ConfirmationState.REARMED)), None)
