"""Verbs on jobs: apply, cancel, jobs, job, lines."""

import math

from lmaps.api.context import Deferred, Invocation
from lmaps.api.endpoints import instances
from lmaps.api.job_queue import find, is_over, queue, told
from lmaps.api.revisions import resolve
from lmaps.model.states import ENDED, UNCONFIRMED, ConfirmationState, JobState
from lmaps.protocol import Reply
from lmaps.store import Job


def apply(call: Invocation) -> Reply:
    """Queue a job that hands the unit's whole state to its handler; with ``instances`` create them first.

    One that waits already hands over the same state: then it covers this one, which ends as it does.
    """
    unit = call.usable_unit
    created = instances.create(call).extra if call.args["instances"] else {}
    job = queue(call, unit)
    return Reply(f"job {job.id}", extra={"job": told(call, job)} | created, revision=job.revision or None, job=job.id)


def cancel(call: Invocation) -> Reply | Deferred:
    """End a job: one that waits at once, one that runs when nothing of it is left."""
    found = find(call)
    if found.state in ENDED:
        return _cancelled(call)
    if found.state == JobState.QUEUED:
        call.manager.signals.moved.update(call.tx.jobs.withdraw(found.id))
        return _cancelled(call)
    call.manager.signals.to_stop.add(found.id)
    return Deferred(call, found.id, math.inf, _cancelled)


def _cancelled(call: Invocation) -> Reply | Deferred:
    found = find(call)
    if found.state not in ENDED:
        return Deferred(call, found.id, math.inf, _cancelled)
    words = f", {found.error.rpartition(', ')[2]}" if found.error and found.state == JobState.CANCELLED else ""
    return Reply(f"job {found.id} {found.state}{words}", extra={"job": told(call, found)})


def jobs(call: Invocation) -> Reply:
    """The newest jobs, of all units or of one, in all states or in one."""
    state = call.args.get("state")
    units = call.args.get("unit") or call.units_with("show")
    found = call.tx.jobs.search(units, [state] if state else None, call.args["limit"])
    return Reply("", extra={"jobs": [told(call, job) for job in found]})


def job(call: Invocation) -> Reply | Deferred:
    """All that is known of one job; waits up to ``wait_ms`` for its end."""
    found = find(call)
    until = call.arrived + call.args["wait_ms"] / 1000
    if not is_over(found) and not call.expired(until):
        return Deferred(call, found.id, until, job)
    return Reply(f"job {found.id} {found.state}", extra={"job": told(call, found)})


def lines(call: Invocation) -> Reply | Deferred:
    """A job's output after line N; waits up to ``wait_ms`` for some, or until it is over or no longer in ``state``."""
    found = find(call)
    running = found.covered_by or found.id
    limit = call.args["limit"]
    output = call.tx.jobs.lines(running, call.args["after"], limit + 1)
    until = call.arrived + call.args["wait_ms"] / 1000
    moved = found.state != call.args.get("state", found.state)
    if not output and not moved and not is_over(found) and not call.expired(until):
        return Deferred(call, running, until, lines)
    rows = [
        {"number": line.number, "at": line.at, "stream": line.stream, "text": line.text}
        | ({"event": line.event} if line.event else {})
        for line in output[:limit]
    ]
    last = call.tx.jobs.last_line(running)
    return Reply("", extra={"lines": rows, "job": told(call, found), "more": len(output) > limit, "last": last})


NEVER = 1
"""Level of the answer when what is waited for cannot come true by itself."""


def wait(call: Invocation) -> Reply | Deferred:
    """Answer when it is true, when it cannot become true any more, or after ``wait_ms``: ``true`` is null then."""
    name = call.kept_unit.name
    what = call.args["for"]
    going = _going(call, name)
    done = _is_confirmed(call, name) if what == "confirmed" else _is_applied(call, name, what)
    until = call.arrived + call.args["wait_ms"] / 1000
    if done is None and going is not None:
        if not call.expired(until):
            return Deferred(call, going.id, until, wait)
        return Reply(f"{name} is not {what} yet", extra={"true": None})
    job = _last_confirmed(call, name) if what == "confirmed" else going
    extra = {"true": bool(done), "job": told(call, job) if job else None}
    if done:
        return Reply(f"{name} is {what}", extra=extra)
    return Reply(f"{name} does not become {what} by itself", level=NEVER, extra=extra)


def _going(call: Invocation, name: str) -> Job | None:
    """A job of the unit that something may still come of."""
    found = [*call.tx.jobs.unconfirmed(name), *call.tx.jobs.search(name, [JobState.RUNNING])]
    found += [job for job in call.tx.jobs.queued() if job.unit == name]
    return found[0] if found else None


def _is_applied(call: Invocation, name: str, what: str) -> bool | None:
    """Whether the handler ran with success with the newest state, or with a revision at least as new."""
    if what == "applied":
        return None if call.tx.jobs.is_pending(name) else True
    wanted = resolve(call, name, what.removeprefix("rev="))
    return True if (call.tx.jobs.applied_revision(name) or 0) >= wanted else None


def _is_confirmed(call: Invocation, name: str) -> bool | None:
    last = _last_confirmed(call, name)
    if last is None or last.confirmation in UNCONFIRMED:
        return None
    return last.confirmation == ConfirmationState.CONFIRMED


def _last_confirmed(call: Invocation, name: str) -> Job | None:
    """The newest job that was to be confirmed."""
    return next(
        (
            job
            for job in call.tx.jobs.search(name, limit=100)
            if job.confirmation not in (None, ConfirmationState.REARMED)
        ),
        None,
    )
