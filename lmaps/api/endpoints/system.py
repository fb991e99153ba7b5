"""Verbs on the daemon itself: status, handlers, discover."""

import os
import platform
import time
from collections.abc import Mapping
from typing import Any

from lmaps.api import legacy
from lmaps.api.context import Invocation
from lmaps.api.endpoint import Endpoint
from lmaps.api.endpoints.units import refused_files
from lmaps.api.unit_status import condition
from lmaps.config import default_policy
from lmaps.config.settings import Config
from lmaps.errors import NotFound
from lmaps.model.policy import RIGHTS, Policy
from lmaps.model.units import Unit
from lmaps.protocol import VERSION, Reply
from lmaps.store import sqlite_version
from lmaps.transport.selfcheck import libzmq_version
from lmaps.util.text import nearest, plural
from lmaps.version import __version__

COUNTED = (
    "requests",
    "refused",
    "busy",
    "dropped",
    "groups",
    "group_largest",
    "denied",
    "audit_suppressed",
    "connections_refused",
    "restarts",
)
"""What `status` counts."""


def status(call: Invocation) -> Reply:
    """How the daemon stands: its processes, its queue, its state, what it has counted, and each unit's condition."""
    manager, disk = call.manager, call.tx.disk
    newest = call.tx.history.newest()
    extra: dict[str, Any] = {
        "version": __version__,
        "versions": versions(),
        "pid": os.getpid(),
        "supervisor": manager.supervisor,
        "uptime": round(time.monotonic() - manager.started, 3),
        "db": manager.config.db,
        "revision": call.tx.revision(),
        "changed_at": newest.at if newest else None,
        "commit_seconds": round(disk.commit_seconds, 4),
        "degraded": disk.refusal.message if disk.refusal else None,
        "endpoints": manager.config.rpc.manager_bind,
        "settings": settings(manager.config),
        "workers": [
            {"slot": slot.number, "pid": slot.pid, "state": slot.state, "job": slot.job}
            for _, slot in sorted(manager.slots.items())
        ],
        "queue": len(call.tx.jobs.queued()),
        "counters": {name: manager.counters[name] for name in COUNTED},
        "units": [_stands(call, unit) for name, unit in manager.units.units.items() if call.may(name, "list")],
        "errors": refused_files(call),
    }
    return Reply(f"{plural(len(extra['workers']), 'worker')}, {extra['queue']} queued", extra=extra)


def _stands(call: Invocation, unit: Unit) -> dict[str, Any]:
    return {
        "unit": unit.name,
        "handler": unit.handler,
        "secrets": unit.secrets.any,
        "revision": call.tx.history.newest_revision(unit.name),
        "applied": call.tx.jobs.applied_revision(unit.name),
        "condition": condition(call, unit.name),
    }


def versions() -> dict[str, str]:
    """What this process is made of beside lMaPS."""
    return {"python": platform.python_version(), "sqlite": sqlite_version(), "libzmq": libzmq_version()}


def settings(config: Config) -> dict[str, Any]:
    """Where the daemon of ``config`` keeps what, and whose it is."""
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


def handlers(call: Invocation) -> Reply:
    """The handlers that units may name, with the reason where one cannot be loaded."""
    rows = [{"type": name} | told for name, told in call.manager.handlers.items()]
    return Reply(plural(len(rows), "handler"), extra={"handlers": rows})


def discover(verbs: dict[str, Endpoint]) -> Endpoint:
    """The verb that tells the request schema of every verb of the table."""

    def tell(call: Invocation) -> Reply:
        told = {
            name: {"right": verb.right, "also": verb.further_rights, "schema": verb.definition}
            for name, verb in verbs.items()
        }
        return Reply("schema", extra={"version": VERSION, "verbs": told, "legacy": legacy.SCHEMA})

    return Endpoint(tell, "list", {"what": {"enum": ["schema"], "default": "schema"}}, scope="some")


_TEXT = {"type": "string", "minLength": 1, "maxLength": 256}


def may(verbs: Mapping[str, Endpoint]) -> Endpoint:
    """The verb that tells whether a subject may do a verb of the table, or has a right."""

    def tell(call: Invocation) -> Reply:
        """Tell whether somebody may do something on a unit, and the line of the policy that decides."""
        return answer(verbs, call.manager.policy, call.args["who"], call.args["do"], call.args["on"])

    properties = {"who": _TEXT, "do": _TEXT, "on": {"type": "string", "pattern": r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]*)$"}}
    return Endpoint(tell, "admin", properties, ("who", "do", "on"), scope="every", about_oneself="who")


def answer(verbs: Mapping[str, Endpoint], policy: Policy, who: str, verb: str, unit: str) -> Reply:
    """What ``policy`` says; level 1 if it is denied. `NotFound` for what is neither a verb nor a right."""
    right = verbs[verb].right if verb in verbs else verb
    if right not in RIGHTS:
        near = nearest(verb, [*verbs, *RIGHTS])
        raise NotFound(
            f"cannot tell about {verb!r}: it is neither a verb nor a right"
            + (f"; did you mean {near}?" if near else ""),
            hint=f"the rights are {', '.join(RIGHTS)}",
        )
    subject = policy.named(who)
    decision = policy.decide(subject, right, unit)
    extra = {"allowed": decision.allowed, "why": decision.message, "subject": subject.id, "right": right, "unit": unit}
    return Reply(decision.message, level=0 if decision.allowed else 1, extra=extra)
