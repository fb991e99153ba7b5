"""The endpoint blame: who gave each value, when, and why."""

import json
from collections.abc import Collection, Iterator, Sequence

from lmaps.api.arguments import Pointer, UnitName, argument, arguments
from lmaps.api.context import Invocation
from lmaps.api.documents import PublicDocuments, Version
from lmaps.api.endpoint import endpoint
from lmaps.api.instance_ids import picked
from lmaps.model.diff import MISSING, Path, leaves, look_up, pointer, same
from lmaps.model.schema.secrets import MASK
from lmaps.model.units import short_id
from lmaps.protocol import Reply
from lmaps.store import Change, Changeset, Instance
from lmaps.util.jsonio import JsonObject
from lmaps.util.text import plural

Changesets = dict[int, Changeset | None]
"""Changesets by revision that were looked up already."""


@arguments
class Blame:
    """The arguments of blame."""

    unit: UnitName
    ids: list[str] = argument(default=[], doc="Only these instances.")
    path: Pointer | None = argument(default=None, doc="Only the values below this place: /tls/port.")


@endpoint("blame", right="show")
def blame(ctx: Invocation, request: Blame) -> Reply:
    """For each value of an instance, or of all: which change gave it, who, when and why, and what was before.

    A value that undo or redo brought back is still the work of its change; ``by`` names the undo. A default is the
    unit text's work, not the change's.
    """
    unit = ctx.recorded_unit(request.unit)
    below = (request.path or "").rstrip("/")
    instances = picked(ctx, unit, request.ids) if request.ids else ctx.tx.instances.all(unit.name)
    changesets: Changesets = {}
    documents = PublicDocuments(ctx, unit)
    rows = [row for instance in instances for row in _rows(ctx, documents, instance, below, changesets)]
    return Reply(f"{plural(len(rows), 'value')} in {unit.name}", extra={"unit": unit.name, "values": rows})


def _rows(
    ctx: Invocation, documents: PublicDocuments, instance: Instance, below: str, changesets: Changesets
) -> Iterator[JsonObject]:
    changes = ctx.tx.history.changes_of(instance.id)
    line = ctx.tx.history.on_line(instance.unit, [change.revision for change in changes])
    given = json.loads(instance.clear_given)
    versions = {end and end.id: documents.version(end) for change in changes for end in (change.before, change.after)}
    history = [
        (change, versions[change.before and change.before.id], versions[change.after and change.after.id])
        for change in changes
    ]
    for path, value in leaves(documents.completed(instance.document), whole=MASK):
        if not path or not f"{pointer(path)}/".startswith(f"{below}/"):
            continue
        revision, before, by = _origin(history, path, line)
        row = {
            "id": instance.key,
            "short": short_id(instance.key),
            "path": pointer(path),
            "value": value,
            "default": look_up(given, path) is MISSING,
        }
        row |= _author(ctx, revision, changesets)
        if before is not MISSING:
            row["before"] = before
        yield row | {"by": _named(ctx, by, changesets)}


def _origin(
    history: Sequence[tuple[Change, Version, Version]], path: Path, line: Collection[int]
) -> tuple[int | None, object, int | None]:
    """Return which change on the line gave the value at ``path``, what was before, and which undo brought it back.

    What was before is in its public form; the values are compared in clear.
    """
    moved = given_by = None
    before: object = MISSING
    for change, was, became in history:
        if same(look_up(was.clear, path), look_up(became.clear, path)):
            continue
        moved = change.revision
        if change.revision in line:
            given_by, before = change.revision, _public(was.public, path)
    return given_by, before, moved if moved != given_by else None


def _public(document: object, path: Path) -> object:
    """Return the value at ``path`` of a public form: the mask, if it is part of a secret."""
    for key in path:
        document = document if document is MASK else look_up(document, (key,))
    return document


def _author(ctx: Invocation, revision: int | None, changesets: Changesets) -> JsonObject:
    """Return who made a changeset, when and why; nothing is known of one that is no longer kept."""
    changeset = _changeset(ctx, revision, changesets)
    names = ("revision", "at", "author", "on_behalf_of", "ticket", "message")
    return {name: getattr(changeset, name) if changeset else None for name in names}


def _named(ctx: Invocation, revision: int | None, changesets: Changesets) -> str | None:
    """Return the name of a changeset: ``redo r6``."""
    changeset = _changeset(ctx, revision, changesets)
    return f"{changeset.kind} r{changeset.revision}" if changeset else None


def _changeset(ctx: Invocation, revision: int | None, changesets: Changesets) -> Changeset | None:
    if revision is None:
        return None
    if revision not in changesets:
        changesets[revision] = ctx.tx.history.changeset(revision)
    return changesets[revision]
