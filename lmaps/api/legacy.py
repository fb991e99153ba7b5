"""The original's requests: flags instead of a verb, and its envelope as the answer.

``{"create": true, "unit_name": "web", "instance": {...}}``. The original's client sends all its flags at once, the
false and the null ones too, and with them what only concerned itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from lmaps.api.context import Deferred, Invocation, RequestContext
from lmaps.api.job_queue import view
from lmaps.errors import HandlerFailed, MessageRefused
from lmaps.model.schema import Schema
from lmaps.model.states import ENDED, JobState
from lmaps.protocol import Reply, Request
from lmaps.util.jsonio import JsonObject, plain

_FLAG = {"type": ["boolean", "null"]}
_TEXT = {"type": ["string", "null"]}

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("list_units", "create", "apply", "rollback", "show_summary"), _FLAG),
        "discover": {"type": ["string", "boolean", "null"]},
        "unit_name": _TEXT,
        "instance": {"type": ["object", "null"], "writeOnly": True},
        **dict.fromkeys(("unit", "file", "config_file", "format", "discover_endpoint"), _TEXT),
        "daemon": _FLAG,
    },
    "additionalProperties": False,
}
"""The closed schema of the original's requests."""

_CHECK = Schema(SCHEMA)

Finish = Callable[[RequestContext, Reply], Reply | Deferred]


@dataclass(frozen=True, slots=True)
class Translated:
    """An original's request in today's form; ``finish`` turns its reply into the original's form."""

    request: Request
    finish: Finish


def translate(payload: JsonObject) -> Translated:
    """Return the request in today's form; raise `MessageRefused` if it is of neither form, or asks for nothing."""
    findings = _CHECK.findings(payload)
    if findings:
        text = "; ".join(f"{finding.path} {finding.message}" for finding in findings[:3])
        raise MessageRefused(f"cannot read the request: it has no version (v), and {text}", errors=findings)
    if payload.get("list_units"):
        return Translated(Request("units"), _unchanged)
    if payload.get("discover"):
        return Translated(Request("discover"), _unchanged)
    flag = next((name for name in ("apply", "create", "rollback", "show_summary") if payload.get(name)), None)
    if flag is None:
        raise MessageRefused("cannot tell what is asked for: none of the flags is true")
    unit = {"unit": payload.get("unit_name") or payload.get("unit")}
    if unit["unit"] is None:
        raise MessageRefused(f"cannot read the request {flag}: unit_name is missing")
    documents = [payload["instance"]] if payload.get("instance") is not None else []
    if flag == "create" and not documents:
        raise MessageRefused("cannot read the request create: instance is missing")
    return {
        "create": Translated(Request("create", unit | {"instances": documents}), _unchanged),
        "apply": Translated(Request("apply", unit | {"instances": documents}), _when_ended),
        "rollback": Translated(Request("rollback", unit | {"states": True}), _unchanged),
        "show_summary": Translated(Request("show", unit), _state_alone),
    }[flag]


def _unchanged(_visit: RequestContext, reply: Reply) -> Reply:
    return reply


def _state_alone(_visit: RequestContext, reply: Reply) -> Reply:
    return replace(reply, extra=plain(reply.extra["state"]))


def _when_ended(visit: RequestContext, reply: Reply) -> Reply | Deferred:
    """Return the answer to an apply when its handler has run, with its exit code as level, as the original did."""
    ctx = visit if isinstance(visit, Invocation) else Invocation(**vars(visit))
    job = ctx.tx.jobs.find(reply.job or 0)
    if job is None or job.state not in ENDED:
        return Deferred(ctx, reply, reply.job or 0, math.inf, _when_ended)
    row = view(ctx, job)
    failed = 0 if row.outcome == JobState.SUCCEEDED else HandlerFailed.level
    level = job.rc if failed and job.rc and job.rc > 0 else failed
    return replace(reply, message=f"job {job.id} {job.state}", level=level, extra=reply.extra | {"job": row.to_json()})
