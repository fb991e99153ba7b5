"""What the manager does: one table of verbs, and every request passes through it.

A row has the arguments a request may carry (JSON Schema, defaults mixed in), the right it takes, and the function.
A name that is not a key of the table does nothing, whatever it looks like.
"""

from typing import Any

from lmaps.core.verbs import history, instances, jobs, move, service, units
from lmaps.core.verbs.call import Call, Later, Service, Slot, Verb, Visit

_UNIT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 64}
_TEXT: dict[str, Any] = {"type": "string", "maxLength": 4096}
_DOCUMENTS: dict[str, Any] = {"type": "array"}
_NUMBER: dict[str, Any] = {"type": "integer", "minimum": 0}
_WHY = {"message": _TEXT, "ticket": _TEXT, "on_behalf_of": _TEXT}

VERBS: dict[str, Verb] = {
    "units": Verb(units.units, "list"),
    "explain": Verb(units.explain, "list", {"unit": _UNIT, "property": {"type": ["string", "null"]}}, ("unit",)),
    "unit_check": Verb(
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
    ),
    "create": Verb(
        instances.create,
        "create",
        {"unit": _UNIT, "instances": _DOCUMENTS | {"minItems": 1}, **_WHY},
        ("unit", "instances"),
        writes=True,
    ),
    "show": Verb(
        instances.show,
        "show",
        {
            "unit": _UNIT,
            "ids": {"type": "array", "items": {"type": "string"}, "default": []},
            "reverse": {"type": "boolean", "default": False},
            "instances": {"type": "boolean", "default": False},
        },
        ("unit",),
    ),
    "validate": Verb(instances.validate, "show", {"unit": _UNIT, "instances": _DOCUMENTS}, ("unit", "instances")),
    "rollback": Verb(history.rollback, "rollback", {"unit": _UNIT, **_WHY}, ("unit",), writes=True),
    "export": Verb(move.export, "export", {"units": {"type": "array", "items": _UNIT, "default": []}}),
    "apply": Verb(
        jobs.apply,
        "apply",
        {"unit": _UNIT, "instances": _DOCUMENTS | {"default": []}, **_WHY},
        ("unit",),
        writes=True,
    ),
    "jobs": Verb(
        jobs.jobs,
        "show",
        {"unit": _UNIT, "state": _TEXT, "limit": {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 20}},
    ),
    "job": Verb(jobs.job, "show", {"job": _NUMBER}, ("job",)),
    "lines": Verb(
        jobs.lines,
        "show",
        {
            "job": _NUMBER,
            "after": _NUMBER | {"default": 0},
            "limit": {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 1000},
            "wait_ms": {"type": "integer", "minimum": 0, "maximum": 600_000, "default": 0},
        },
        ("job",),
    ),
    "status": Verb(service.status, "list"),
    "handlers": Verb(service.handlers, "list"),
    "reload": Verb(units.reload, "admin"),
}
VERBS["discover"] = service.discover(VERBS)

__all__ = ["VERBS", "Call", "Later", "Service", "Slot", "Verb", "Visit"]
