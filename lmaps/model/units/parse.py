"""The form of a unit file, and the `Unit` that it describes."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lmaps.errors import Finding, UnitRefused, ValidationFailed
from lmaps.model.diff import parse_pointer
from lmaps.model.schema import Schema, lint
from lmaps.model.units.unit import Unit
from lmaps.model.units.variables import ANSIBLE, variable_findings
from lmaps.util import yamlio
from lmaps.util.jsonio import JsonObject
from lmaps.util.times import parse_duration

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
DATA_TYPES = ("YamlFile", "YamlList", "YamlKeyList", "YamlKeyDict")

_POINTERS: JsonObject = {"type": "array", "items": {"type": "string", "pattern": r"^(/[^/\"]+)+$"}}
_TEXTS: JsonObject = {"type": "array", "items": {"type": "string", "minLength": 1}}
_DURATION: JsonObject = {"type": "string", "pattern": r"^\d+(\.\d+)?[smhd]$"}


def _text(description: str) -> JsonObject:
    return {"type": "string", "minLength": 1, "description": description}


FORM = Schema(
    {
        "type": "object",
        "required": ["meta"],
        "additionalProperties": False,
        "properties": {
            "meta": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "description": "What the unit is.",
                "properties": {
                    "name": _text("The unit's name: 1 to 64 letters, digits, dots, hyphens, underscores."),
                    "data_type": {
                        "enum": list(DATA_TYPES),
                        "default": "YamlList",
                        "description": "The form in which the handler gets the instances.",
                    },
                    "store_key": _text("The key below which the handler gets the instances.") | {"default": "root"},
                    "store_root": _text("The original's directory; accepted and not used."),
                    "primary_key": _text(
                        "The property whose value is an instance's ID; without it the ID is that of the content."
                    ),
                    "strict": {
                        "type": "boolean",
                        "default": False,
                        "description": "Refuse properties that the schema does not know.",
                    },
                    "require": {
                        "type": "array",
                        "items": {"enum": ["message", "ticket"]},
                        "default": [],
                        "description": "The options that every change needs.",
                    },
                    "unique": _POINTERS
                    | {"default": [], "description": "Paths, such as /port, whose values no two instances may share."},
                    "max_instances": {
                        "type": "integer",
                        "minimum": 1,
                        "description": "How many instances there may be.",
                    },
                    "keep": {
                        "type": "object",
                        "default": {},
                        "additionalProperties": False,
                        "description": "The history that is kept: changesets within either limit; without a limit all.",
                        "properties": {
                            "count": {
                                "type": "integer",
                                "minimum": 1,
                                "description": "This many of the newest changesets.",
                            },
                            "age": _DURATION | {"description": "Changesets that are not older than this."},
                        },
                    },
                },
            },
            "handler": {
                "type": "object",
                "default": {},
                "additionalProperties": False,
                "description": "The handler, which carries the state to the host.",
                "properties": {
                    "type": _text("The handler: lmaps handlers lists them.") | {"default": "noop"},
                    "args": {"type": "object", "default": {}, "description": "Its arguments."},
                    "name": {"type": "string", "description": "A label for people."},
                    "params": {
                        "type": ["object", "boolean"],
                        "description": "The schema, in the place that the original used.",
                    },
                    "lock": _TEXTS
                    | {"default": [], "description": "Names; jobs of units that share one run one after the other."},
                    "timeout": _DURATION
                    | {"description": "How long a job may run before it is stopped as `timed_out`."},
                    "idle_timeout": _DURATION
                    | {"description": "How long a job may print nothing before it is stopped as `timed_out`."},
                    "probe": _TEXTS
                    | {
                        "minItems": 1,
                        "description": "A program that confirms a job by 3 successes in a row; it runs every 5 s.",
                    },
                    "on_interrupt": {
                        "enum": ["rerun"],
                        "description": "Run an interrupted job once more; without it a person decides.",
                    },
                },
            },
            "params": {"type": ["object", "boolean"], "description": "The JSON Schema of an instance."},
        },
    }
)
"""The form of a unit file."""


@dataclass(frozen=True, slots=True)
class _Keep:
    """The section ``meta.keep`` of a definition."""

    count: int | None = None
    age: str | None = None


@dataclass(frozen=True, slots=True)
class _Meta:
    """The section ``meta`` of a definition, complete."""

    name: str
    data_type: str
    store_key: str
    strict: bool
    require: list[str]
    unique: list[str]
    keep: JsonObject
    store_root: str | None = None
    primary_key: str | None = None
    max_instances: int | None = None


@dataclass(frozen=True, slots=True)
class _Handler:
    """The section ``handler`` of a definition, complete; ``params`` stands here in files for the original."""

    type: str
    args: JsonObject
    lock: list[str]
    name: str | None = None
    params: JsonObject | bool = field(default_factory=dict)
    timeout: str | None = None
    idle_timeout: str | None = None
    probe: Sequence[str] = ()
    on_interrupt: str | None = None


def parse_unit(document: yamlio.Document, at: tuple[str | int, ...] = ()) -> Unit:
    """Return the unit at the path ``at`` in ``document``; raise `UnitRefused` with every finding and its place."""
    definition = document.value
    for key in at:
        definition = definition[key]
    try:
        unit = replace(_to_unit(FORM.complete(definition), definition, document.file), document=document, at=at)
    except ValidationFailed as refused:
        raise _refusal(document, at, definition, list(refused.errors)) from refused
    findings = list(_faults(unit, definition))  # only of a unit of the right form: they rely on it
    if findings:
        raise _refusal(document, at, definition, findings)
    return unit


def unit_from_definition(definition: JsonObject, directory: Path | None = None) -> Unit:
    """Return the unit of a stored definition, whose file may be gone. Relative paths start at ``directory``."""
    unit = _to_unit(FORM.complete(definition), definition, None)
    return replace(unit, directory=directory) if directory else unit


def _to_unit(completed: JsonObject, definition: JsonObject, file: str | None) -> Unit:
    """Return the unit of ``definition``, which is ``completed`` with the defaults of `FORM`."""
    meta, handler = _Meta(**completed["meta"]), _Handler(**completed["handler"])
    keep = _Keep(**meta.keep)
    return Unit(
        name=meta.name,
        data_type=meta.data_type,
        store_key=meta.store_key,
        primary_key=meta.primary_key,
        strict=meta.strict,
        handler=handler.type,
        args=handler.args,
        label=handler.name,
        params=completed.get("params", handler.params),
        require=tuple(meta.require),
        unique=tuple(map(parse_pointer, meta.unique)),
        max_instances=meta.max_instances,
        keep_count=keep.count,
        keep_age=_seconds(keep.age),
        locks=tuple(handler.lock),
        timeout=_seconds(handler.timeout),
        idle_timeout=_seconds(handler.idle_timeout),
        probe=tuple(handler.probe),
        reruns=handler.on_interrupt == "rerun",
        definition=definition,
        directory=Path(file).absolute().parent if file else Path.cwd(),
        file=file,
    )


def _seconds(duration: str | None) -> float | None:
    return None if duration is None else parse_duration(duration)


def _refusal(
    document: yamlio.Document, at: tuple[str | int, ...], definition: object, findings: list[Finding]
) -> UnitRefused:
    meta = definition.get("meta") if isinstance(definition, dict) else None
    name = meta.get("name") if isinstance(meta, dict) else None
    places = document.locate_all(finding._replace(at=at + finding.at) for finding in findings)
    located = [place._replace(at=finding.at) for place, finding in zip(places, findings, strict=True)]
    return UnitRefused(
        f"cannot use the unit {name or ''} in {document.file}".replace("  ", " "), errors=located, extra={"unit": name}
    )


def _faults(unit: Unit, definition: JsonObject) -> Iterator[Finding]:
    """Yield the faults that the form does not find: of the name, the schema itself, the primary key, unique paths."""
    if not NAME.match(unit.name):
        text = f"{unit.name!r} is not a valid name: 1 to 64 letters, digits, '.', '-' and '_', a letter or digit first"
        yield Finding(text, ("meta", "name"), got=unit.name)
    if "params" in definition and "params" in (definition.get("handler") or {}):
        yield Finding(
            "params is given twice: at the top level and under handler",
            ("handler", "params"),
            on_key=True,
            property="params",
        )
    schema_faults = lint(unit.params)
    yield from (finding._replace(at=unit.params_at + finding.at) for finding in schema_faults)
    if not schema_faults and unit.primary_key is not None:
        yield from _primary_key_faults(unit)
    if not schema_faults and unit.handler == ANSIBLE:
        yield from variable_findings(unit)
    properties = unit.params.get("properties") if isinstance(unit.params, dict) else None
    for index, path in enumerate(unit.unique):
        if properties is not None and path[0] not in properties:
            yield Finding(f"{path[0]} is not a property of params", ("meta", "unique", index), got=path[0])


def _primary_key_faults(unit: Unit) -> Iterator[Finding]:
    key = unit.primary_key
    at = ("meta", "primary_key")
    schema = unit.params.get("properties", {}).get(key) if isinstance(unit.params, dict) else None
    if schema is None:
        yield Finding(f"the primary key {key} is not a property of params", at, got=key)
        return
    json_type = schema.get("type") if isinstance(schema, dict) else None
    if json_type not in ("string", "integer"):
        yield Finding(f"the primary key {key} has to be of type string or integer", at, got=key)
    elif key not in unit.params.get("required", []) and "default" not in schema:
        yield Finding(f"the primary key {key} has to be required, or to have a default", at, got=key)
    elif unit.secrets.may_mark((str(key),)):
        yield Finding(f"the primary key {key} cannot be a secret: it names the instance", at, got=key)
