"""What a new text of a unit would do to the instances that are stored."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from lmaps.errors import Finding, ValidationFailed
from lmaps.model.diff import MISSING, Difference, Path, differences, look_up
from lmaps.model.schema.messages import quote
from lmaps.model.units.explain import property_rows
from lmaps.model.units.unit import Unit, short_id
from lmaps.util.jsonio import canonical
from lmaps.util.text import plural

NAMED = 3
"""Instances that one impact names; of the others it tells the number."""


class Stored(NamedTuple):
    """An instance as it is stored."""

    key: str
    given: dict[str, Any]
    completed: dict[str, Any]


class Impact(NamedTuple):
    """One thing that a new text does: ``kind`` says what in a word or two, ``keys`` to which instances."""

    kind: str
    finding: Finding
    keys: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The impact as it goes over the wire."""
        named = ", ".join(map(short_id, self.keys[:NAMED]))
        more = f" and {len(self.keys) - NAMED} more" if len(self.keys) > NAMED else ""
        whose = f" ({plural(len(self.keys), 'instance')}: {named}{more})" if self.keys else ""
        return {
            "impact": self.kind,
            "path": self.finding.path,
            "message": self.finding.message + whose,
            "instances": list(self.keys),
        }


def impact(unit: Unit, before: Unit | None, stored: Sequence[Stored]) -> list[Impact]:
    """What ``unit`` would do to ``stored``, which were made under ``before`` or older texts; nothing if all stays."""
    secret = _secrets(unit) | (_secrets(before) if before else set())
    each = [*_broken(unit, stored, secret), *_defaults(unit, stored, secret), *_identities(unit, stored)]
    gathered: dict[tuple[str, Path, str], list[str]] = {}
    for kind, finding, [key] in each:
        gathered.setdefault((kind, finding.at, finding.message), []).append(key)
    found = [Impact(kind, Finding(text, at), tuple(keys)) for (kind, at, text), keys in gathered.items()]
    uncovered = _uncovered(_secrets(before) - _secrets(unit)) if before and stored else ()
    return [*found, *_rules(unit, stored), *uncovered]


def _broken(unit: Unit, stored: Iterable[Stored], secret: set[str]) -> Iterator[Impact]:
    for one in stored:
        for finding in unit.schema.findings(one.completed)[:1]:
            yield Impact("breaks", _discreet(finding, secret), (one.key,))


def _discreet(finding: Finding, secret: set[str]) -> Finding:
    """``finding``, without the value where it was secret: the new text may not know that."""
    return Finding("the secret does not fit", finding.at) if _dotted(finding.at) in secret else finding


def _defaults(unit: Unit, stored: Iterable[Stored], secret: set[str]) -> Iterator[Impact]:
    """What would be filled in otherwise. Stored documents stay as they are until they are set again."""
    for one in stored:
        try:
            changes = list(differences(one.completed, unit.complete(one.given)))
        except ValidationFailed as refused:
            if not unit.schema.findings(one.completed):
                yield Impact("breaks when set", _discreet(refused.errors[0], secret), (one.key,))
            continue
        yield from (Impact(*_told(change, secret), (one.key,)) for change in changes)


def _told(change: Difference, secret: set[str]) -> tuple[str, Finding]:
    hidden = _dotted(change.path) in secret
    was, becomes = (
        None if value is MISSING else "(secret)" if hidden else quote(value) for value in (change.before, change.after)
    )
    if was is None:
        return "default gained", Finding(f"{becomes} when it is set next", change.path)
    if becomes is None:
        return "default lost", Finding(f"{was} goes when it is set next", change.path)
    return "default changed", Finding(f"{was} becomes {becomes} when it is set next", change.path)


def _identities(unit: Unit, stored: Iterable[Stored]) -> Iterator[Impact]:
    for one in stored:
        named = unit.primary_key is None or unit.primary_key in one.completed
        if named and unit.identify(one.completed) != one.key:
            at = (unit.primary_key,) if unit.primary_key else ()
            yield Impact("ID changes", Finding("another ID than it is stored under", at), (one.key,))


def _rules(unit: Unit, stored: Sequence[Stored]) -> Iterator[Impact]:
    if unit.max_instances is not None and len(stored) > unit.max_instances:
        text = f"there are {plural(len(stored), 'instance')}, the limit is {unit.max_instances}"
        yield Impact("over the limit", Finding(text, ("meta", "max_instances")))
    for path in unit.unique:
        values = {one.key: look_up(one.completed, path) for one in stored}
        values = {key: value for key, value in values.items() if value is not MISSING and value is not None}
        number = Counter(map(canonical, values.values()))
        twice = tuple(key for key, value in values.items() if number[canonical(value)] > 1)
        if twice:
            yield Impact("not unique", Finding("the same value more than once", path), twice)


def _secrets(unit: Unit) -> set[str]:
    return {row["path"] for row in property_rows(unit) if row.get("secret")}


def _uncovered(paths: Iterable[str]) -> Iterator[Impact]:
    """Properties that were secret and would be shown."""
    for path in sorted(paths):
        yield Impact("secret shown", Finding("it was secret, and would be visible", tuple(path.split("."))))


def _dotted(path: Path) -> str:
    """A path as `property_rows` has it: ``a[].b``."""
    return "".join("[]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")
