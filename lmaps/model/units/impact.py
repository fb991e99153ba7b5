"""The effects of a new text of a unit on the stored instances, computed before the text is used."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from lmaps.errors import Finding, ValidationFailed
from lmaps.model.diff import MISSING, Difference, Path, differences, look_up
from lmaps.model.schema.messages import quote
from lmaps.model.units.explain import property_rows
from lmaps.model.units.unit import Unit, short_id
from lmaps.util.jsonio import JsonObject, canonical
from lmaps.util.text import plural

MAX_NAMED = 3
"""The most instances that an impact names; it counts the others."""


class StoredInstance(NamedTuple):
    """An instance as it is stored: its ID, the document that was sent, and the one with defaults."""

    key: str
    given: JsonObject
    completed: JsonObject


class Impact(NamedTuple):
    """One effect of a new text: its kind in a word or two, a finding, and the IDs of the instances."""

    kind: str
    finding: Finding
    keys: tuple[str, ...] = ()

    def to_json(self) -> JsonObject:
        """Return the impact as it goes over the wire."""
        named = ", ".join(map(short_id, self.keys[:MAX_NAMED]))
        more = f" and {len(self.keys) - MAX_NAMED} more" if len(self.keys) > MAX_NAMED else ""
        instances = f" ({plural(len(self.keys), 'instance')}: {named}{more})" if self.keys else ""
        return {
            "impact": self.kind,
            "path": self.finding.path,
            "message": self.finding.message + instances,
            "instances": list(self.keys),
        }


def impact(unit: Unit, before: Unit | None, stored: Sequence[StoredInstance]) -> list[Impact]:
    """Return the effects of ``unit`` on ``stored``, which were written under ``before`` or older texts."""
    secrets = _secrets(unit) | (_secrets(before) if before else set())
    single = [*_validity(unit, stored, secrets), *_defaults(unit, stored, secrets), *_identities(unit, stored)]
    keys_by_effect: dict[tuple[str, Path, str], list[str]] = {}
    for kind, finding, [key] in single:
        keys_by_effect.setdefault((kind, finding.at, finding.message), []).append(key)
    effects = [Impact(kind, Finding(text, at), tuple(keys)) for (kind, at, text), keys in keys_by_effect.items()]
    exposed = _exposed(_secrets(before) - _secrets(unit)) if before and stored else ()
    return [*effects, *_rules(unit, stored), *exposed]


def _validity(unit: Unit, stored: Iterable[StoredInstance], secrets: set[str]) -> Iterator[Impact]:
    for instance in stored:
        for finding in unit.schema.findings(instance.completed)[:1]:  # the first finding shows that the instance breaks
            yield Impact("breaks", _discreet(finding, secrets), (instance.key,))


def _discreet(finding: Finding, secrets: set[str]) -> Finding:
    """Return ``finding`` without the value of a secret, which the new text may no longer mark as one."""
    return Finding("the secret does not fit", finding.at) if _dotted(finding.at) in secrets else finding


def _defaults(unit: Unit, stored: Iterable[StoredInstance], secrets: set[str]) -> Iterator[Impact]:
    """Yield the defaults that would differ. Stored documents stay as they are until they are set again."""
    for instance in stored:
        try:
            changes = list(differences(instance.completed, unit.complete(instance.given)))
        except ValidationFailed as refused:
            if not unit.schema.findings(instance.completed):
                yield Impact("breaks when set", _discreet(refused.errors[0], secrets), (instance.key,))
            continue
        yield from (Impact(*_default_effect(change, secrets), (instance.key,)) for change in changes)


def _default_effect(change: Difference, secrets: set[str]) -> tuple[str, Finding]:
    is_hidden = _dotted(change.path) in secrets
    before, after = (
        None if value is MISSING else "(secret)" if is_hidden else quote(value)
        for value in (change.before, change.after)
    )
    if before is None:
        return "default gained", Finding(f"{after} from the next set on", change.path)
    if after is None:
        return "default lost", Finding(f"{before} is removed by the next set", change.path)
    return "default changed", Finding(f"{before} becomes {after} at the next set", change.path)


def _identities(unit: Unit, stored: Iterable[StoredInstance]) -> Iterator[Impact]:
    for instance in stored:
        has_id = unit.primary_key is None or unit.primary_key in instance.completed
        if has_id and unit.identify(instance.completed) != instance.key:
            at = (unit.primary_key,) if unit.primary_key else ()
            yield Impact("ID changes", Finding("the new ID differs from the stored one", at), (instance.key,))


def _rules(unit: Unit, stored: Sequence[StoredInstance]) -> Iterator[Impact]:
    if unit.max_instances is not None and len(stored) > unit.max_instances:
        text = f"there are {plural(len(stored), 'instance')}, the limit is {unit.max_instances}"
        yield Impact("over the limit", Finding(text, ("meta", "max_instances")))
    for path in unit.unique:
        values = {instance.key: look_up(instance.completed, path) for instance in stored}
        values = {key: value for key, value in values.items() if value is not MISSING and value is not None}
        counts = Counter(map(canonical, values.values()))
        duplicates = tuple(key for key, value in values.items() if counts[canonical(value)] > 1)
        if duplicates:
            yield Impact("not unique", Finding("the same value more than once", path), duplicates)


def _secrets(unit: Unit) -> set[str]:
    return {row.path for row in property_rows(unit) if row.secret}


def _exposed(paths: Iterable[str]) -> Iterator[Impact]:
    """Yield the properties that were secret and would be shown."""
    for path in sorted(paths):
        yield Impact("secret shown", Finding("it was secret, and would be visible", tuple(path.split("."))))


def _dotted(path: Path) -> str:
    """Return a path as in `property_rows`: ``a[].b``."""
    return "".join("[]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")
