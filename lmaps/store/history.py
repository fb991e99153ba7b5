"""The tables ``changeset`` and ``change``: what was done, and how it is undone.

The line of a unit and its redo list are stacks that share their tails: each changeset knows both ends after it, and
what lies before itself. So an undo looks at two rows, however long the history is.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import func, insert, select

from lmaps.core import times
from lmaps.store.instances import InstanceTables
from lmaps.store.models import change, changeset
from lmaps.store.records import Change, Changeset, Instance, Why

Document = tuple[str, str, str]
"""Key, given text, completed text."""


class HistoryTables(InstanceTables):
    """Changesets, and the instances that follow from them."""

    def units(self) -> list[str]:
        """The names of all units that have a history."""
        return list(self.connection.scalars(select(changeset.c.unit).distinct().order_by(changeset.c.unit)))

    def changeset(self, revision: int) -> Changeset | None:
        """The changeset of this revision."""
        row = self.connection.execute(select(changeset).where(changeset.c.revision == revision)).one_or_none()
        return None if row is None else Changeset(*row)

    def changes(self, revision: int) -> list[Change]:
        """What a changeset did, instance by instance."""
        rows = self.connection.execute(select(change).where(change.c.revision == revision).order_by(change.c.number))
        return [Change(*row) for row in rows]

    def head(self, unit: str) -> Changeset | None:
        """The newest changeset of a unit."""
        newest = select(changeset).where(changeset.c.unit == unit).order_by(changeset.c.revision.desc()).limit(1)
        row = self.connection.execute(newest).one_or_none()
        return None if row is None else Changeset(*row)

    def revision_of(self, unit: str) -> int | None:
        """The newest revision of a unit."""
        newest: int | None = self.connection.scalar(
            select(func.max(changeset.c.revision)).where(changeset.c.unit == unit)
        )
        return newest

    def changes_after(self, unit: str, revision: int) -> int:
        """How many changesets a unit has after ``revision``."""
        newer = select(func.count()).where(changeset.c.unit == unit, changeset.c.revision > revision)
        return self.connection.scalar(newer) or 0

    def undone(self, unit: str) -> Iterator[Changeset]:
        """The changesets that redo would bring back, the next one first."""
        head = self.head(unit)
        revision = head.redo_end if head else None
        while revision is not None and (undo := self.changeset(revision)) is not None:
            if undo.target is not None and (target := self.changeset(undo.target)) is not None:
                yield target
            revision = undo.redo_previous

    def create(self, unit: str, why: Why, documents: Sequence[Document], definition: int) -> Changeset:
        """Append instances, as one change on the unit's line."""
        made = self._change_on_line(unit, "create", why)
        first = self.counters.instance + 1
        self.counters.instance += len(documents)
        rows = [
            Instance(number, unit, key, given, completed, definition, made.revision, made.revision)
            for number, (key, given, completed) in enumerate(documents, first)
        ]
        self._record(made, [_after(number, row) for number, row in enumerate(rows)])
        self.add(rows)
        return made

    def rollback(self, unit: str, why: Why) -> Changeset | None:
        """Take back the last change on the unit's line; None if there is none. The documents come back as they were."""
        head = self.head(unit)
        target = self.changeset(head.line_end) if head and head.line_end is not None else None
        if head is None or target is None:
            return None
        made = self._changeset(
            unit,
            "rollback",
            why,
            target=target.revision,
            line_end=target.line_previous,
            redo_end=self.counters.revision + 1,
            redo_previous=head.redo_end,
        )
        undone = [_exchanged(made.revision, each) for each in self.changes(target.revision)]
        self._record(made, undone)
        self._apply(unit, undone)
        return made

    def _change_on_line(self, unit: str, kind: str, why: Why) -> Changeset:
        """A changeset at the end of the unit's line; the redo list is empty after it."""
        head = self.head(unit)
        revision = self.counters.revision + 1
        return self._changeset(unit, kind, why, line_end=revision, line_previous=head.line_end if head else None)

    def _changeset(self, unit: str, kind: str, why: Why, **links: int | None) -> Changeset:
        self.counters.revision += 1
        return Changeset(
            revision=self.counters.revision,
            unit=unit,
            kind=kind,
            author=why.author,
            on_behalf_of=why.on_behalf_of,
            door=why.door,
            message=why.message,
            ticket=why.ticket,
            at=times.now(),
            request_key=why.request_key,
            **(
                {"target": None, "line_end": None, "line_previous": None, "redo_end": None, "redo_previous": None}
                | links
            ),
        )

    def _record(self, made: Changeset, changes: Sequence[Change]) -> None:
        self.write(insert(changeset), _row(made))
        if changes:
            self.write(insert(change), [_row(each) for each in changes])

    def _apply(self, unit: str, changes: Sequence[Change]) -> None:
        """Make the instances what ``changes`` say they are after them."""
        self.remove([each.instance_id for each in changes])
        self.add([_instance(unit, each) for each in changes if each.after_key is not None])


def _row(record: Changeset | Change) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


def _after(number: int, row: Instance) -> Change:
    """The change that made ``row``."""
    before = (None, None, None, None)
    after = (row.key, row.given, row.completed, row.definition)
    return Change(row.revision, number, row.id, row.first_revision, *before, *after)


def _exchanged(revision: int, undone: Change) -> Change:
    """``undone`` the other way round."""
    return Change(
        revision,
        undone.number,
        undone.instance_id,
        undone.first_revision,
        undone.after_key,
        undone.after_given,
        undone.after_completed,
        undone.after_definition,
        undone.before_key,
        undone.before_given,
        undone.before_completed,
        undone.before_definition,
    )


def _instance(unit: str, made: Change) -> Instance:
    return Instance(
        made.instance_id,
        unit,
        made.after_key or "",
        made.after_given or "",
        made.after_completed or "",
        made.after_definition or 0,
        made.first_revision,
        made.revision,
    )
