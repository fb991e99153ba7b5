"""Export and import of whole histories: ``export --history`` writes them, `import_history` reads them."""

import json
import re
from hashlib import sha256
from typing import Annotated, Any, get_type_hints

from lmaps.api.arguments import Write, arguments
from lmaps.api.context import Invocation
from lmaps.api.documents import PublicDocuments
from lmaps.api.endpoint import endpoint
from lmaps.errors import Conflict, Finding, LmapsError, StateUnusable, ValidationFailed
from lmaps.model.schema.dataclasses import Keywords
from lmaps.model.states import ChangesetKind
from lmaps.model.units import Unit, unit_from_definition
from lmaps.protocol import Reply
from lmaps.store import Change, Changeset, Document, replay
from lmaps.util import jsonio
from lmaps.util.jsonio import JsonObject
from lmaps.util.text import plural
from lmaps.version import __version__

_NUMBER = re.compile(r"[1-9]\d{0,17}", re.ASCII)
_REVISION = {"type": "integer", "minimum": 1, "maximum": 10**18 - 1}
"""A revision or number has at most 18 digits, as in `_NUMBER`: the next ones then still fit into 64 bits."""
_LINK = _REVISION | {"type": ["integer", "null"]}
_DOCUMENT = {
    "type": "object",
    "properties": {
        "key": {"type": "string"},
        "given": {"type": "object", "writeOnly": True},
        "completed": {"type": "object", "writeOnly": True},
        "definition": _REVISION,
    },
    "required": ["key", "given", "completed", "definition"],
    "additionalProperties": False,
}
_CHANGE = {
    "type": "object",
    "properties": {"instance": _REVISION, "first_revision": _REVISION, "before": _DOCUMENT, "after": _DOCUMENT},
    "required": ["instance", "first_revision"],
    "additionalProperties": False,
}
_SCHEMA_OF_TYPE: dict[object, JsonObject] = {
    int: _REVISION,
    int | None: _LINK,
    str: {"type": "string"},
    str | None: {"type": ["string", "null"]},
    ChangesetKind: {"enum": [kind.value for kind in ChangesetKind]},
}
_COLUMNS = {name: _SCHEMA_OF_TYPE[hint] for name, hint in get_type_hints(Changeset).items() if name != "unit"}
_COLUMNS["target"] = _LINK | {"minimum": 0}  # 0 is the state before the first change
"""The columns of a changeset in an export; its unit stands above it."""
_DEFAULTS = Changeset._field_defaults
"""Defaults of the columns that were added later.

An export leaves out a column with its default value, as an older version would, which did not have the column.
"""
_CHANGESET = {
    "type": "object",
    "properties": {**_COLUMNS, "changes": {"type": "array", "items": _CHANGE}},
    "required": [*(name for name in _COLUMNS if name not in _DEFAULTS), "changes"],
}
"""It allows unknown properties: `_check_columns` refuses them with a message that names the version."""
SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "unit": {"type": "string", "minLength": 1, "maxLength": 64},
        "definitions": {"type": "object", "additionalProperties": {"type": "object"}},
        "history": {"type": "array", "items": _CHANGESET},
    },
    "required": ["unit", "history", "definitions"],
}
"""A unit with its history, as `export` writes it. Other properties follow from these and are ignored."""


def history_of(ctx: Invocation, unit: Unit) -> JsonObject:
    """Return the definitions that a unit has had, by number, and its changesets, oldest first.

    Raises `Conflict` if its secrets may not be revealed, or if its oldest changesets are no longer stored.
    """
    name, history = unit.name, ctx.tx.history
    if not PublicDocuments(ctx, unit).are_clear:
        raise Conflict(
            f"cannot export the history of {name}: it has secrets", hint="to export the secrets too: --reveal"
        )
    if history.horizon(name):
        raise Conflict(
            f"cannot export the history of {name}: its changesets up to r{history.horizon(name)} were deleted",
            hint="lmaps backup FILE copies the whole state",
        )
    return {
        "definitions": {str(number): json.loads(text) for number, text in ctx.tx.instances.definitions(name).items()},
        "history": [
            _columns(changeset) | {"changes": [_change(change) for change in history.changes(changeset.revision)]}
            for changeset in reversed(history.changesets(name))
        ],
    }


def _columns(changeset: Changeset) -> JsonObject:
    columns = {name: getattr(changeset, name) for name in _COLUMNS}
    return {name: value for name, value in columns.items() if name not in _DEFAULTS or value != _DEFAULTS[name]}


