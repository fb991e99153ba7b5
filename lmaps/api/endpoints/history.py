"""Verbs on a unit's history: rollback, redo, revert; history, diff."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lmaps.api import changes
from lmaps.api.context import Invocation
from lmaps.api.endpoints import instances, show
from lmaps.api.revisions import resolve
from lmaps.errors import AlreadyExists, Conflict, Finding, MessageRefused, NotFound, RevertConflict
from lmaps.model.diff import MISSING, Clash, differences, merged, pointer, same
from lmaps.model.schema.secrets import MASK
from lmaps.model.states import ChangesetKind
from lmaps.model.units import Unit, short_id
from lmaps.protocol import Reply
from lmaps.store import Change, Changeset, Document, Edit, Instance, Transaction
from lmaps.util import jsonio, times
from lmaps.util.failpoints import failpoint
from lmaps.util.text import plural

CHANGES_SHOWN = 8
"""Instances of one changeset that `history` names; of the others it tells the number."""


def rollback(call: Invocation) -> Reply:
    """Undo the newest changes that are in effect, or bring the state of an older revision back. No handler runs."""
    failpoint("rollback.before")
    unit = call.kept_unit
    before = _state(call, unit)
    to = call.args.get("to")
    if to is not None and call.args["steps"] is not None:
        raise MessageRefused("cannot roll back: give the number of steps or a revision to go back to, not both")
    if to is not None:
        revision = resolve(call, unit.name, to)
        made = changes.record(
            call, unit, ChangesetKind.ROLLBACK, back_to(call.tx, unit.name, revision), revision, ruled=False
        )
        nothing = f"nothing to roll back in {unit.name}: it is as it was at r{revision}"
    else:
        made = call.tx.changesets.rollback(unit.name, call.why, call.args["steps"] or 1)
        nothing = f"nothing to roll back in {unit.name}"
    return _moved(call, unit, made, "rolled back", nothing, before)


def redo(call: Invocation) -> Reply:
    """Bring back what was rolled back last; once more goes further forward, until a new change is made."""
    failpoint("rollback.before")
    unit = call.kept_unit
    before = _state(call, unit)
    made = call.tx.changesets.redo(unit.name, call.why, call.args["steps"])
    return _moved(call, unit, made, "redone", f"nothing to redo in {unit.name}", before)


def _state(call: Invocation, unit: Unit) -> Any:
    """The whole state, if it was asked for: the original told it, and it may be large."""
    return show.state_of(call, unit, call.tx.instances.all(unit.name)) if call.args["states"] else None


def _moved(call: Invocation, unit: Unit, made: Changeset | None, done: str, nothing: str, before: Any) -> Reply:
    """The answer to an undo: which changes, and what became of the instances."""
    if made is None:
        return Reply(nothing, extra={"nothing": True}, revision=call.tx.history.newest_revision(unit.name))
    failpoint("rollback.after")
    if not made.on_line:
        changes.require_why(call, unit)
    instance_changes = call.tx.history.changes(made.revision)
    extra: dict[str, Any] = {
        "undone": made.target,
        "target": made.target,
        "removing": [show.shown(call, unit, change.before.given) for change in instance_changes if change.before],
        "changes": [changes.signed(change) for change in instance_changes],
        "applied": call.tx.jobs.applied_revision(unit.name),
        "pending": call.tx.jobs.is_pending(unit.name),
    }
    if call.args["states"]:
        extra |= {"before": before, "after": _state(call, unit)}
    return Reply(f"{done} r{made.target} of {unit.name}", extra=extra, revision=made.revision)


def back_to(tx: Transaction, unit: str, revision: int) -> list[Edit]:
    """What makes the unit what it was at ``revision``, to the byte and at the same places."""
    since = tx.history.between(unit, revision, tx.revision())
    return [
        Edit(each.after, each.before, each.instance_id, each.first_revision)
        for each in since
        if each.before != each.after
    ]


def revert(call: Invocation) -> Reply:
    """Take one older change back and keep what came later; `RevertConflict` if that has changed the same."""
    failpoint("rollback.before")
    unit = call.usable_unit
    old = _on_line(call, unit)
    clashes: list[Finding] = []
    edits = list(filter(None, (_reverted(call, unit, each, clashes) for each in call.tx.history.changes(old.revision))))
    if clashes:
        raise RevertConflict(
            f"cannot revert r{old.revision} of {unit.name}: later changes have changed the same, nothing was changed",
            errors=clashes,
            hint=f"see who: lmaps blame {unit.name}",
        )
    _check_keys(call, unit, edits)
    before = _state(call, unit)
    made = changes.record(call, unit, ChangesetKind.REVERT, edits, old.revision)
    return _moved(call, unit, made, "reverted", f"nothing to revert: nothing of r{old.revision} is left", before)


def _on_line(call: Invocation, unit: Unit) -> Changeset:
    revision = int(call.args["revision"].removeprefix("r"))
    old = call.tx.history.changeset(revision)
    if old is None or old.unit != unit.name:
        where = f"; r{revision} is of {old.unit}" if old and call.may(old.unit, "list") else ""
        raise NotFound(f"cannot revert: {unit.name} has no changeset r{revision}{where}")
    if not old.on_line:
        raise Conflict(
            f"cannot revert r{revision} of {unit.name}: it is a {old.kind}",
            hint=f"take it back by lmaps {'rollback' if old.kind == ChangesetKind.REDO else 'redo'} {unit.name}",
        )
    if not call.tx.history.on_line(unit.name, [revision]):
        raise Conflict(f"cannot revert r{revision} of {unit.name}: it is not in effect, it was rolled back")
    return old


def _reverted(call: Invocation, unit: Unit, old: Change, clashes: list[Finding]) -> Edit | None:
    """What takes ``old`` back, None if nothing is left of it."""
    there = call.tx.instances.by_number(unit.name, [old.instance_id]).get(old.instance_id)
    now = there.document if there else None
    if _alike(now, old.before):
        return None
    if _alike(now, old.after):
        return Edit(now, old.before, old.instance_id, old.first_revision)
    if there is None:
        if old.before is not None and old.after is not None:
            clashes.append(_clash(old.after.key, (), old.after.key, MISSING))
        return None
    if old.after is None or old.before is None:
        was = json.loads(old.after.completed) if old.after else MISSING
        clashes.extend(
            _clash(there.key, each.path, each.before, each.after)
            for each in unit.secrets.differences(
                differences(was, json.loads(there.completed)), was, json.loads(there.completed)
            )
        )
        return None
    try:
        return _taken_back(call, unit, there, old.before, old.after)
    except Clash as clash:
        hidden = clash.path in unit.secrets.paths(json.loads(there.completed))
        values = (MASK, MASK) if hidden else (clash.expected, clash.got)
        clashes.append(_clash(there.key, clash.path, *values))
        return None


def _alike(one: Document | None, other: Document | None) -> bool:
    """Whether two documents are the same when completed, or neither is there."""
    if one is None or other is None:
        return one is other
    return same(json.loads(one.completed), json.loads(other.completed))


def _taken_back(call: Invocation, unit: Unit, there: Instance, before: Document, after: Document) -> Edit | None:
    """``there`` without what lies between ``before`` and ``after``: given documents are merged, path by path."""
    back = list(differences(json.loads(after.given), json.loads(before.given)))
    [one] = instances.accept(call, unit, [merged(json.loads(there.given), back)])
    if jsonio.canonical(one.completed) == jsonio.canonical(json.loads(there.completed)):
        return None
    return Edit.of(there, instances.stored(call, unit, one))


def _clash(key: str, path: Sequence[str | int], expected: Any, got: Any) -> Finding:
    was, now = ("nothing" if value is MISSING else jsonio.encode(value) for value in (expected, got))
    return Finding(
        f"{short_id(key)}: {pointer(path) or 'it'} was made {was}, and is {now} now",
        at=tuple(path),
        got=None if got is MISSING else got,
        allowed=None if expected is MISSING else expected,
    )


def _check_keys(call: Invocation, unit: Unit, edits: Sequence[Edit]) -> None:
    """What comes back does not take the key of another instance."""
    coming = [edit.after.key for edit in edits if edit.after]
    leaving = {edit.id for edit in edits}
    taken = [each.key for each in call.tx.instances.find(unit.name, coming).values() if each.id not in leaving]
    taken += [key for key, count in Counter(coming).items() if count > 1]
    if taken:
        raise AlreadyExists(
            f"cannot {call.verb} in {unit.name}: {short_id(taken[0])} exists again, made by a later change"
        )


def history(call: Invocation) -> Reply:
    """The changesets of a unit, or of all, newest first: who, when, why, and which instances."""
    unit = call.args.get("unit")
    units = call.units_with("show") if unit is None else call.kept_unit.name
    since = call.args.get("since")
    found = call.tx.history.changesets(
        units,
        limit=call.args["limit"],
        since=times.format_time(times.read_time(since)) if since else None,
        author=call.args.get("author"),
        ticket=call.args.get("ticket"),
    )
    return Reply("", extra={"changesets": [_told(call, each) for each in found]})


def _told(call: Invocation, each: Changeset) -> dict[str, Any]:
    """A changeset as its reader sees it."""
    instance_changes = (
        call.tx.history.changes(each.revision)
        if call.args["diff"]
        else call.tx.history.changes(each.revision, CHANGES_SHOWN)
    )
    told = {
        "revision": each.revision,
        "kind": each.kind,
        "unit": each.unit,
        "at": each.at,
        "author": each.author,
        "on_behalf_of": each.on_behalf_of,
        "door": each.door,
        "message": each.message,
        "ticket": each.ticket,
        "target": each.target,
        "instances": len(instance_changes)
        if len(instance_changes) < CHANGES_SHOWN
        else call.tx.history.size(each.revision),
        "changes": [changes.signed(change) for change in instance_changes[:CHANGES_SHOWN]],
    }
    return told | ({"diff": changes.diff_rows(call, each.unit, instance_changes)} if call.args["diff"] else {})


def diff(call: Invocation) -> Reply:
    """How a unit's instances differ between two revisions, by ID and path; by default the applied and the newest."""
    unit = call.kept_unit
    older, newer = call.args.get("from"), call.args["to"]
    first = resolve(call, unit.name, older) if older else call.tx.jobs.applied_revision(unit.name) or 0
    second = resolve(call, unit.name, newer)
    rows = changes.diff_of(call, unit.name, first, second)
    signs = [row["sign"] for row in rows]
    return Reply(
        f"{unit.name} r{first} to r{second}: {plural(len(rows), 'instance')} differ",
        level=1 if rows else 0,
        extra={
            "unit": unit.name,
            "from": first,
            "to": second,
            "added": signs.count("+"),
            "changed": signs.count("~"),
            "deleted": signs.count("-"),
            "diff": rows,
        },
    )
