"""The original's requests: flags instead of a verb, and its envelope as the answer.

``{"create": true, "unit_name": "web", "instance": {...}}``. The original's client sends all its flags at once, the
false and the null ones too, and with them what only concerned itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from lmaps.core.messages import Reply
from lmaps.core.schema import Schema
from lmaps.core.verbs.call import Call, Later
from lmaps.core.verbs.jobs import ENDED, told
from lmaps.errors import HandlerFailed, MessageRefused

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

Finish = Callable[[Call, Reply], Reply | Later]


@dataclass(frozen=True, slots=True)
class Translated:
    """An original's request in today's words: the verb, its arguments, and how its reply becomes the original's."""

    verb: str
    args: dict[str, Any]
    finish: Finish


def is_legacy(told: dict[str, Any]) -> bool:
    """Whether a request is spoken in the original's flags."""
    return "v" not in told and not _CHECK.findings(told)


def translate(told: dict[str, Any]) -> Translated:
    """The request in today's words; `MessageRefused` if it asks for nothing, or for a unit without naming it."""
    if told.get("list_units"):
        return Translated("units", {}, lambda _, reply: reply)
    if told.get("discover"):
        return Translated("discover", {}, lambda _, reply: reply)
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
        "create": Translated("create", unit | {"instances": documents}, lambda _, reply: reply),
        "apply": Translated("apply", unit | {"instances": documents}, _when_ended),
        "rollback": Translated("rollback", unit, lambda _, reply: reply),
        "show_summary": Translated("show", unit, lambda _, reply: replace(reply, extra=reply.extra["state"])),
    }[asked]


def _when_ended(call: Call, reply: Reply) -> Reply | Later:
    """The original answered an apply when its handler had run, with the handler's exit code as level."""
    job = call.state.job(reply.job or 0)
    if job is None or job.state not in ENDED:
        return Later(call, reply.job or 0, math.inf, lambda again: _when_ended(again, reply))
    failed = 0 if job.state == "succeeded" else HandlerFailed.level
    level = job.rc if failed and job.rc and job.rc > 0 else failed
    return replace(reply, message=f"job {job.id} {job.state}", level=level, extra=reply.extra | {"job": told(call, job)})
