"""Endpoints on the daemon itself: status, handlers, discover, may."""

import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Literal

from lmaps.api import legacy
from lmaps.api.arguments import NoArguments, argument, arguments
from lmaps.api.context import Invocation, ManagerCounters, Slot
from lmaps.api.endpoint import ENDPOINTS, Endpoint, endpoint
from lmaps.api.endpoints.units import refused_files
from lmaps.api.unit_status import condition
from lmaps.config import default_policy
from lmaps.config.settings import Config
from lmaps.errors import NotFound
from lmaps.model.policy import RIGHTS, Policy
from lmaps.model.schema.dataclasses import Keywords
from lmaps.model.units import Unit
from lmaps.protocol import VERSION, Reply
from lmaps.protocol.views import UnitStatus
from lmaps.store import sqlite_version
from lmaps.transport.selfcheck import libzmq_version
from lmaps.util.jsonio import JsonObject
from lmaps.util.text import nearest, plural
from lmaps.version import __version__

COUNTERS = tuple(field.name for field in fields(ManagerCounters))
"""The counters that `status` shows."""


@endpoint("status", right="list", scope="some", action="show the status")
def status(ctx: Invocation, request: NoArguments) -> Reply:
    """Show how the daemon stands: its processes, queue, state and counters, and each unit's condition.

    Of units that the subject may not list nothing is told: jobs and changes of theirs are left out. The counters, which
    are of all units together, are for subjects that may list every unit.
    """
    manager, disk = ctx.manager, ctx.tx.disk
    units = ctx.units_with("list")
    newest = ctx.tx.history.newest() if units is None else next(iter(ctx.tx.history.changesets(units, limit=1)), None)
    workers = [_worker_status(ctx, slot, units) for _, slot in sorted(manager.slots.items())]
    queued = ctx.tx.jobs.queued()
    queue = len(queued) if units is None else sum(job.unit in units for job in queued)
    # The fields of views.DaemonStatus. It is not made here: monitoring asks often, and its objects cost a tenth more.
    extra: JsonObject = {
        "version": __version__,
        "versions": versions(),
        "pid": os.getpid(),
        "supervisor": manager.supervisor,
        "uptime": round(time.monotonic() - manager.started, 3),
        "db": manager.config.db,
        "revision": ctx.tx.revision(),
        "changed_at": newest.at if newest else None,
        "commit_seconds": round(disk.commit_seconds, 4),
        "degraded": disk.refusal.message if disk.refusal else None,
        "endpoints": manager.config.rpc.manager_bind,
        "settings": settings(manager.config),
        "workers": workers,
        "queue": queue,
        "counters": {name: getattr(manager.counters, name) for name in COUNTERS} if units is None else {},
        "units": [
            _unit_status(ctx, unit).to_json() for name, unit in manager.units.units.items() if ctx.may(name, "list")
        ],
        "errors": refused_files(ctx),
    }
    return Reply(f"{plural(len(workers), 'worker')}, {queue} queued", extra=extra)


def _worker_status(ctx: Invocation, slot: Slot, units: Sequence[str] | None) -> JsonObject:
    """Return what is told of a worker; its job only if that is of one of the ``units``, where they are not None."""
    job = slot.job
    if job is not None and units is not None:
        running = ctx.tx.jobs.find(job)
        job = job if running is not None and running.unit in units else None
    return {"slot": slot.number, "pid": slot.pid, "state": slot.state, "job": job}


def _unit_status(ctx: Invocation, unit: Unit) -> UnitStatus:
    return UnitStatus(
        unit.name,
        unit.handler,
        unit.secrets.any,
        ctx.tx.history.newest_revision(unit.name),
        ctx.tx.jobs.applied_revision(unit.name),
        condition(ctx, unit.name),
    )


def versions() -> dict[str, str]:
    """Return the fields of views.Versions: what this process is made of beside lMaPS."""
    return {"python": platform.python_version(), "sqlite": sqlite_version(), "libzmq": libzmq_version()}


def settings(config: Config) -> JsonObject:
    """Return the fields of views.DaemonSettings: where ``config`` has files and sockets, and whose they are."""
    return {
        "uid": config.uid,
        "manager_uid": os.getuid(),
        "user": config.user,
        "file": config.file,
        "db": config.db,
        "endpoints": config.rpc.manager_bind,
        "worker_endpoint": config.rpc.worker_bind,
        "policy": config.policy or default_policy(config.uid),
        "state_key": config.state_key,
        "server_key": config.rpc.server_key,
        "authorized_keys": config.rpc.authorized_keys,
        "unit_dirs": config.unit_dirs,
        "plugin_dirs": config.plugin_dirs,
    }


@endpoint("handlers", right="list", scope="some", action="list handlers")
def handlers(ctx: Invocation, request: NoArguments) -> Reply:
    """List the handlers that units may name, with the reason where one cannot be loaded."""
    rows = [{"type": name} | description for name, description in ctx.manager.handlers.items()]
    return Reply(plural(len(rows), "handler"), extra={"handlers": rows})


@arguments
class Discover:
    """The arguments of discover."""

    what: Literal["schema"] = argument(default="schema", doc="What is shown; there is nothing else yet.")


@endpoint("discover", right="list", scope="some")
def discover(ctx: Invocation, request: Discover) -> Reply:
    """Show what every request may carry, as JSON Schema, and which right it takes."""
    verbs = {
        name: {"right": entry.right, "also": entry.further_rights, "schema": entry.definition}
        for name, entry in ENDPOINTS.items()
    }
    return Reply("schema", extra={"version": VERSION, "verbs": verbs, "legacy": legacy.SCHEMA})


@arguments
class May:
    """The arguments of may."""

    who: Annotated[str, Keywords("A user's name, uid:, gid: or key:.", minLength=1, maxLength=256)]
    do: Annotated[str, Keywords("A verb or a right.", minLength=1, maxLength=256)]
    on: Annotated[str, Keywords("A unit, or * for all.", pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]*)$")]


@endpoint("may", right="admin", scope="every", about_oneself="who", action="look up rights")
def may(ctx: Invocation, request: May) -> Reply:
    """Tell whether a subject may do something on a unit, and the line of the policy that decides."""
    return decide(ENDPOINTS, ctx.manager.policy, request.who, request.do, request.on)


def decide(endpoints: Mapping[str, Endpoint], policy: Policy, who: str, verb: str, unit: str) -> Reply:
    """Return what ``policy`` says of a verb or a right; level 1 if it is denied.

    Raises `NotFound` for a word that is neither a verb nor a right.
    """
    right = endpoints[verb].right if verb in endpoints else verb
    if right not in RIGHTS:
        near = nearest(verb, [*endpoints, *RIGHTS])
        raise NotFound(
            f"{verb!r} is neither a verb nor a right" + (f"; did you mean {near}?" if near else ""),
            hint=f"the rights are {', '.join(RIGHTS)}",
        )
    subject = policy.named(who)
    decision = policy.decide(subject, right, unit)
    extra: JsonObject = {
        "allowed": decision.allowed,
        "why": decision.message,
        "subject": subject.id,
        "right": right,
        "unit": unit,
    }
    return Reply(decision.message, level=0 if decision.allowed else 1, extra=extra)
