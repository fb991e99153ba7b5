"""What every change passes through, whichever verb makes it: its condition, the unit's rules, dry run and record."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from lmaps.api.context import Answer, Invocation
from lmaps.errors import Finding, MessageRefused, Outdated, PendingConfirm, RuleBroken
from lmaps.model.diff import MISSING, Path, differences, look_up, pointer, same
from lmaps.model.states import ChangesetKind, ConfirmationState
from lmaps.model.units import Unit, short_id
from lmaps.protocol import Reply
from lmaps.store import Change, Changeset, Document, Edit
from lmaps.util import jsonio, times
from lmaps.util.text import plural


def run(call: Invocation, function: Callable[[Invocation], Answer]) -> Reply:
    """The answer of a verb that writes; of a dry run what it would change, and nothing is kept."""
    _expect_revision(call)
    if not call.args["dry_run"]:
        _expect_confirmed(call)
        return _reply(function(call))
    with call.tx.discarded():
        before = call.tx.revision()
        reply = _reply(function(call))
        made = call.tx.history.changesets(limit=call.tx.revision() - before)
        diff = {each.unit: diff_of(call, each.unit, before, call.tx.revision()) for each in reversed(made)}
    told = [row | {"unit": unit} for unit, rows in diff.items() for row in rows]
    extra = {name: reply.extra[name] for name in ("instances",) if name in reply.extra}
    return Reply(
        f"dry run: {plural(len(told), 'instance')} would change, nothing was done",
        level=1 if told else 0,
        extra=extra | {"dry_run": True, "diff": told},
        revision=before,
    )


def _reply(answer: Answer) -> Reply:
    if not isinstance(answer, Reply):
        raise TypeError("a verb that writes answers at once")
    return answer


def _units(call: Invocation) -> list[str]:
    return [call.args["unit"]] if "unit" in call.args else [each["unit"] for each in call.args["units"]]


def _expect_confirmed(call: Invocation) -> None:
    """Nothing of the unit waits for confirmation; the request may be the confirmation itself, or ask for another."""
    if call.verb in ("confirm", "plan_check") or (call.verb == "apply" and call.args.get("confirm")):
        return
    for unit in _units(call):
        for job in call.tx.jobs.unconfirmed(unit):
            who = ", ".join(filter(None, [job.author, job.message]))
            doing = (
                f"until {job.confirm_deadline}"
                if job.confirmation == ConfirmationState.WAITING
                else "it is being undone"
            )
            raise PendingConfirm(
                f"cannot {call.verb} in {unit}: job {job.id} ({who}) waits for confirmation, {doing}",
                hint=f"lmaps confirm {unit}, or lmaps confirm {unit} --rollback",
            )


def _expect_revision(call: Invocation) -> None:
    """What the request was made for is still there: ``if_rev`` is the unit's newest revision."""
    if call.args.get("if_rev") is None:
        return
    expected = int(call.args["if_rev"].removeprefix("r"))
    units = _units(call)
    heads = [head for head in map(call.tx.history.head, units) if head is not None]
    newest = max(heads, key=lambda head: head.revision, default=None)
    if (newest.revision if newest else 0) == expected:
        return
    if newest is None:
        raise Outdated(f"cannot {call.verb} in {units[0]}: expected r{expected}, it has no changes yet")
    whose = (call.tx.history.changeset(newest.target or 0) if newest.kind == ChangesetKind.REDO else None) or newest
    who = ", ".join(filter(None, [whose.author, newest.message or whose.message]))
    known = call.tx.history.horizon(newest.unit) <= expected < newest.revision
    shown = call.may(newest.unit, "show")
    raise Outdated(
        f"cannot {call.verb} in {newest.unit}: expected r{expected}, it is at r{newest.revision} ({who}); "
        f"see: lmaps diff {newest.unit} r{expected} r{newest.revision}",
        extra={"diff": diff_of(call, newest.unit, expected, newest.revision) if known and shown else None},
    )


def document(call: Invocation, unit: Unit, key: str, given: Any, completed: Any) -> Document:
    """What is stored of an accepted document."""
    number = call.tx.instances.definition(unit.name, unit.digest, unit.text)
    return Document(key, jsonio.encode(given), jsonio.encode(completed), number, secret=unit.secrets.any)


def record(
    call: Invocation,
    unit: Unit,
    kind: ChangesetKind,
    edits: Sequence[Edit],
    target: int | None = None,
    *,
    ruled: bool = True,
) -> Changeset | None:
    """Keep ``edits`` as one change of the unit, if there are any, when they keep to the unit's rules.

    A state that was there before comes back as it was: it is not ``ruled``.
    """
    if not edits:
        return None
    require_why(call, unit)
    if ruled:
        _check_number(call, unit, edits)
        for path in unit.unique:
            _check_unique(call, unit, path, edits)
    made = call.tx.changesets.record(unit.name, kind, call.why, edits, target)
    _retain(call, unit)
    return made


