"""The verb blame: who gave each value, when, and why."""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from lmaps.api.context import Invocation
from lmaps.api.endpoints.instances import picked
from lmaps.model.diff import MISSING, Path, leaves, look_up, pointer, same
from lmaps.model.schema.secrets import MASK
from lmaps.model.units import Unit, short_id
from lmaps.protocol import Reply
from lmaps.store import Change, Changeset, Document, Instance
from lmaps.util.text import plural


def blame(call: Invocation) -> Reply:
    """For each value of an instance, or of all: which change gave it, who, when and why, and what was before.

    A value that undo or redo brought back is still the work of its change; ``by`` names the undo. A default is the
    unit text's work, not the change's.
    """
    unit = call.kept_unit
    below = call.args.get("path", "").rstrip("/")
    ids = call.args["ids"]
    there = picked(call, unit, ids) if ids else call.tx.instances.all(unit.name)
    changesets: dict[int, Changeset | None] = {}
    rows = [row for instance in there for row in _rows(call, unit, instance, below, changesets)]
    return Reply(f"{plural(len(rows), 'value')} in {unit.name}", extra={"unit": unit.name, "values": rows})


def _rows(
    call: Invocation,
    unit: Unit,
    instance: Instance,
    below: str,
    changesets: dict[int, Changeset | None],
) -> Iterator[dict[str, Any]]:
    changes = call.tx.history.changes_of(instance.id)
    line = call.tx.history.on_line(unit.name, [each.revision for each in changes])
    given = json.loads(instance.given)
    history = [(each, _completed(each.before), _completed(each.after)) for each in changes]
    completed = json.loads(instance.completed)
    secret = unit.secrets.paths(completed)
    for path, value in leaves(completed):
        if not path or not f"{pointer(path)}/".startswith(f"{below}/"):
            continue
        made, before, by = _origin(history, path, line)
        if any(path[: len(hidden)] == hidden for hidden in secret):
            value, before = MASK, before if before is MISSING else MASK
        row = {
            "id": instance.key,
            "short": short_id(instance.key),
            "path": pointer(path),
            "value": value,
            "default": look_up(given, path) is MISSING,
        }
        told = _who(call, made, changesets)
        yield row | told | ({} if before is MISSING else {"before": before}) | {"by": _named(call, by, changesets)}


def _completed(document: Document | None) -> Any:
    return MISSING if document is None else json.loads(document.completed)


def _origin(
    history: Sequence[tuple[Change, Any, Any]], path: Path, line: Collection[int]
) -> tuple[int | None, Any, int | None]:
    """The change on the line that gave the value at ``path``, what was before it, and the undo that brought it back."""
    moved = made = None
    before: Any = MISSING
    for change, was, became in history:
        old, new = look_up(was, path), look_up(became, path)
        if same(old, new):
            continue
        moved = change.revision
        if change.revision in line:
            made, before = change.revision, old
    return made, before, moved if moved != made else None


def _who(call: Invocation, revision: int | None, changesets: dict[int, Changeset | None]) -> dict[str, Any]:
    """Who made a changeset; nothing is known of one that is no longer kept."""
    each = _changeset(call, revision, changesets)
    names = ("revision", "at", "author", "on_behalf_of", "ticket", "message")
    return {name: getattr(each, name) if each else None for name in names}


def _named(call: Invocation, revision: int | None, changesets: dict[int, Changeset | None]) -> str | None:
    """``redo r6``."""
    each = _changeset(call, revision, changesets)
    return f"{each.kind} r{each.revision}" if each else None


def _changeset(call: Invocation, revision: int | None, changesets: dict[int, Changeset | None]) -> Changeset | None:
    if revision is None:
        return None
    if revision not in changesets:
        changesets[revision] = call.tx.history.changeset(revision)
    return changesets[revision]
