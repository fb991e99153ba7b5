"""Whether stored instances still fit their unit: checked a batch at a time, so that nobody waits, and remembered."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from lmaps.errors import TookTooLong
from lmaps.model.units import Unit
from lmaps.store import Changeset, Instance, Transaction
from lmaps.util.timelimit import TimeLimit

BATCH_SIZE = 1000
"""Instances that one call of `Conformance.wrong` checks."""


@dataclass(slots=True)
class Checked:
    """What is known of a unit under its text with this ``digest``, when ``head`` was its newest changeset.

    Instances with a number up to ``after`` were checked, all if it is None; ``wrong`` are those that do not fit.
    """

    digest: str
    head: Changeset | None
    after: int | None = 0
    wrong: set[int] = field(default_factory=set)


class Conformance:
    """What is known of all units. ``unfinished`` are units of which not all instances were checked, and all fitted."""

    def __init__(self) -> None:
        self.unfinished: set[str] = set()
        self._checked: dict[str, Checked] = {}

    def wrong(self, tx: Transaction, unit: Unit, limit: TimeLimit) -> set[int]:
        """Return the numbers of instances that do not fit, or take longer to check than the ``limit`` allows.

        As long as none is known, one more batch is checked.
        """
        checked = self._brought_up_to_date(tx, unit, limit)
        if checked.after is not None and not checked.wrong:
            batch, checked.after = tx.instances.outdated(unit.name, unit.digest, checked.after, BATCH_SIZE)
            checked.wrong = _wrong(unit, batch, limit)
        self.unfinished.discard(unit.name)
        if checked.after is not None and not checked.wrong:
            self.unfinished.add(unit.name)
        return checked.wrong

    def _brought_up_to_date(self, tx: Transaction, unit: Unit, limit: TimeLimit) -> Checked:
        """Return what is known of a unit, after checking what was changed since."""
        head, checked = tx.history.head(unit.name), self._checked.get(unit.name)
        if checked is None or checked.digest != unit.digest:
            checked = self._checked[unit.name] = Checked(unit.digest, head)
        if checked.head != head:
            since = checked.head.revision if checked.head else 0
            # The changeset may be gone: retention drops old ones, and a group that fails is undone.
            is_kept = checked.head is None or tx.history.changeset(since) == checked.head
            # New documents fit; only undo brings back those that were made under an older text of the unit.
            changed = tx.history.outdated_since(unit.name, unit.digest, since, BATCH_SIZE + 1) if is_kept else []
            if not is_kept or len(changed) > BATCH_SIZE:
                checked.after = 0
            suspects = tx.instances.by_number(unit.name, [*checked.wrong, *changed[:BATCH_SIZE]])
            checked.wrong, checked.head = _wrong(unit, suspects.values(), limit), head
        return checked


def _wrong(unit: Unit, instances: Iterable[Instance], limit: TimeLimit) -> set[int]:
    """Return the numbers of those that do not fit; of all, if it takes too long to find out."""
    documents = {instance.id: json.loads(instance.clear_completed) for instance in instances}
    try:
        return limit.run(
            "check what is stored",
            lambda: {number for number in documents if unit.schema.findings(documents[number])},
        )
    except TookTooLong:
        return set(documents)
