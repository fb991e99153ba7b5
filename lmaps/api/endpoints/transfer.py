"""Endpoints that move state between daemons: import, migrate, export."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from lmaps.api import acceptance, changes
from lmaps.api.acceptance import Accepted
from lmaps.api.arguments import (
    Documents,
    Limit,
    Number,
    Text,
    UnitName,
    Write,
    argument,
    arguments,
)
from lmaps.api.changes import Proposal, UnitChange
from lmaps.api.context import Invocation
from lmaps.api.documents import PublicDocuments
from lmaps.api.endpoint import endpoint
from lmaps.api.endpoints import history_transfer
from lmaps.api.revisions import resolve
from lmaps.errors import Finding, LmapsError, MessageRefused, TookTooLong, TooManyDeletions, ValidationFailed
from lmaps.model.diff import Path, leaves, same
from lmaps.model.policy import Right
from lmaps.model.schema.dataclasses import Keywords
from lmaps.model.states import ChangesetKind
from lmaps.model.units import Unit, short_id
from lmaps.protocol import Reply
from lmaps.protocol.views import InstanceRow
from lmaps.store import Changeset, Edit, Instance, Job
from lmaps.util import jsonio
from lmaps.util.failpoints import failpoint
from lmaps.util.jsonio import Encoded, JsonObject
from lmaps.util.text import plural


@arguments
class UnitDocuments:
    """Documents of one unit."""

    unit: UnitName
    instances: Documents = argument()


@arguments
class Import(Write):
    """The arguments of import."""

    units: Annotated[list[UnitDocuments], Keywords("Documents, by their units.", minItems=1)]
    mode: Literal["merge", "replace", "skip"] = argument(default="merge", doc="What becomes of stored instances.")
    max_deletes: Number = argument(default=0, doc="How many instances may be deleted.")


@dataclass(frozen=True, slots=True)
class Arriving:
    """Documents of one unit that are to be imported."""

    unit: Unit
    accepted: list[Accepted]


class ImportProposal(Proposal):
    """Changes of several units; each row names its unit."""

    __slots__ = ()

    def reply(self, ctx: Invocation, changesets: Sequence[Changeset | None], job: Job | None) -> Reply:
        """Return the answer: how many instances were created, updated and deleted."""
        revisions = {changeset.unit: changeset.revision for changeset in changesets if changeset}
        rows = [row.to_json() for row in self.rows]
        for row in rows:
            if row["revision"] is None:
                row["revision"] = revisions[row["unit"]]
        counts = [
            f"{sum(row.result == kind for row in self.rows)} {kind}" for kind in ("created", "updated", "deleted")
        ]
        return Reply(f"imported: {', '.join(counts)}", extra={"instances": rows}, revision=ctx.tx.revision())


@endpoint("import", right="import")
def import_(ctx: Invocation, request: Import) -> Proposal:
    """Take documents in, of any number of units: all of them, or none. One changeset a unit.

    ``merge`` adds and replaces by ID, ``skip`` adds only, ``replace`` makes the state what the documents are, order
    too; it deletes no more than ``max_deletes`` instances.
    """
    arriving = _arriving(ctx, request.units)
    unit_changes = [UnitChange(part.unit, ChangesetKind.IMPORT, _edits(ctx, part, request.mode)) for part in arriving]
    _check_deletions(unit_changes, request.max_deletes)
    pairs = zip(arriving, unit_changes, strict=True)
    rows = [row for part, change in pairs for row in _result_rows(ctx, part, change.edits)]
    return ImportProposal("", unit_changes, rows)


def _arriving(ctx: Invocation, units: Sequence[UnitDocuments]) -> list[Arriving]:
    """Return the documents by unit; one error lists what is wrong in all of them, counted as they came."""
    arriving: list[Arriving] = []
    findings: list[Finding] = []
    first = 0
    for part in units:
        try:
            unit = ctx.usable_unit(part.unit)
            accepted = acceptance.accept(ctx, unit, acceptance.put_back_by_key(ctx, unit, part.instances))
            findings += _twice(unit, accepted, first)
            arriving.append(Arriving(unit, accepted))
        except ValidationFailed as refused:
            findings += _counted_from(first, refused.errors)
        except TookTooLong as over:
            raise TookTooLong(over.message, errors=_counted_from(first, over.errors)) from over
        except LmapsError as refused:
            if len(units) == 1:
                raise
            findings.append(Finding(refused.message, document=first))
        first += len(part.instances)
    if findings:
        raise ValidationFailed(f"cannot import: {plural(len(findings), 'error')}, nothing was changed", errors=findings)
    return arriving


def _counted_from(first: int, findings: Sequence[Finding]) -> list[Finding]:
    """Return findings of one unit's documents, which are counted from ``first`` among all of the request."""
    return [finding._replace(document=first + (finding.document or 0)) for finding in findings]


