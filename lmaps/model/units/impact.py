"""The effects of a new text of a unit on the stored instances, computed before the text is used."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from lmaps.errors import Finding, ValidationFailed
from lmaps.model.diff import MISSING, Difference, Path, differences, look_up
from lmaps.model.schema.messages import quote
from lmaps.model.schema.secrets import secret_around
from lmaps.model.units.unit import Unit, is_content_id, short_id
from lmaps.util.jsonio import JsonObject, canonical
from lmaps.util.text import plural

MAX_NAMED = 3
"""The most instances that an impact names; it counts the others."""


class StoredInstance(NamedTuple):
    """An instance as it is stored: its ID, the document that was sent, and the one with defaults.

    ``secrets`` are the paths of what is secret in it, by the texts of the unit up to now.
    """

    key: str
    given: JsonObject
    completed: JsonObject
    secrets: frozenset[Path] = frozenset()


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


def impact(unit: Unit, stored: Sequence[StoredInstance], unseen: Sequence[StoredInstance] = ()) -> list[Impact]:
    """Return the effects of ``unit`` on stored instances; no secret is quoted.

    No value of the ``unseen`` ones matters: a text could be written to ask for it.
    """
    single = [*_validity(unit, stored), *_defaults(unit, stored), *_identities(unit, stored)]
    keys_by_effect: dict[tuple[str, Path, str], list[str]] = {}
    for kind, finding, [key] in single:
        keys_by_effect.setdefault((kind, finding.at, finding.message), []).append(key)
    effects = [
        Impact(kind, Finding(text, at), tuple(dict.fromkeys(keys))) for (kind, at, text), keys in keys_by_effect.items()
    ]
    return [*effects, *_rules(unit, stored, len(stored) + len(unseen)), *_exposed(unit, [*stored, *unseen])]


def _validity(unit: Unit, stored: Iterable[StoredInstance]) -> Iterator[Impact]:
    for instance in stored:
        findings = unit.schema.findings(instance.completed, instance.secrets)
        for finding in findings[:1]:  # the first finding shows that the instance breaks
            yield Impact("breaks", finding, (instance.key,))


def _defaults(unit: Unit, stored: Iterable[StoredInstance]) -> Iterator[Impact]:
    """Yield the defaults that would differ. Stored documents stay as they are until they are set again."""
    for instance in stored:
        try:
            after = unit.schema.complete(instance.given, instance.secrets)
        except ValidationFailed as refused:
            if not unit.schema.findings(instance.completed):
                yield Impact("breaks when set", refused.errors[0], (instance.key,))
            continue
        secrets = instance.secrets | unit.secrets.paths(after)
        for change in differences(instance.completed, after):
            yield Impact(*_default_effect(change, secret_around(secrets, change.path)), (instance.key,))


def _default_effect(change: Difference, secret: Path | None) -> tuple[str, Finding]:
    """Return the kind of a default that differs, and what differs; of a ``secret`` only that it does."""
    before, after = (
        None if value is MISSING else quote(value) if secret is None else "(secret)"
        for value in (change.before, change.after)
    )
    at = change.path if secret is None else secret
    if at == change.path and before is None:
        return "default gained", Finding(f"{after} from the next set on", at)
    if at == change.path and after is None:
        return "default lost", Finding(f"{before} is removed by the next set", at)
    return "default changed", Finding(f"{before or after} becomes {after or before} at the next set", at)


def _identities(unit: Unit, stored: Iterable[StoredInstance]) -> Iterator[Impact]:
    for instance in stored:
        key = unit.primary_key
        if key is None:  # a digest of the content stays the ID, whatever the digest was made with
            differs = not is_content_id(instance.key)
        else:
            differs = key in instance.completed and unit.identify(instance.completed) != instance.key
        if differs:
            at = (key,) if key else ()
            yield Impact("ID changes", Finding("the new ID differs from the stored one", at), (instance.key,))


def _rules(unit: Unit, stored: Sequence[StoredInstance], count: int) -> Iterator[Impact]:
    if unit.max_instances is not None and count > unit.max_instances:
        text = f"there are {plural(count, 'instance')}, the limit is {unit.max_instances}"
        yield Impact("over the limit", Finding(text, ("meta", "max_instances")))
    for path in unit.unique:
        values = {instance.key: look_up(instance.completed, path) for instance in stored}
        values = {key: value for key, value in values.items() if value is not MISSING and value is not None}
        counts = Counter(map(canonical, values.values()))
        duplicates = tuple(key for key, value in values.items() if counts[canonical(value)] > 1)
        if duplicates:
            yield Impact("not unique", Finding("the same value more than once", path), duplicates)


def _exposed(unit: Unit, stored: Iterable[StoredInstance]) -> Iterator[Impact]:
    """Yield the places of secrets that would be shown. They depend on the shape of a document alone."""
    keys_by_place: dict[str, list[str]] = {}
    first: dict[str, Path] = {}
    for instance in stored:
        still = unit.secrets.paths(instance.completed) if instance.secrets else frozenset()
        for path in sorted(instance.secrets, key=lambda path: [(isinstance(key, str), key) for key in path]):
            if secret_around(still, path) is None:
                place = "".join("[]" if isinstance(key, int) else f".{key}" for key in path)
                first.setdefault(place, path)
                keys_by_place.setdefault(place, []).append(instance.key)
    for place, keys in sorted(keys_by_place.items()):
        finding = Finding("it is secret now, and would be visible from the next set on", first[place])
        yield Impact("secret shown", finding, tuple(dict.fromkeys(keys)))
