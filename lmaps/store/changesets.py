"""The tables ``changeset``, ``change``, ``document`` and ``instance``, written: changes, and how they are undone."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import bindparam, delete, exists, func, or_, select

from lmaps.model.states import ChangesetKind
from lmaps.store.history import History
from lmaps.store.instances import MAX_ROWID, Instances
from lmaps.store.jobs import Jobs
from lmaps.store.models import change as change_table
from lmaps.store.models import changeset, document, horizon, instance
from lmaps.store.rows import (
    Change,
    Changeset,
    Document,
    Edit,
    Origin,
    StoredChange,
    StoredDocument,
    StoredInstance,
    Undo,
)
from lmaps.store.session import Session
from lmaps.store.statements import Insertion, Prepared
from lmaps.util.failpoints import failpoint

PRUNE_BATCH = 1000
"""Changesets of a unit that one call of `Changesets.retain` drops at most: a change must not take seconds."""

_INSERT_CHANGESET = Insertion(changeset, Changeset)
_INSERT_CHANGE = Insertion(change_table, StoredChange)
_INSERT_DOCUMENT = Insertion(document, StoredDocument)
_DELETE_UNUSED = Prepared(
    delete(document).where(
        document.c.id == bindparam("number"),
        ~exists().where(
            change_table.c.instance_id == document.c.instance_id,
            or_(change_table.c.before_document == document.c.id, change_table.c.after_document == document.c.id),
        ),
        ~exists().where(instance.c.id == document.c.instance_id, instance.c.document == document.c.id),
    )
)
"""Delete a document, unless a change or an instance has it."""


class Changesets:
    """Changes of units. Instances follow from them, and nothing else changes an instance."""

    __slots__ = ("_history", "_instances", "_jobs", "_session")

    def __init__(self, session: Session, instances: Instances, history: History, jobs: Jobs) -> None:
        self._session = session
        self._instances = instances
        self._history = history
        self._jobs = jobs

    def record(
        self, unit: str, kind: ChangesetKind, origin: Origin, edits: Sequence[Edit], target: int | None = None
    ) -> Changeset:
        """Record ``edits`` as one changeset at the end of the unit's line; the redo list is empty after it."""
        head = self._history.head(unit)
        revision = self._session.counters.revision + 1
        previous = head.line_end if head else None
        recorded = self._append(unit, kind, origin, target, line_end=revision, line_previous=previous)
        self._carry_out(recorded, [self._change(revision, edit) for edit in edits])
        return recorded

    def rollback(self, unit: str, origin: Origin, steps: int = 1) -> Changeset | None:
        """Take the last changesets off the unit's line: ``steps`` of them, or as many as there are.

        The documents come back as they were, to the byte. Return None if there is nothing to take off.
        """
        undo = self._history.rollback_of(unit, steps)
        return self.record_undo(unit, ChangesetKind.ROLLBACK, origin, undo) if undo else None

    def redo(self, unit: str, origin: Origin, steps: int = 1) -> Changeset | None:
        """Put back on the line what rollback took off: ``steps`` changesets, or as many as there are; None for none."""
        undo = self._history.redo_of(unit, steps)
        return self.record_undo(unit, ChangesetKind.REDO, origin, undo) if undo else None

    def record_undo(self, unit: str, kind: ChangesetKind, origin: Origin, undo: Undo) -> Changeset:
        """Record a move of the end of the unit's line."""
        recorded = self._append(unit, kind, origin, undo.target, line_end=undo.new_line_end, redo_end=undo.new_redo_end)
        self._carry_out(recorded, [change._replace(revision=recorded.revision) for change in undo.changes])
        return recorded

    def mark_restored(self, unit: str, origin: Origin) -> Changeset:
        """Record that the database was put back from a backup: an empty changeset, which is not on the line."""
        head = self._history.head(unit)
        ends = {"line_end": head.line_end, "redo_end": head.redo_end} if head else {}
        return self._append(unit, ChangesetKind.RESTORE, origin, None, **ends)

    def restore_history(self, history: Iterable[tuple[Changeset, Sequence[Change]]]) -> None:
        """Record changesets of an export as they are, oldest first, in a database that has none."""
        counters = self._session.counters
        # The export writes a document out wherever a change has it; here each is stored once.
        numbers: dict[tuple[int, Document], int | None] = {}
        for recorded, changes in history:
            counters.revision = recorded.revision
            counters.instance = max([counters.instance, *(change.instance_id for change in changes)])
            self._insert(recorded)
            linked = [change.with_ends(*(_numbered(end, change, numbers) for end in change.ends)) for change in changes]
            for change, row in zip(linked, self._carry_out(recorded, linked), strict=True):
                ends = zip(change.ends, (row.before_document, row.after_document), strict=True)
                numbers |= {(change.instance_id, end): number for end, number in ends if end is not None}

    def retain(self, unit: str, count: int | None, since: str | None) -> int:
        """Drop a unit's oldest changesets that nothing needs, `PRUNE_BATCH` at most; return how many were dropped.

        Needed are the newest ``count`` on the line, so that as many can be undone, and those from the time ``since``
        on; the redo list, and whatever is newer than the revision that was applied.
        """
        head = self._history.head(unit)
        if head is None:
            return 0
        needed = [head.revision, *self._history.redoable(unit)[:1], *self._jobs.pinned_revisions(unit)]
        needed += filter(None, [head.line_end])
        if count is not None:
            needed += [self._nth_newest(unit, count), *self._history.line(head.line_end, limit=count)[-1:]]
        if since is not None:
            needed.append(self._first_since(unit, since))
        dropped = self._session.connection.scalars(
            select(changeset.c.revision)
            .where(changeset.c.unit == unit, changeset.c.revision < min(needed))
            .order_by(changeset.c.revision)
            .limit(PRUNE_BATCH)
        ).all()
        if dropped:
            self._drop(unit, dropped[-1])
        return len(dropped)

    def _drop(self, unit: str, until: int) -> None:
        session = self._session
        dropped = select(changeset.c.revision).where(changeset.c.unit == unit, changeset.c.revision <= until)
        ends = session.connection.execute(
            select(change_table.c.before_document, change_table.c.after_document).where(
                change_table.c.revision.in_(dropped)
            )
        )
        documents = {number for pair in ends for number in pair if number is not None}
        session.write(delete(change_table).where(change_table.c.revision.in_(dropped)))
        session.write_each(_DELETE_UNUSED, [{"number": number} for number in documents])
        session.write(delete(changeset).where(changeset.c.unit == unit, changeset.c.revision <= until))
        session.write(delete(horizon).where(horizon.c.unit == unit))
        session.insert(horizon, {"unit": unit, "revision": until})
        session.cache.changeset_counts.pop(unit, None)
        session.cache.pending.pop(unit, None)

    def _nth_newest(self, unit: str, count: int) -> int:
        newest = select(changeset.c.revision).where(changeset.c.unit == unit).order_by(changeset.c.revision.desc())
        return self._session.connection.scalar(newest.offset(count - 1).limit(1)) or 0

    def _first_since(self, unit: str, since: str) -> int:
        first = select(func.min(changeset.c.revision)).where(changeset.c.unit == unit, changeset.c.at >= since)
        return self._session.connection.scalar(first) or MAX_ROWID

    def _append(
        self,
        unit: str,
        kind: ChangesetKind,
        origin: Origin,
        target: int | None,
        line_end: int | None = None,
        line_previous: int | None = None,
        redo_end: int | None = None,
    ) -> Changeset:
        self._session.counters.revision += 1
        appended = Changeset(
            revision=self._session.counters.revision,
            unit=unit,
            kind=kind,
            at=self._session.at,
            target=target,
            line_end=line_end,
            line_previous=line_previous,
            redo_end=redo_end,
            **origin._asdict(),
        )
        self._insert(appended)
        return appended

    def _insert(self, new: Changeset) -> None:
        self._session.insert_each(_INSERT_CHANGESET, [new])
        cache = self._session.cache
        cache.newest = cache.heads[new.unit] = new
        cache.pending.pop(new.unit, None)

    def _change(self, revision: int, edit: Edit) -> Change:
        number = edit.id
        if number is None:
            self._session.counters.instance += 1
            number = self._session.counters.instance
        return Change(revision, number, edit.first_revision or revision, edit.before, edit.after)

    def _carry_out(self, new: Changeset, changes: Sequence[Change]) -> list[StoredChange]:
        """Record the ``changes`` of a ``new`` changeset, make the instances what they say, and return their rows."""
        if not changes:
            return []
        documents: list[StoredDocument] = []
        rows: list[StoredChange] = []
        instances: list[StoredInstance] = []
        for revision, number, first_revision, before, after in changes:
            before_number = None if before is None else self._number_document(before, number, documents)
            after_number = None if after is None else self._number_document(after, number, documents)
            rows.append(StoredChange(revision, number, first_revision, before_number, after_number))
            if after is not None and after_number is not None:
                row = StoredInstance(number, new.unit, after.key, after_number, first_revision, new.revision)
                instances.append(row)
        if documents:
            self._session.insert_each(_INSERT_DOCUMENT, documents)
        failpoint("change.mid")
        self._session.insert_each(_INSERT_CHANGE, rows)
        # Before any is added: a key may go from one instance to another.
        removed = [change.instance_id for change in changes if change.before is not None]
        if removed:
            self._instances.remove(removed)
        self._instances.add(instances)
        counts = self._session.cache.instance_counts
        if new.unit in counts:
            counts[new.unit] += sum((change.before is None) - (change.after is None) for change in changes)
        return rows

    def _number_document(self, content: Document, owner: int, new: list[StoredDocument]) -> int:
        """Return the number of a document; one that is not stored gets a number, and its row is added to ``new``."""
        if content.id is not None:
            return content.id
        self._session.counters.document += 1
        number = self._session.counters.document
        new.append(self._instances.document_row(owner, number, content))
        return number


def _numbered(
    content: Document | None, change: Change, numbers: Mapping[tuple[int, Document], int | None]
) -> Document | None:
    """Return one of the documents of ``change`` with the number under which it is stored, if it is."""
    number = None if content is None else numbers.get((change.instance_id, content))
    return content if content is None or number is None else content.numbered(number)