def _twice(unit: Unit, accepted: Sequence[Accepted], first: int) -> list[Finding]:
    """Return the documents with the same ID as an earlier one, and different content."""
    seen: dict[str, Accepted] = {}
    return [
        Finding(f"{short_id(document.key)} is given twice, with different content", document=first + place)
        for place, document in enumerate(accepted)
        if not same(seen.setdefault(document.key, document).completed, document.completed)
    ]


def _edits(ctx: Invocation, arriving: Arriving, mode: str) -> list[Edit]:
    unit, tx = arriving.unit, ctx.tx
    by_key: dict[str, Accepted] = {}
    for document in arriving.accepted:
        by_key.setdefault(document.key, document)
    if mode == "replace":
        stored = {instance.key: instance for instance in tx.instances.all(unit.name)}
        return _replacing(ctx, unit, by_key, stored)
    stored = tx.instances.find(unit.name, list(by_key))
    edits: list[Edit] = []
    for document in by_key.values():
        instance = stored.get(document.key)
        if instance is None:
            edits.append(Edit(None, acceptance.new_document(ctx, unit, document)))
        elif mode == "merge":
            edits += _update(ctx, unit, document, instance)
    return edits


def _update(ctx: Invocation, unit: Unit, document: Accepted, instance: Instance) -> list[Edit]:
    if same(json.loads(instance.clear_completed), document.completed):
        return []
    return [Edit.of(instance, acceptance.new_document(ctx, unit, document))]


def _replacing(ctx: Invocation, unit: Unit, by_key: dict[str, Accepted], stored: dict[str, Instance]) -> list[Edit]:
    """Return what makes the state the documents that arrive, in their order.

    Instances keep the order in which they were made: from the first one that stands elsewhere, all are made anew.
    """
    edits = [Edit.of(instance, None) for key, instance in stored.items() if key not in by_key]
    last = 0
    is_moving = False
    for document in by_key.values():
        instance = stored.get(document.key)
        if instance is not None and instance.id > last and not is_moving:
            last = instance.id
            edits += _update(ctx, unit, document, instance)
            continue
        is_moving = is_moving or instance is None or instance.id <= last
        if instance is not None:
            edits.append(Edit.of(instance, None))
        edits.append(Edit(None, acceptance.new_document(ctx, unit, document)))
    return edits


def _check_deletions(unit_changes: Sequence[UnitChange], limit: int) -> None:
    deleted = [(change.unit.name, key) for change in unit_changes for key in _deleted(change.edits)]
    if len(deleted) > limit:
        names = ", ".join(f"{unit} {short_id(key)}" for unit, key in deleted[:5]) + (
            ", ..." if len(deleted) > 5 else ""
        )
        raise TooManyDeletions(
            f"cannot import: it would delete {plural(len(deleted), 'instance')} ({names}), nothing was changed",
            hint=f"to allow that: --max-deletes {len(deleted)}",
            extra={"deletions": [{"unit": unit, "id": key} for unit, key in deleted]},
        )


def _deleted(edits: Sequence[Edit]) -> list[str]:
    staying = {edit.after.key for edit in edits if edit.after}
    return [edit.before.key for edit in edits if edit.before and not edit.after and edit.before.key not in staying]


