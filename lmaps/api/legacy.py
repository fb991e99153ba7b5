"""The original's requests: flags instead of a verb, and its envelope as the answer.

``{"create": true, "unit_name": "web", "instance": {...}}``. The original's client sends all its flags at once, the
false and the null ones too, and with them what only concerned itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from lmaps.api.context import Deferred, Invocation, RequestContext
from lmaps.api.job_queue import told
from lmaps.errors import HandlerFailed, MessageRefused
from lmaps.model.schema import Schema
from lmaps.model.states import ENDED, JobState
from lmaps.protocol import Reply, Request
from lmaps.util.jsonio import plain

_FLAG = {"type": ["boolean", "null"]}
_TEXT = {"type": ["string", "null"]}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("list_units", "create", "apply", "rollback", "show_summary"), _FLAG),
        "discover": {"type": ["string", "boolean", "null"]},
        "unit_name": _TEXT,
        "instance": {"type": ["object", "null"]},
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
    """An original's request in today's words, and how its reply becomes the original's."""

    request: Request
    finish: Finish


def translate(told: dict[str, Any]) -> Translated:
    """The request in today's words; `MessageRefused` if it is of neither form, or asks for nothing."""
    wrong = _CHECK.findings(told)
    if wrong:
        words = "; ".join(f"{finding.path} {finding.message}" for finding in wrong[:3])
        raise MessageRefused(f"cannot read the request: it has no version (v), and {words}", errors=wrong)
    if told.get("list_units"):
        return Translated(Request("units"), _as_it_is)
    if told.get("discover"):
        return Translated(Request("discover"), _as_it_is)
    unit = {"unit": told.get("unit_name") or told.get("unit")}
    asked = next((flag for flag in ("apply", "create", "rollback", "show_summary") if told.get(flag)), None)
    if asked is None:
        raise MessageRefused("cannot tell what is asked for: none of the flags is true")
    if unit["unit"] is None:
        raise MessageRefused(f"cannot {asked}: unit_name is missing")
    documents = [told["instance"]] if told.get("instance") is not None else []
    if asked == "create" and not documents:
        raise MessageRefused("cannot create: instance is missing")
    return {
        "create": Translated(Request("create", unit | {"instances": documents}), _as_it_is),
        "apply": Translated(Request("apply", unit | {"instances": documents}), _when_ended),
        "rollback": Translated(Request("rollback", unit | {"states": True}), _as_it_is),
        "show_summary": Translated(Request("show", unit), _state_alone),
    }[asked]


def _as_it_is(_visit: RequestContext, reply: Reply) -> Reply:
    return reply


def _state_alone(_visit: RequestContext, reply: Reply) -> Reply:
    return replace(reply, extra=plain(reply.extra["state"]))


def _when_ended(visit: RequestContext, reply: Reply) -> Reply | Deferred:
    """The original answered an apply when its handler had run, with the handler's exit code as level."""
    call = Invocation(**vars(visit))
    job = call.tx.jobs.find(reply.job or 0)
    if job is None or job.state not in ENDED:
        return Deferred(call, reply.job or 0, math.inf, lambda again: _when_ended(again, reply))
    row = told(call, job)
    failed = 0 if row["outcome"] == JobState.SUCCEEDED else HandlerFailed.level
    level = job.rc if failed and job.rc and job.rc > 0 else failed
    return replace(reply, message=f"job {job.id} {job.state}", level=level, extra=reply.extra | {"job": row})
