"""Verbs that take state in: import, migrate."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lmaps.api import changes
from lmaps.api.context import Invocation
from lmaps.api.endpoints import history_transfer, instances
from lmaps.api.endpoints.instances import Accepted
from lmaps.api.endpoints.show import shown, told
from lmaps.api.revisions import resolve
from lmaps.errors import Finding, LmapsError, MessageRefused, TookTooLong, TooManyDeletions, ValidationFailed
from lmaps.model.diff import Path, leaves, same
from lmaps.model.policy import Right
from lmaps.model.states import ChangesetKind
from lmaps.model.units import Unit, short_id
from lmaps.protocol import Reply
from lmaps.store import Edit, Instance
from lmaps.util import jsonio
from lmaps.util.failpoints import failpoint
from lmaps.util.jsonio import Encoded
from lmaps.util.text import plural


@dataclass(frozen=True, slots=True)
class Arriving:
    """Documents of one unit that are to be imported."""

    call: Invocation
    unit: Unit
    accepted: list[Accepted]


def import_(call: Invocation) -> Reply:
    """Take documents in, of any number of units: all of them, or none. One changeset a unit.

    ``merge`` adds and replaces by ID, ``skip`` adds only, ``replace`` makes the state what the documents are, order
    too; it deletes no more than ``max_deletes`` instances.
    """
    arriving = _arriving(call)
    mode = call.args["mode"]
    edits = [(each, _edits(each, mode)) for each in arriving]
    _check_deletions(call, edits)
    rows: list[dict[str, Any]] = []
    for each, unit_edits in edits:
        known = each.call.tx.instances.find(each.unit.name, [one.key for one in each.accepted])
        made = changes.record(each.call, each.unit, ChangesetKind.IMPORT, unit_edits)
        failpoint("import.mid")
        rows += _told(each, unit_edits, known, made.revision if made else None)
    counts = [
        f"{sum(row['result'] == result for row in rows)} {result}" for result in ("created", "updated", "deleted")
    ]
    return Reply(f"imported: {', '.join(counts)}", extra={"instances": rows}, revision=call.tx.revision())


def _arriving(call: Invocation) -> list[Arriving]:
    """The documents by unit; one error lists what is wrong in all of them. ``document`` counts them as they came."""
    arriving: list[Arriving] = []
    findings: list[Finding] = []
    number = 0
    for entry in call.args["units"]:
        about = call.for_unit(entry["unit"])
        try:
            unit = about.usable_unit
            accepted = instances.accept(about, unit, _unmasked(about, unit, entry["instances"]))
            findings += _twice(unit, accepted, number)
            arriving.append(Arriving(about, unit, accepted))
        except ValidationFailed as refused:
            findings += [each._replace(document=number + (each.document or 0)) for each in refused.errors]
        except TookTooLong as over:
            errors = [each._replace(document=number + (each.document or 0)) for each in over.errors]
            raise TookTooLong(over.message, errors=errors) from over
        except LmapsError as refused:
            if len(call.args["units"]) == 1:
                raise
            findings.append(Finding(refused.message.removeprefix(f"cannot {call.verb}: "), document=number))
        number += len(entry["instances"])
    if findings:
        raise ValidationFailed(f"cannot import: {plural(len(findings), 'error')}, nothing was changed", errors=findings)
    return arriving


def _unmasked(call: Invocation, unit: Unit, documents: Sequence[Any]) -> Sequence[Any]:
    """Documents whose masked secrets are those of the instances with the same primary key."""
    if unit.primary_key is None or not unit.secrets.any:
        return documents
    keys = [str(one.get(unit.primary_key)) if isinstance(one, dict) else "" for one in documents]
    there = call.tx.instances.find(unit.name, keys)
    return [
        unit.secrets.unmasked(one, json.loads(there[key].given)) if key in there else one
        for one, key in zip(documents, keys, strict=True)
    ]


def _twice(unit: Unit, accepted: Sequence[Accepted], first: int) -> list[Finding]:
    """Documents with the same ID and different content."""
    seen: dict[str, Accepted] = {}
    return [
        Finding(f"{short_id(one.key)} stands twice, with different content", document=first + place)
        for place, one in enumerate(accepted)
        if not same(seen.setdefault(one.key, one).completed, one.completed)
    ]


def _edits(each: Arriving, mode: str) -> list[Edit]:
    unit, tx = each.unit, each.call.tx
    first: dict[str, Accepted] = {}
    for one in each.accepted:
        first.setdefault(one.key, one)
    accepted = list(first.values())
    if mode == "replace":
        return _replacing(each, accepted, {instance.key: instance for instance in tx.instances.all(unit.name)})
    there = tx.instances.find(unit.name, list(first))
    edits: list[Edit] = []
    for one in accepted:
        instance = there.get(one.key)
        if instance is None:
            edits.append(Edit(None, instances.stored(each.call, unit, one)))
        elif mode == "merge":
            edits += _update(each, one, instance)
    return edits


def _update(each: Arriving, one: Accepted, instance: Instance) -> list[Edit]:
    if same(json.loads(instance.completed), one.completed):
        return []
    return [Edit.of(instance, instances.stored(each.call, each.unit, one))]


def _replacing(each: Arriving, accepted: Sequence[Accepted], there: dict[str, Instance]) -> list[Edit]:
    """What makes the state the documents that arrive: what does not stand in their order is put to the end anew."""
    wanted = {one.key for one in accepted}
    edits = [Edit.of(instance, None) for key, instance in there.items() if key not in wanted]
    last = 0
    moving = False
    for one in accepted:
        instance = there.get(one.key)
        if instance is not None and instance.id > last and not moving:
            last = instance.id
            edits += _update(each, one, instance)
            continue
        moving = moving or instance is None or instance.id <= last
        if instance is not None:
            edits.append(Edit.of(instance, None))
        edits.append(Edit(None, instances.stored(each.call, each.unit, one)))
    return edits


def _check_deletions(call: Invocation, edits: Sequence[tuple[Arriving, list[Edit]]]) -> None:
    gone = [(each.unit.name, key) for each, unit_edits in edits for key in _gone(unit_edits)]
    if len(gone) > call.args["max_deletes"]:
        named = ", ".join(f"{unit} {short_id(key)}" for unit, key in gone[:5]) + (", ..." if len(gone) > 5 else "")
        raise TooManyDeletions(
            f"cannot import: it would delete {plural(len(gone), 'instance')} ({named}), nothing was changed",
            hint=f"if that is meant: --max-deletes {len(gone)}",
            extra={"deletions": [{"unit": unit, "id": key} for unit, key in gone]},
        )


def _gone(unit_edits: Sequence[Edit]) -> list[str]:
    staying = {edit.after.key for edit in unit_edits if edit.after}
    return [edit.before.key for edit in unit_edits if edit.before and not edit.after and edit.before.key not in staying]


def _told(
    each: Arriving, unit_edits: Sequence[Edit], known: dict[str, Instance], revision: int | None
) -> list[dict[str, Any]]:
    changed = {edit.after.key for edit in unit_edits if edit.after}
    rows = []
    for key in dict.fromkeys(one.key for one in each.accepted):
        result = "unchanged" if key not in changed else "updated" if key in known else "created"
        rows.append((key, result, revision if key in changed else known[key].revision))
    rows += [(key, "deleted", revision) for key in _gone(unit_edits)]
    return [
        {"unit": each.unit.name, "id": key, "short": short_id(key), "result": result, "revision": made}
        for key, result, made in rows
    ]


def migrate(call: Invocation) -> Reply:
    """Take over what the original kept of a unit: a changeset for each of its files, what it had rolled back too.

    A leaf that equals the schema's default becomes a default again. What was rolled back is what redo brings.
    """
    unit = call.usable_unit
    current = _undefaulted(call, unit, call.args["current"], 0)
    undone = _undefaulted(call, unit, call.args["undone"], len(current))
    if call.tx.history.head(unit.name) is not None:
        raise ValidationFailed(f"cannot migrate into {unit.name}: it has a history already; take a unit that has none")
    rows: list[tuple[Accepted, str, int | None]] = []
    for one in [*current, *undone]:
        there = call.tx.instances.find(unit.name, [one.key]).get(one.key)
        if there is not None and same(json.loads(there.completed), one.completed):
            rows.append((one, "unchanged", there.revision))
            continue
        document = instances.stored(call, unit, one)
        made = changes.record(
            call, unit, ChangesetKind.IMPORT, [Edit.of(there, document) if there else Edit(None, document)]
        )
        rows.append((one, "updated" if there else "created", made.revision if made else None))
    back = sum(result != "unchanged" for _, result, _ in rows[len(current) :])
    for _ in range(back):
        call.tx.changesets.rollback(unit.name, call.why)
    told = [
        {"id": one.key, "short": short_id(one.key), "result": result, "revision": revision}
        for one, result, revision in rows[: len(current)]
    ]
    return Reply(
        f"migrated {plural(len(current), 'instance')} to {unit.name}, {back} for redo",
        extra={"instances": told, "undone": back},
        revision=call.tx.history.newest_revision(unit.name),
    )


def _undefaulted(call: Invocation, unit: Unit, documents: Sequence[Any], first: int) -> list[Accepted]:
    """Accepted documents whose given form has no leaf that the schema fills in by itself."""
    try:
        accepted = instances.accept(call, unit, documents)
    except ValidationFailed as refused:
        raise ValidationFailed(
            refused.message, errors=[each._replace(document=first + (each.document or 0)) for each in refused.errors]
        ) from refused
    what = f"migrate into {unit.name}"
    return call.limit.run(what, lambda: [one._replace(given=_without_defaults(unit, one)) for one in accepted])


def _without_defaults(unit: Unit, one: Accepted) -> dict[str, Any]:
    """``one.given`` without each property that comes back by itself when it is left out."""
    given = one.given
    for path, _ in list(leaves(given)):
        less = _without(given, path)
        try:
            completed = unit.complete(less)
        except ValidationFailed:
            continue
        if jsonio.canonical(completed) == jsonio.canonical(one.completed):
            given = less
    return given


def _without(document: Any, path: Path) -> Any:
    if not path:
        return document
    key, *below = path
    if isinstance(document, list):
        return [_without(each, tuple(below)) if index == key and below else each for index, each in enumerate(document)]
    if not below:
        return {name: value for name, value in document.items() if name != key}
    return {name: _without(value, tuple(below)) if name == key else value for name, value in document.items()}


EVERYTHING = 2**31
"""More instances than any unit has."""


def export(call: Invocation) -> Reply:
    """The given documents of the units named, or of all, oldest first; with ``history`` all their changesets too.

    With a ``limit`` no more documents at once: then ``next`` says how to ask for those that follow.
    """
    names = _names(call)
    revisions = _revisions(call, names)
    page = call.args.get("limit")
    left, after = page or EVERYTHING, call.args["after"]
    rows: list[str] = []
    count, following = 0, None
    for place, (name, revision) in enumerate(zip(names, revisions, strict=True)):
        failpoint("export.mid")
        row, documents, last = _exported(call, name, revision, after, left)
        rows.append(jsonio.encode_object(row))
        count += documents
        left, after = left - documents, 0
        if page is not None and (last is not None or left <= 0):
            following = _following(names[place:], revisions[place:], last)
            break
    newest = revisions[0] if call.args.get("at") and names else call.tx.revision()
    return Reply(
        f"exported {plural(len(rows), 'unit')}, {plural(count, 'instance')} at r{newest}",
        extra={"units": Encoded.array(rows), "revision": newest, "next": following},
        revision=newest,
    )


def _names(call: Invocation) -> Sequence[str]:
    rights: tuple[Right, ...] = ("export", "reveal") if call.args["reveal"] else ("export",)
    for wanted in call.args["units"]:
        call.for_unit(wanted).kept_unit  # noqa: B018 (an unknown unit is told before anything is read)
    known = {**call.manager.units.units, **dict.fromkeys(call.tx.history.units())}
    return call.args["units"] or [name for name in known if call.may(name, *rights)]


def _revisions(call: Invocation, names: Sequence[str]) -> Sequence[int]:
    """Which state of each unit is meant."""
    given, at = call.args.get("revisions"), call.args.get("at")
    if given is None:
        return [call.tx.revision() if at is None else resolve(call, name, at) for name in names]
    if len(given) != len(names):
        raise MessageRefused("cannot export: revisions are to be as many as units")
    return [resolve(call, name, f"r{revision}") for name, revision in zip(names, given, strict=True)]


def _following(names: Sequence[str], revisions: Sequence[int], last: int | None) -> dict[str, Any] | None:
    """What the request for the next page says beside what this one has said; None if nothing is left."""
    if last is None:
        names, revisions = names[1:], revisions[1:]
    return {"units": names, "revisions": revisions, "after": last or 0} if names else None


def _exported(
    call: Invocation, name: str, revision: int, after: int, most: int
) -> tuple[dict[str, Any], int, int | None]:
    """One unit, how many documents of it there are, and the number of the last one if more follow."""
    unit, paged = call.for_unit(name).kept_unit, call.args.get("limit") is not None
    documents: list[str] = []
    last: int | None = after
    while last is not None and len(documents) < most:
        page = call.tx.snapshots.page(name, revision, last, most - len(documents))
        documents += told(call, unit, page.given)
        last = page.last
        if paged:
            break
    row = {
        "unit": name,
        "type": unit.data_type,
        "store_key": unit.store_key,
        "primary_key": unit.primary_key,
        "instances": Encoded.array(documents),
        **(history_transfer.told(call, name) if call.args["history"] else {}),
        **({} if paged else {"undone": _undone(call, name)}),
    }
    return row, len(documents), last


def _undone(call: Invocation, name: str) -> list[Any]:
    """The given documents that redo would bring."""
    unit = call.for_unit(name).kept_unit
    return [
        shown(call, unit, change.after.given)
        for revision in call.tx.history.redoable(name)
        for change in call.tx.history.changes(revision)
        if change.after is not None
    ]