def _result_rows(ctx: Invocation, arriving: Arriving, edits: Sequence[Edit]) -> list[InstanceRow]:
    name = arriving.unit.name
    keys = list(dict.fromkeys(document.key for document in arriving.accepted))
    stored = ctx.tx.instances.find(name, keys)
    changed = {edit.after.key for edit in edits if edit.after}
    rows = []
    for key in keys:
        if key in changed:
            rows.append(InstanceRow(key, short_id(key), "updated" if key in stored else "created", None, name))
        else:
            rows.append(InstanceRow(key, short_id(key), "unchanged", stored[key].revision, name))
    rows += [InstanceRow(key, short_id(key), "deleted", None, name) for key in _deleted(edits)]
    return rows


@arguments
class Migrate(Write):
    """The arguments of migrate."""

    unit: UnitName
    current: Documents = argument(doc="The documents of the files that are in effect.")
    undone: Documents = argument(default=[], doc="Those that were rolled back.")


@endpoint("migrate", right="import")
def migrate(ctx: Invocation, request: Migrate) -> Reply:
    """Take over what the original kept of a unit: a changeset for each of its files, what it had rolled back too.

    A leaf that equals the schema's default becomes a default again. What was rolled back is what redo brings.
    """
    unit = ctx.usable_unit(request.unit)
    current = _undefaulted(ctx, unit, request.current, 0)
    undone = _undefaulted(ctx, unit, request.undone, len(current))
    if ctx.tx.history.head(unit.name) is not None:
        raise ValidationFailed(f"cannot migrate into {unit.name}: it has a history already; take a unit that has none")
    rows = [_migrated(ctx, unit, document) for document in [*current, *undone]]
    rolled_back = sum(row.result != "unchanged" for row in rows[len(current) :])
    for _ in range(rolled_back):
        ctx.tx.changesets.rollback(unit.name, ctx.origin)
    return Reply(
        f"migrated {plural(len(current), 'instance')} to {unit.name}, {rolled_back} for redo",
        extra={"instances": [row.to_json() for row in rows[: len(current)]], "undone": rolled_back},
        revision=ctx.tx.history.newest_revision(unit.name),
    )


def _migrated(ctx: Invocation, unit: Unit, document: Accepted) -> InstanceRow:
    """Record one document as a changeset of its own, as it was a file of its own."""
    key = document.key
    stored = ctx.tx.instances.find(unit.name, [key]).get(key)
    if stored is not None and same(json.loads(stored.clear_completed), document.completed):
        return InstanceRow(key, short_id(key), "unchanged", stored.revision)
    after = acceptance.new_document(ctx, unit, document)
    edit = Edit.of(stored, after) if stored else Edit(None, after)
    changeset = changes.record(ctx, UnitChange(unit, ChangesetKind.IMPORT, [edit]))
    result = "updated" if stored else "created"
    return InstanceRow(key, short_id(key), result, changeset.revision if changeset else None)


def _undefaulted(ctx: Invocation, unit: Unit, documents: Sequence[object], first: int) -> list[Accepted]:
    """Return accepted documents whose given form has no leaf that the schema fills in by itself."""
    try:
        accepted = acceptance.accept(ctx, unit, documents)
    except ValidationFailed as refused:
        raise ValidationFailed(refused.message, errors=_counted_from(first, refused.errors)) from refused
    return ctx.limit.run(
        f"migrate into {unit.name}",
        lambda: [document._replace(given=_without_defaults(unit, document)) for document in accepted],
    )


def _without_defaults(unit: Unit, accepted: Accepted) -> JsonObject:
    """Return the given document without each property that comes back by itself when it is left out."""
    given = accepted.given
    for path, _ in list(leaves(given)):
        less = _without(given, path)
        try:
            completed = unit.complete(less)
        except ValidationFailed:
            continue
        if jsonio.canonical(completed) == jsonio.canonical(accepted.completed):
            given = less
    return given


def _without(document: Any, path: Path) -> Any:
    if not path:
        return document
    key, *below = path
    if isinstance(document, list):
        return [_without(item, tuple(below)) if index == key and below else item for index, item in enumerate(document)]
    if not below:
        return {name: value for name, value in document.items() if name != key}
    return {name: _without(value, tuple(below)) if name == key else value for name, value in document.items()}


ALL_INSTANCES = 2**31
"""More instances than any unit has."""


