"""Whether what is stored still fits its unit: found out a part at a time, so that nobody waits, and remembered."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from lmaps.errors import TookTooLong
from lmaps.model.units import Unit
from lmaps.store import Changeset, Instance, Transaction
from lmaps.util.timelimit import TimeLimit

PART = 1000
"""Instances that are looked at, at once."""


@dataclass(slots=True)
class Seen:
    """What is known of a unit under its text with this ``digest``, when ``head`` was its newest changeset.

    Instances with a number up to ``after`` were looked at, all if it is None; ``wrong`` are those that do not fit.
    """

    digest: str
    head: Changeset | None
    after: int | None = 0
    wrong: set[int] = field(default_factory=set)


class Conformance:
    """What is known of all units. ``unfinished`` are those that fit as far as they were looked at, which is in part."""

    def __init__(self) -> None:
        self.unfinished: set[str] = set()
        self._seen: dict[str, Seen] = {}

    def wrong(self, tx: Transaction, unit: Unit, limit: TimeLimit) -> set[int]:
        """The numbers of instances that do not fit, or take longer to check than there is time for.

        As long as none is known one more part is looked at.
        """
        seen = self._followed(tx, unit, limit)
        if seen.after is not None and not seen.wrong:
            part, seen.after = tx.instances.outdated(unit.name, unit.digest, seen.after, PART)
            seen.wrong = _wrong(unit, part, limit)
        self.unfinished.discard(unit.name)
        if seen.after is not None and not seen.wrong:
            self.unfinished.add(unit.name)
        return seen.wrong

    def _followed(self, tx: Transaction, unit: Unit, limit: TimeLimit) -> Seen:
        """What is known, brought up to date with what was changed since."""
        head, seen = tx.history.head(unit.name), self._seen.get(unit.name)
        if seen is None or seen.digest != unit.digest:
            seen = self._seen[unit.name] = Seen(unit.digest, head)
        if seen.head != head:
            since = seen.head.revision if seen.head else 0
            kept = seen.head is None or tx.history.changeset(since) == seen.head
            returned = tx.history.outdated_since(unit.name, unit.digest, since, PART + 1) if kept else []
            if not kept or len(returned) > PART:
                seen.after = 0
            suspects = tx.instances.by_number(unit.name, [*seen.wrong, *returned[:PART]])
            seen.wrong, seen.head = _wrong(unit, suspects.values(), limit), head
        return seen


def _wrong(unit: Unit, instances: Iterable[Instance], limit: TimeLimit) -> set[int]:
    """Those that do not fit; all, if it takes too long to find out."""
    stored = {each.id: json.loads(each.completed) for each in instances}
    try:
        return limit.run("check what is stored", lambda: {of for of in stored if unit.schema.findings(stored[of])})
    except TookTooLong:
        return set(stored)