def _change(change: Change) -> JsonObject:
    documents = {"before": change.before, "after": change.after}
    return {"instance": change.instance_id, "first_revision": change.first_revision} | {
        name: {
            "key": document.key,
            "given": json.loads(document.clear_given),
            "completed": json.loads(document.clear_completed),
            "definition": document.definition,
        }
        for name, document in documents.items()
        if document is not None
    }


@arguments
class ImportHistory(Write):
    """The arguments of import_history."""

    units: Annotated[
        list[Any], Keywords("Units with their histories, as export writes them.", minItems=1, items=SCHEMA)
    ]


@endpoint("import_history", right="import", action="import a history")
def import_history(ctx: Invocation, request: ImportHistory) -> Reply:
    """Import units with all their changesets, unchanged, into a state that has no changeset yet."""
    tx = ctx.tx
    if tx.revision():
        raise Conflict(
            f"cannot import a history: the state has one already (r{tx.revision()})",
            hint="import it into a new state, or import an export made without --history",
        )
    try:
        _restore(ctx, request.units)
        count = replay(tx)
    except StateUnusable as error:
        text = error.message.removeprefix("cannot rely on the database: ")
        raise ValidationFailed(f"cannot import the history: it is inconsistent, {text}") from error
    return Reply(
        f"imported {plural(count, 'changeset')} of {plural(len(ctx.units), 'unit')}, at r{tx.revision()}",
        extra={"units": ctx.units, "changesets": count},
        revision=tx.revision(),
    )


def _restore(ctx: Invocation, units: list[Any]) -> None:
    tx = ctx.tx
    changesets: list[tuple[Changeset, list[Change]]] = []
    for unit in units:
        for number, definition in unit["definitions"].items():
            _check_definition(unit["unit"], number, definition)
            digest = sha256(jsonio.canonical(definition).encode()).hexdigest()
            tx.instances.restore_definition(unit["unit"], int(number), digest, jsonio.encode(definition))
        texts = [*map(unit_from_definition, unit["definitions"].values())]
        texts += filter(None, [ctx.manager.units.units.get(unit["unit"])])  # what it marks is secret in older ones too
        secret = any(text.secrets.any for text in texts)
        changesets += [_changeset(unit["unit"], row, secret=secret) for row in unit["history"]]
    changesets.sort(key=lambda pair: pair[0].revision)
    revisions = [changeset.revision for changeset, _ in changesets]
    if len(set(revisions)) != len(revisions):
        raise StateUnusable("a revision occurs twice")
    tx.changesets.restore_history(changesets)


def _check_definition(unit: str, number: str, definition: JsonObject) -> None:
    if not _NUMBER.fullmatch(number):
        finding = Finding(f"a definition of {unit} has no number", got=number)
        raise ValidationFailed(f"cannot import the history of {unit}: {finding.message}", errors=[finding])
    try:
        name = unit_from_definition(definition).name
    except LmapsError as error:
        raise ValidationFailed(f"cannot import the history of {unit}: {error.message}", errors=error.errors) from error
    if name != unit:
        finding = Finding(f"a definition of {unit} defines the unit {name}", got=name)
        raise ValidationFailed(f"cannot import the history of {unit}: {finding.message}", errors=[finding])


def _changeset(unit: str, row: JsonObject, *, secret: bool) -> tuple[Changeset, list[Change]]:
    _check_columns(unit, row)
    changeset = Changeset.from_columns({"unit": unit, **{name: row[name] for name in _COLUMNS if name in row}})
    changes = [
        Change(
            changeset.revision,
            change["instance"],
            change["first_revision"],
            _document(change.get("before"), secret=secret),
            _document(change.get("after"), secret=secret),
        )
        for change in row["changes"]
    ]
    return changeset, changes


def _check_columns(unit: str, changeset: JsonObject) -> None:
    unknown = [name for name in changeset if name not in _COLUMNS and name != "changes"]
    if unknown:
        finding = Finding(
            f"r{changeset['revision']} has the property {unknown[0]}, which lMaPS {__version__} does not know"
        )
        raise ValidationFailed(
            f"cannot import the history of {unit}: {finding.message}",
            errors=[finding],
            hint="a newer lMaPS wrote it: import it with that version or a later one",
        )


def _document(row: JsonObject | None, *, secret: bool) -> Document | None:
    if row is None:
        return None
    given, completed = jsonio.encode(row["given"]), jsonio.encode(row["completed"])
    return Document(row["key"], given, completed, row["definition"], secret=secret)