def require_why(call: Invocation, unit: Unit) -> None:
    """What the unit wants each change to say was said."""
    missing = [name for name in unit.require if not (call.args.get(name) or "").strip()]
    if missing:
        options = " ".join({"message": "-m TEXT", "ticket": "--ticket ID"}[name] for name in missing)
        raise MessageRefused(
            f"cannot {call.verb} in {unit.name}: its changes need a {' and a '.join(missing)}",
            hint=f"say it: {options}",
        )


def _retain(call: Invocation, unit: Unit) -> None:
    """Drop what the unit does not want kept of its history."""
    if unit.keep_count is None and unit.keep_age is None:
        return
    since = None
    if unit.keep_age is not None:
        since = times.format_time(datetime.now(UTC) - timedelta(seconds=unit.keep_age))
    for path in unit.unique:
        call.tx.unique_index.follow(unit.name, path)  # before that from which they follow is dropped
    call.tx.changesets.retain(unit.name, unit.keep_count, since)


def _check_number(call: Invocation, unit: Unit, edits: Sequence[Edit]) -> None:
    if unit.max_instances is None:
        return
    more = sum((edit.before is None) - (edit.after is None) for edit in edits)
    if more <= 0:
        return
    would_be = call.tx.instances.count(unit.name) + more
    if would_be > unit.max_instances:
        raise RuleBroken(
            f"cannot {call.verb} in {unit.name}: it would have {plural(would_be, 'instance')}, "
            f"its limit is {unit.max_instances}; nothing was changed"
        )


def _check_unique(call: Invocation, unit: Unit, path: Path, edits: Sequence[Edit]) -> None:
    """No two instances have the same value at ``path``; an instance without one does not count."""
    mine = {edit.after.key: look_up(json.loads(edit.after.completed), path) for edit in edits if edit.after}
    mine = {key: value for key, value in mine.items() if value is not MISSING and value is not None}
    touched = {edit.before.key for edit in edits if edit.before} | mine.keys()
    others = {
        each.key: look_up(json.loads(each.completed), path)
        for each in call.tx.unique_index.find(unit.name, path, list(mine.values()))
        if each.key not in touched
    }
    times_there = Counter(jsonio.canonical(value) for value in [*mine.values(), *others.values()])
    twice = [key for key, value in mine.items() if times_there[jsonio.canonical(value)] > 1]
    if twice:
        whose = next(
            (key for key, value in {**mine, **others}.items() if key != twice[0] and same(value, mine[twice[0]]))
        )
        raise RuleBroken(
            f"cannot {call.verb} in {unit.name}: {pointer(path)} has to be unique, and {short_id(twice[0])} has "
            f"{_quoted(unit, path, mine[twice[0]])} as {short_id(whose)} has; nothing was changed",
            errors=[Finding(f"{short_id(key)} has {_quoted(unit, path, mine[key])} too", at=path) for key in twice],
        )


def _quoted(unit: Unit, path: Path, value: Any) -> str:
    document = value
    for key in reversed(path):
        document = {key: document}
    return "the same secret" if unit.secrets.paths(document) else jsonio.encode(value)


def diff_of(call: Invocation, unit: str, older: int, newer: int) -> list[dict[str, Any]]:
    """How a unit's instances differ between two revisions, in either order; 0 is before all changes."""
    if older > newer:
        back = (each.with_ends(each.after, each.before) for each in _between(call, unit, newer, older))
        return diff_rows(call, unit, back)
    return diff_rows(call, unit, _between(call, unit, older, newer))


def _between(call: Invocation, unit: str, older: int, newer: int) -> Iterable[Change]:
    if older == 0:
        there = call.tx.history.state_at(unit, newer) if newer else []
        return (Change(each.revision, each.id, each.first_revision, None, each.document) for each in there)
    return call.tx.history.between(unit, older, newer)


def diff_rows(call: Invocation, unit: str, changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Changes as rows: ``sign`` (``+`` comes, ``-`` goes, ``~`` changes), ``id``, and every path that differs.

    ``named_by`` is the property that has the ID, null where content is the ID.
    """
    kept = call.for_unit(unit).kept_unit
    rows = []
    for each in changes:
        call.manager.beat()
        before = json.loads(each.before.completed) if each.before else {}
        after = json.loads(each.after.completed) if each.after else {}
        found = [one.to_json() for one in kept.secrets.differences(differences(before, after), before, after)]
        if found or (each.before is None) != (each.after is None):
            rows.append(signed(each) | {"named_by": kept.primary_key, "differences": found})
    return rows


def signed(change: Change) -> dict[str, Any]:
    """What happened to one instance: ``+`` it came, ``-`` it went, ``~`` it changed."""
    sign = "+" if change.before is None else "-" if change.after is None else "~"
    key = next(each.key for each in (change.after, change.before) if each)
    return {"sign": sign, "id": key, "short": short_id(key)}
