"""Verbs on jobs: apply, jobs, job, lines."""

from typing import Any

from lmaps.core.messages import Reply
from lmaps.core.verbs import instances
from lmaps.core.verbs.call import Call, Later
from lmaps.core.verbs.units import condition
from lmaps.errors import Busy, NotFound, UnitUnusable
from lmaps.store import Job

ENDED = frozenset({"succeeded", "failed", "timed_out", "cancelled", "interrupted", "covered"})
MAX_QUEUED = 1000
"""Jobs that may wait at once; one more is refused."""
RETRY_AFTER_MS = 5000
SHOWN = (
    "unit kind revision state rc summary error author on_behalf_of door message ticket "
    "queued_at started_at ended_at covered_by"
).split()
"""The columns of a job that its readers see."""


def apply(call: Call) -> Reply:
    """Queue a job that hands the unit's whole state to its handler; with ``instances`` create them first."""
    unit = call.usable_unit
    created = instances.create(call).extra if call.args["instances"] else {}
    if condition(call, unit.name) == "invalid":
        raise UnitUnusable(
            f"cannot apply {unit.name}: stored instances no longer fit its schema",
            hint=f"see which: lmaps validate {unit.name}",
        )
    if len(call.state.queued()) >= MAX_QUEUED:
        raise Busy(f"cannot queue: {MAX_QUEUED} jobs wait already", extra={"retry_after_ms": RETRY_AFTER_MS})
    revision = call.state.revision_of(unit.name)
    job = call.state.add_job(unit.name, "apply", revision or 0, unit.digest, call.why)
    return Reply(f"job {job.id}", extra={"job": told(call, job)} | created, revision=revision, job=job.id)


def jobs(call: Call) -> Reply:
    """The newest jobs, of all units or of one, in all states or in one."""
    state = call.args.get("state")
    found = call.state.jobs(call.args.get("unit"), [state] if state else None, call.args["limit"])
    return Reply("", extra={"jobs": [told(call, job) for job in found]})


def job(call: Call) -> Reply:
    """All that is known of one job."""
    found = _job(call)
    return Reply(f"job {found.id} {found.state}", extra={"job": told(call, found)})


def lines(call: Call) -> Reply | Later:
    """A job's output after line N; waits up to ``wait_ms`` for some, and ends at once when the job has."""
    found = _job(call)
    limit = call.args["limit"]
    output = call.state.lines(found.id, call.args["after"], limit + 1)
    until = call.arrived + call.args["wait_ms"] / 1000
    if not output and found.state not in ENDED and not call.expired(until):
        return Later(call, found.id, until, lines)
    rows = [
        {"number": line.number, "at": line.at, "stream": line.stream, "text": line.text}
        | ({"event": line.event} if line.event else {})
        for line in output[:limit]
    ]
    return Reply("", extra={"lines": rows, "job": told(call, found), "more": len(output) > limit})


def _job(call: Call) -> Job:
    found = call.state.job(call.args["job"])
    if found is None:
        raise NotFound(f"cannot {call.verb}: there is no job {call.args['job']}", hint="lmaps jobs lists them")
    return found


def told(call: Call, job: Job) -> dict[str, Any]:
    """A job as its reader sees it; ``place`` counts from 1 in the queue."""
    place = None
    if job.state == "queued":
        place = sum(1 for waiting in call.state.queued() if waiting.id <= job.id)
    return {"job": job.id} | {name: getattr(job, name) for name in SHOWN} | {"place": place}
