"""What the manager does: one table of verbs, and every request passes through it.

A row has the arguments a request may carry (JSON Schema, defaults mixed in), the right it takes, and the function.
A name that is not a key of the table does nothing, whatever it looks like.
"""

from typing import Any

from lmaps.api import audit
from lmaps.api.context import AfterCommit, Answer, Deferred, Invocation, ManagerState, RequestContext, Slot
from lmaps.api.endpoint import DURATION, NUMBER, RUN, Endpoint
from lmaps.api.endpoints import (
    backup,
    blame,
    confirm,
    history,
    history_transfer,
    instances,
    jobs,
    plan,
    requests,
    show,
    system,
    transfer,
    units,
)
from lmaps.model.policy import Right

_UNIT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 64}
_TEXT: dict[str, Any] = {"type": "string", "maxLength": 4096}
_DOCUMENTS: dict[str, Any] = {"type": "array"}
_POINTER: dict[str, Any] = {"type": "string", "pattern": "^/"}
_FLAG: dict[str, Any] = {"type": "boolean", "default": False}
_STEPS: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 1_000_000}
_IDS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_WAIT: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 600_000, "default": 0}
_REVEAL: dict[str, Right] = {"reveal": "reveal"}
_STATES: dict[str, Right] = {"states": "show"}
_CREATING: dict[str, Right] = {"instances": "create"}
_LIMIT: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 20}
_PAGE: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 10_000}

