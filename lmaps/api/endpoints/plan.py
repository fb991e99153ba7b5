"""Verbs that show what an apply would do: plan, from what is stored; plan_check, by the handler's own check mode."""

from typing import Any

from lmaps.api import changes, job_queue
from lmaps.api.context import Invocation
from lmaps.api.endpoints import instances
from lmaps.errors import UnitUnusable
from lmaps.model.states import JobKind
from lmaps.protocol import Reply

VERSION = 1
"""Of the form in which a plan is told."""


def plan(call: Invocation) -> Reply:
    """How the desired state differs from the applied one; with ``instances`` as if they had been created."""
    unit = call.usable_unit if call.args["instances"] else call.kept_unit
    applied = call.tx.jobs.applied_revision(unit.name)
    with call.tx.discarded():
        if call.args["instances"]:
            instances.create(call)
        desired = call.tx.history.newest_revision(unit.name) or 0
        rows = changes.diff_of(call, unit.name, applied or 0, desired)
    signs = [row["sign"] for row in rows]
    counts = {"add": signs.count("+"), "change": signs.count("~"), "delete": signs.count("-")}
    extra: dict[str, Any] = {
        "version": VERSION,
        "unit": unit.name,
        "applied": applied,
        "desired": call.tx.history.newest_revision(unit.name),
        **counts,
        "diff": rows,
    }
    message = ", ".join(f"{count} to {what}" for what, count in counts.items())
    return Reply(message, level=1 if rows else 0, extra=extra)


def plan_check(call: Invocation) -> Reply:
    """Queue a job that has the handler show what it would do to the host, and do nothing."""
    unit = call.usable_unit
    handler = call.manager.handlers.get(unit.handler, {})
    if handler.get("preview", "none") == "none":
        raise UnitUnusable(
            f"cannot plan {unit.name} on the host: its handler {unit.handler} has no check mode",
            hint=f"lmaps plan {unit.name} shows what would be handed over",
        )
    job = job_queue.queue(call, unit, JobKind.PLAN)
    return Reply(f"job {job.id}", extra={"job": job_queue.told(call, job)}, revision=job.revision or None, job=job.id)
