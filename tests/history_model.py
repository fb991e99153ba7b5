"""What units and their history are to be, in plain Python: lists and dictionaries, whole copies, nothing clever.

Two units: ``p``, whose instances are named by the property ``k``, and ``c``, whose instances are named by their
content. Documents are flat: ``k`` (text), ``n`` (integer, 1 by default), ``m`` (integer).
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

UNITS = "---\n".join(
    f"meta: {{name: {name}, data_type: YamlList{key}}}\n"
    "params:\n"
    "  type: object\n"
    "  required: [k]\n"
    "  properties: {k: {type: string}, n: {type: integer, default: 1}, m: {type: integer}}\n"
    for name, key in (("p", ", primary_key: k"), ("c", ""))
)

Document = tuple[str, str, str]
"""ID, given, completed; the documents as JSON texts, so that the order of properties counts too."""


class Refused(Exception):
    """The model refuses, with this code."""


@dataclass(frozen=True)
class Row:
    """One instance."""

    number: int
    document: Document
    revision: int


@dataclass(frozen=True)
class Change:
    """What became of one instance."""

    number: int
    before: Document | None
    after: Document | None


@dataclass
class Unit:
    """One unit: what is there, the changes in effect, oldest first, and those to be redone, the next first."""

    by_key: bool
    rows: dict[int, Row] = field(default_factory=dict)
    line: list[tuple[int, list[Change]]] = field(default_factory=list)
    redo: list[tuple[int, list[Change]]] = field(default_factory=list)
    head: int = 0

    def named(self, key: str) -> Row | None:
        return next((row for row in self.rows.values() if row.document[0] == key), None)

    def document(self, given: dict[str, Any]) -> Document:
        completed = given if "n" in given else given | {"n": 1}
        text = json.dumps(completed, sort_keys=True, separators=(",", ":"))
        key = given["k"] if self.by_key else hashlib.sha256(text.encode()).hexdigest()
        return key, json.dumps(given), json.dumps(completed)


class Model:
    """All units."""

    def __init__(self) -> None:
        self.units = {"p": Unit(by_key=True), "c": Unit(by_key=False)}
        self.revision = 0
        self.number = 0
        self.log: list[tuple[int, str, str, int | None]] = []
        self.then: list[dict[str, list[Row]]] = [{"p": [], "c": []}]

    def state(self, unit: str) -> list[Row]:
        return [row for _, row in sorted(self.units[unit].rows.items())]

    def expect(self, unit: str, revision: int) -> None:
        if self.units[unit].head != revision:
            raise Refused("outdated")

    def create(self, unit: str, documents: list[dict[str, Any]]) -> None:
        there = self.units[unit]
        new: dict[str, Any] = {}
        for each in map(there.document, documents):
            known = there.named(each[0])
            other = known.document if known else new.setdefault(each[0], each)
            if not same(other, each):
                raise Refused("exists")
        for key in [key for key in new if there.named(key)]:
            del new[key]
        self._record(unit, "create", [(None, each) for each in new.values()])

    def set(self, unit: str, key: str, instance: Any, put: dict[str, Any], drop: list[str]) -> None:
        there = self.units[unit]
        row = there.named(key)
        if row is None and not there.by_key:
            raise Refused("not-found")
        given = instance if instance is not None else json.loads(row.document[1]) if row else {}
        if there.by_key and "k" not in given:
            given = {"k": key} | given
        made = there.document({name: value for name, value in (given | put).items() if name not in drop})
        if made[0] != key and there.by_key:
            raise Refused("rule-broken")
        if made[0] != key and there.named(made[0]):
            raise Refused("exists")
        if row is None or not same(row.document, made):
            self._record(unit, "set", [(row, made)])

    def delete(self, unit: str, keys: list[str]) -> None:
        rows = {key: self.units[unit].named(key) for key in keys}
        if None in rows.values():
            raise Refused("not-found")
        self._record(unit, "delete", [(row, None) for row in rows.values()])

    def rollback(self, unit: str, steps: int) -> None:
        there = self.units[unit]
        off = there.line[-steps:]
        if off:
            taken = [Change(each.number, each.after, each.before) for _, some in off[::-1] for each in some[::-1]]
            there.line, there.redo = there.line[: -len(off)], off + there.redo
            self._undo(unit, "rollback", taken, off[0][0])

    def redo(self, unit: str, steps: int) -> None:
        there = self.units[unit]
        back, there.redo = there.redo[:steps], there.redo[steps:]
        if back:
            there.line = there.line + back
            self._undo(unit, "redo", [each for _, some in back for each in some], back[-1][0])

    def rollback_to(self, unit: str, revision: int) -> None:
        then = {row.number: row.document for row in self.then[revision][unit]}
        now = self.units[unit].rows
        changes: list[tuple[Row | int | None, Document | None]] = [
            (row, then.get(number)) for number, row in now.items() if then.get(number) != row.document
        ]
        changes += [(number, document) for number, document in then.items() if number not in now]
        self._record(unit, "rollback", changes, revision)

    def revert(self, unit: str, revision: int) -> None:
        there = self.units[unit]
        if not any(each[0] == revision and each[2] == unit for each in self.log):
            raise Refused("not-found")
        old = next((some for made, some in there.line if made == revision), None)
        if old is None:
            raise Refused("conflict")
        found = [self._reverted(there, each) for each in old]
        changes = [each for each in found if each is not None]
        numbers = [row.number if isinstance(row, Row) else row for row, _ in changes]
        keys = [after[0] for _, after in changes if after]
        others = [row.document[0] for row in there.rows.values() if row.number not in numbers]
        if len(set(keys)) < len(keys) or set(keys) & set(others):
            raise Refused("exists")
        self._record(unit, "revert", changes, revision)

    def _reverted(self, there: Unit, old: Change) -> tuple[Row | int | None, Document | None] | None:
        row = there.rows.get(old.number)
        now = row.document if row else None
        if alike(now, old.before):
            return None
        if alike(now, old.after):
            return (row or old.number, old.before)
        if row is None or now is None:
            if old.before and old.after:
                raise Refused("revert-conflict")
            return None
        if old.before is None or old.after is None:
            raise Refused("revert-conflict")
        was, became, given = (json.loads(each[1]) for each in (old.before, old.after, now))
        for name in dict.fromkeys([*became, *was]):
            if was.get(name) != became.get(name):
                if given.get(name) not in (was.get(name), became.get(name)):
                    raise Refused("revert-conflict")
                given = {**given, name: was[name]} if name in was else {k: v for k, v in given.items() if k != name}
        made = there.document(given)
        return None if same(made, now) else (row, made)

    def import_(self, unit: str, documents: list[dict[str, Any]], mode: str, max_deletes: int) -> None:
        there = self.units[unit]
        arriving: dict[str, Document] = {}
        for each in map(there.document, documents):
            if not same(arriving.setdefault(each[0], each), each):
                raise Refused("invalid")
        changes: list[tuple[Row | int | None, Document | None]] = []
        if mode != "replace":
            for key, made in arriving.items():
                row = there.named(key)
                if row is None or (mode == "merge" and not same(row.document, made)):
                    changes.append((row, made))
        else:
            gone = [row for row in there.rows.values() if row.document[0] not in arriving]
            if len(gone) > max_deletes:
                raise Refused("too-many-deletions")
            changes += [(row, None) for row in gone]
            last: float = 0
            for key, made in arriving.items():
                row = there.named(key)
                if row is not None and row.number > last:
                    last = row.number
                    changes += [] if same(row.document, made) else [(row, made)]
                    continue
                last = float("inf")
                changes += ([(row, None)] if row else []) + [(None, made)]
        self._record(unit, "import", changes)

    def _record(
        self, unit: str, kind: str, changes: list[tuple[Row | int | None, Document | None]], target: int | None = None
    ) -> None:
        """One more change on the line, if it changes anything: of a row, of a number that comes back, or a new one."""
        if not changes:
            return
        made = []
        for who, after in changes:
            if who is None:
                self.number += 1
            number = self.number if who is None else who.number if isinstance(who, Row) else who
            made.append(Change(number, who.document if isinstance(who, Row) else None, after))
        there = self.units[unit]
        there.line = [*there.line, (self.revision + 1, made)]
        there.redo = []
        self._carry_out(unit, kind, made, target)

    def _undo(self, unit: str, kind: str, changes: list[Change], target: int) -> None:
        first: dict[int, Change] = {}
        for each in changes:
            first[each.number] = replace(first.get(each.number, each), after=each.after)
        self._carry_out(unit, kind, [each for each in first.values() if each.before != each.after], target)

    def _carry_out(self, unit: str, kind: str, changes: list[Change], target: int | None) -> None:
        there = self.units[unit]
        self.revision += 1
        there.head = self.revision
        for each in changes:
            there.rows.pop(each.number, None)
            if each.after is not None:
                there.rows[each.number] = Row(each.number, each.after, self.revision)
        self.log.append((self.revision, kind, unit, target))
        self.then.append({name: self.state(name) for name in self.units})

    def differences(self, unit: str, older: int, newer: int) -> list[tuple[str, str]]:
        """Sign and ID of each instance that differs, by its number."""
        before, after = ({row.number: row.document for row in self.then[at][unit]} for at in (older, newer))
        told = []
        for number in sorted({*before, *after}):
            if number not in before:
                told.append(("+", after[number][0]))
            elif number not in after:
                told.append(("-", before[number][0]))
            elif not same(before[number], after[number]):
                told.append(("~", after[number][0]))
        return told


def same(one: Document, other: Document) -> bool:
    """Whether two documents are the same when completed; the order of properties does not count."""
    return bool(json.loads(one[2]) == json.loads(other[2]))


def alike(one: Document | None, other: Document | None) -> bool:
    """Whether two documents are the same when completed, or neither is there."""
    return one is other if one is None or other is None else same(one, other)