ENDPOINTS: dict[str, Endpoint] = {
    "units": Endpoint(units.units, "list", scope="some"),
    "explain": Endpoint(units.explain, "list", {"unit": _UNIT, "property": {"type": ["string", "null"]}}, ("unit",)),
    "unit_check": Endpoint(
        units.unit_check,
        "list",
        {
            "files": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": _TEXT, "text": {"type": "string"}},
                    "required": ["name", "text"],
                    "additionalProperties": False,
                },
            }
        },
        ("files",),
        scope="some",
    ),
    "create": Endpoint(
        instances.create,
        "create",
        {"unit": _UNIT, "instances": _DOCUMENTS | {"minItems": 1}},
        ("unit", "instances"),
        writes=True,
        applies=True,
    ),
    "set": Endpoint(
        instances.set_,
        "create",
        {
            "unit": _UNIT,
            "id": {"type": "string", "minLength": 1},
            "instance": {"type": "object"},
            "set": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"path": _POINTER, "value": {}},
                    "required": ["path", "value"],
                    "additionalProperties": False,
                },
                "default": [],
            },
            "unset": {"type": "array", "items": _POINTER, "default": []},
        },
        ("unit", "id"),
        writes=True,
        applies=True,
    ),
    "delete": Endpoint(
        instances.delete,
        "create",
        {"unit": _UNIT, "ids": _IDS | {"minItems": 1}},
        ("unit", "ids"),
        writes=True,
        applies=True,
    ),
    "show": Endpoint(
        show.show,
        "show",
        {
            "unit": _UNIT,
            "ids": _IDS | {"default": []},
            "at": _TEXT,
            "reverse": _FLAG,
            "instances": _FLAG,
            "reveal": _FLAG,
        },
        ("unit",),
        also=_REVEAL,
    ),
    "validate": Endpoint(instances.validate, "show", {"unit": _UNIT, "instances": _DOCUMENTS}, ("unit", "instances")),
    "rollback": Endpoint(
        history.rollback,
        "rollback",
        {
            "unit": _UNIT,
            "to": _TEXT,
            "steps": _STEPS | {"type": ["integer", "null"], "default": None},
            "states": _FLAG,
        },
        ("unit",),
        writes=True,
        applies=True,
        also=_STATES,
    ),
    "redo": Endpoint(
        history.redo,
        "rollback",
        {"unit": _UNIT, "steps": _STEPS | {"default": 1}, "states": _FLAG},
        ("unit",),
        writes=True,
        applies=True,
        also=_STATES,
    ),
    "revert": Endpoint(
        history.revert,
        "rollback",
        {"unit": _UNIT, "revision": {"type": "string", "pattern": r"^r?\d{1,18}$"}, "states": _FLAG},
        ("unit", "revision"),
        writes=True,
        applies=True,
        also=_STATES,
    ),
    "history": Endpoint(
        history.history,
        "show",
        {"unit": _UNIT, "limit": _LIMIT, "since": _TEXT, "author": _TEXT, "ticket": _TEXT, "diff": _FLAG},
        scope="some",
    ),
    "diff": Endpoint(history.diff, "show", {"unit": _UNIT, "from": _TEXT, "to": _TEXT | {"default": "@"}}, ("unit",)),
    "blame": Endpoint(blame.blame, "show", {"unit": _UNIT, "ids": _IDS | {"default": []}, "path": _POINTER}, ("unit",)),
    "export": Endpoint(
        transfer.export,
        "export",
        {
            "units": {"type": "array", "items": _UNIT, "default": []},
            "at": _TEXT,
            "history": _FLAG,
            "reveal": _FLAG,
            "limit": _PAGE,
            "after": NUMBER | {"default": 0},
            "revisions": {"type": "array", "items": NUMBER},
        },
        scope="some",
        also=_REVEAL,
    ),
    "import": Endpoint(
        transfer.import_,
        "import",
        {
            "units": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {"unit": _UNIT, "instances": _DOCUMENTS},
                    "required": ["unit", "instances"],
                    "additionalProperties": False,
                },
            },
            "mode": {"enum": ["merge", "replace", "skip"], "default": "merge"},
            "max_deletes": NUMBER | {"default": 0},
        },
        ("units",),
        writes=True,
    ),
    "import_history": Endpoint(
        history_transfer.import_history,
        "import",
        {"units": {"type": "array", "minItems": 1, "items": history_transfer.SCHEMA}},
        ("units",),
        writes=True,
    ),
    "migrate": Endpoint(
        transfer.migrate,
        "import",
        {"unit": _UNIT, "current": _DOCUMENTS, "undone": _DOCUMENTS | {"default": []}},
        ("unit", "current"),
        writes=True,
    ),
    "backup": Endpoint(backup.backup, "admin", scope="every", audited=True),
    "backup_read": Endpoint(
        backup.backup_read, "admin", {"backup": _TEXT, "offset": NUMBER}, ("backup", "offset"), scope="every"
    ),
    "apply": Endpoint(
        jobs.apply,
        "apply",
        {"unit": _UNIT, "instances": _DOCUMENTS | {"default": []}, **RUN},
        ("unit",),
        writes=True,
        also=_CREATING,
    ),
    "confirm": Endpoint(confirm.confirm, "apply", {"unit": _UNIT, "rollback": _FLAG}, ("unit",), writes=True),
    "plan": Endpoint(
        plan.plan, "apply", {"unit": _UNIT, "instances": _DOCUMENTS | {"default": []}}, ("unit",), also=_CREATING
    ),
    "plan_check": Endpoint(plan.plan_check, "apply", {"unit": _UNIT, "timeout": DURATION}, ("unit",), writes=True),
    "cancel": Endpoint(jobs.cancel, "cancel", {"job": NUMBER}, ("job",), audited=True),
    "jobs": Endpoint(
        jobs.jobs,
        "show",
        {"unit": _UNIT, "state": _TEXT, "limit": _LIMIT},
        scope="some",
    ),
    "job": Endpoint(jobs.job, "show", {"job": NUMBER, "wait_ms": _WAIT}, ("job",)),
    "wait": Endpoint(
        jobs.wait,
        "show",
        {"unit": _UNIT, "for": {"type": "string", "pattern": "^(applied|confirmed|rev=.+)$"}, "wait_ms": _WAIT},
        ("unit", "for"),
    ),
    "request": Endpoint(requests.request, "show", {"key": _TEXT}, ("key",)),
    "lines": Endpoint(
        jobs.lines,
        "show",
        {
            "job": NUMBER,
            "after": NUMBER | {"default": 0},
            "limit": {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 1000},
            "wait_ms": _WAIT,
            "state": _TEXT,
        },
        ("job",),
    ),
    "status": Endpoint(system.status, "list", scope="some"),
    "handlers": Endpoint(system.handlers, "list", scope="some"),
    "reload": Endpoint(units.reload, "admin", scope="every", audited=True),
    "audit": Endpoint(
        audit.audit, "admin", {"unit": _UNIT, "limit": _LIMIT, "since": _TEXT, "author": _TEXT}, scope="every"
    ),
}
ENDPOINTS["discover"] = system.discover(ENDPOINTS)
ENDPOINTS["may"] = system.may(ENDPOINTS)

__all__ = [
    "ENDPOINTS",
    "AfterCommit",
    "Answer",
    "Deferred",
    "Endpoint",
    "Invocation",
    "ManagerState",
    "RequestContext",
    "Slot",
]