@arguments
class Export:
    """The arguments of export."""

    units: list[UnitName] = argument(default=[], doc="Only these units.")
    at: Text | None = argument(default=None, doc="As it was then: r41, @~2, applied, or a time.")
    history: bool = argument(default=False, doc="With all changesets.")
    reveal: bool = argument(default=False, doc="With secrets as they are.")
    limit: Limit | None = argument(default=None, doc="So many documents at once.")
    after: Number = argument(default=0, doc="Of the first unit only what comes after this instance.")
    revisions: list[Number] | None = argument(default=None, doc="As each of the units was at its revision.")


@endpoint("export", right="export", scope="some", also={"reveal": "reveal"})
def export(ctx: Invocation, request: Export) -> Reply:
    """Export the given documents of the units named, or of all, oldest first; with ``history`` all their changesets.

    With a ``limit`` no more documents at once: then ``next`` says how to ask for those that follow.
    """
    names = _names(ctx, request)
    revisions = _revisions(ctx, names, request)
    left, after = request.limit or ALL_INSTANCES, request.after
    rows: list[str] = []
    count, following = 0, None
    for place, (name, revision) in enumerate(zip(names, revisions, strict=True)):
        failpoint("export.mid")
        row, documents, last = _exported(ctx, name, revision, after, left, request)
        rows.append(jsonio.encode_object(row))
        count += documents
        left, after = left - documents, 0
        if request.limit is not None and (last is not None or left <= 0):
            following = _following(names[place:], revisions[place:], last)
            break
    newest = revisions[0] if request.at and names else ctx.tx.revision()
    return Reply(
        f"exported {plural(len(rows), 'unit')}, {plural(count, 'instance')} at r{newest}",
        extra={"units": Encoded.array(rows), "revision": newest, "next": following},
        revision=newest,
    )


def _names(ctx: Invocation, request: Export) -> Sequence[str]:
    rights: tuple[Right, ...] = ("export", "reveal") if request.reveal else ("export",)
    for name in request.units:
        ctx.recorded_unit(name)  # an unknown unit is refused before anything is read
    names = {**ctx.manager.units.units, **dict.fromkeys(ctx.tx.history.units())}
    return request.units or [name for name in names if ctx.may(name, *rights)]


def _revisions(ctx: Invocation, names: Sequence[str], request: Export) -> Sequence[int]:
    """Return the revision at which each unit is exported."""
    if request.revisions is None:
        at = request.at
        return [ctx.tx.revision() if at is None else resolve(ctx, name, at) for name in names]
    if len(request.revisions) != len(names):
        raise MessageRefused("cannot export: there have to be as many revisions as units")
    return [resolve(ctx, name, f"r{revision}") for name, revision in zip(names, request.revisions, strict=True)]


def _following(names: Sequence[str], revisions: Sequence[int], last: int | None) -> JsonObject | None:
    """Return what the request for the next page says beside what this one has said; None if nothing is left."""
    if last is None:
        names, revisions = names[1:], revisions[1:]
    return {"units": names, "revisions": revisions, "after": last or 0} if names else None


def _exported(
    ctx: Invocation, name: str, revision: int, after: int, limit: int, request: Export
) -> tuple[JsonObject, int, int | None]:
    """Return one unit, its number of documents, and the number of the last one if more follow."""
    unit, is_paged = ctx.recorded_unit(name), request.limit is not None
    public = PublicDocuments(ctx, unit)
    documents: list[str] = []
    last: int | None = after
    while last is not None and len(documents) < limit:
        page = ctx.tx.snapshots.page(name, revision, last, limit - len(documents))
        documents += public.texts(page.clear_given, page.definitions)
        last = page.last
        if is_paged:
            break
    row = {
        "unit": name,
        "type": unit.data_type,
        "store_key": unit.store_key,
        "primary_key": unit.primary_key,
        "instances": Encoded.array(documents),
        **(history_transfer.history_of(ctx, unit) if request.history else {}),
        **({} if is_paged else {"undone": _undone(ctx, public, name)}),
    }
    return row, len(documents), last


def _undone(ctx: Invocation, public: PublicDocuments, unit: str) -> list[Any]:
    """Return the given documents that redo would bring."""
    return [
        public.given(change.after)
        for revision in ctx.tx.history.redoable(unit)
        for change in ctx.tx.history.changes(revision)
        if change.after is not None
    ]
