"""Verbs on the daemon itself: status, handlers, discover."""

import os
import time
from importlib.metadata import version
from typing import Any

from lmaps.core.messages import VERSION, Reply
from lmaps.core.verbs import legacy
from lmaps.core.verbs.call import Call
from lmaps.core.verbs.units import condition, refused_files
from lmaps.core.verbs.verb import Verb
from lmaps.core.words import plural


def status(call: Call) -> Reply:
    """How the daemon stands: its processes, its queue, its state, and each unit's condition."""
    service = call.service
    extra: dict[str, Any] = {
        "version": version("lmaps"),
        "pid": os.getpid(),
        "supervisor": service.supervisor,
        "uptime": round(time.monotonic() - service.started, 3),
        "db": service.config["db"],
        "revision": call.state.revision(),
        "commit_seconds": round(call.state.disk.commit_seconds, 4),
        "degraded": call.state.disk.refusal.message if call.state.disk.refusal else None,
        "endpoints": service.config["rpc"]["manager_bind"],
        "workers": [
            {"slot": slot.number, "pid": slot.pid, "state": slot.state, "job": slot.job}
            for _, slot in sorted(service.slots.items())
        ],
        "queue": len(call.state.queued()),
        "units": [
            {
                "unit": name,
                "revision": call.state.revision_of(name),
                "applied": call.state.applied_revision(name),
                "condition": condition(call, name),
            }
            for name in service.units.units
            if call.may(name, "list")
        ],
        "errors": refused_files(call),
    }
    return Reply(f"{plural(len(extra['workers']), 'worker')}, {extra['queue']} queued", extra=extra)


def handlers(call: Call) -> Reply:
    """The handlers that units may name, with the reason where one cannot be loaded."""
    rows = [{"type": name} | told for name, told in call.service.handlers.items()]
    return Reply(plural(len(rows), "handler"), extra={"handlers": rows})


def discover(verbs: dict[str, Verb]) -> Verb:
    """The verb that tells the request schema of every verb of the table."""

    def tell(call: Call) -> Reply:
        told = {
            name: {"right": verb.right, "also": verb.further_rights, "schema": verb.definition}
            for name, verb in verbs.items()
        }
        return Reply("schema", extra={"version": VERSION, "verbs": told, "legacy": legacy.SCHEMA})

    return Verb(tell, "list", {"what": {"enum": ["schema"], "default": "schema"}}, scope="some")
