"""The tables ``changeset`` and ``change``, read: what was done, and what a unit was at any revision.

The changesets of a unit that are in effect form its line. Each knows its predecessor on the line, so lines are paths
that share their beginnings, and undo only moves the line's end along such a path.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import bindparam, func, select

from lmaps.errors import StateDamaged
from lmaps.store.checksums import check, checked
from lmaps.store.instances import MAX_ROWID, Instances
from lmaps.store.models import change as change_table
from lmaps.store.models import changeset, document, horizon
from lmaps.store.models import unit as definition
from lmaps.store.rows import Change, Changeset, Document, Instance, StoredChange, StoredDocument, Undo
from lmaps.store.session import Session
from lmaps.store.statements import Prepared

MAX_VARIABLES = 500
"""Values that one statement lists: SQLite can be built to take no more than 999."""

_BEFORE, _AFTER = document.alias(), document.alias()
_DOCUMENT_COLUMNS = (*StoredDocument._fields, "checksum")
_CHANGES = (
    select(
        *(change_table.c[name] for name in (*StoredChange._fields, "checksum")),
        *(side.c[name] for side in (_BEFORE, _AFTER) for name in _DOCUMENT_COLUMNS),
    )
    .outerjoin(_BEFORE, _BEFORE.c.id == change_table.c.before_document)
    .outerjoin(_AFTER, _AFTER.c.id == change_table.c.after_document)
)
"""Each change with its checksum, the document before it, and the document after it; `History._change` reads them."""
_CHANGESET = Prepared(select(changeset).where(changeset.c.revision == bindparam("revision")))
_HEAD = Prepared(
    select(changeset).where(changeset.c.unit == bindparam("unit")).order_by(changeset.c.revision.desc()).limit(1)
)
_HORIZON = Prepared(select(horizon.c.revision).where(horizon.c.unit == bindparam("unit")))
_COUNT_NEWER = Prepared(
    select(func.count()).where(changeset.c.unit == bindparam("unit"), changeset.c.revision > bindparam("revision"))
)
_OUTDATED_SINCE = Prepared(
    select(change_table.c.instance_id)
    .join(changeset, changeset.c.revision == change_table.c.revision)
    .join(document, document.c.id == change_table.c.after_document)
    .join(definition, definition.c.id == document.c.definition)
    .where(changeset.c.unit == bindparam("unit"), changeset.c.revision > bindparam("revision"))
    .where(definition.c.digest != bindparam("digest"))
    .limit(bindparam("limit"))
)
_CHANGES_OF = Prepared(
    _CHANGES.where(change_table.c.revision == bindparam("revision"))
    .order_by(change_table.c.instance_id)
    .limit(bindparam("limit"))
)
_CHANGE_AT = Prepared(
    _CHANGES.where(change_table.c.revision == bindparam("revision"), change_table.c.instance_id == bindparam("number"))
)


def _line() -> Prepared:
    """Return the query for the revisions on a line, from ``end`` back to those after ``above``."""
    step = select(changeset.c.revision, changeset.c.line_previous)
    above = changeset.c.revision > bindparam("above")
    walk = step.where(changeset.c.revision == bindparam("end"), above).cte("walk", recursive=True)
    previous = step.where(changeset.c.revision == walk.c.line_previous, above)
    return Prepared(select(walk.union_all(previous).c.revision).limit(bindparam("limit")))


_LINE = _line()


class History:
    """Changesets and their changes. Methods raise `StateDamaged` if a row does not fit its checksum."""

    __slots__ = ("_instances", "_session")

    def __init__(self, session: Session, instances: Instances) -> None:
        self._session = session
        self._instances = instances

    def units(self) -> list[str]:
        """Return the names of all units that have a history."""
        query = select(definition.c.name).distinct().order_by(definition.c.name)
        return list(self._session.connection.scalars(query))

    def changeset(self, revision: int) -> Changeset | None:
        """Return the changeset of this revision, None if there is none."""
        rows = self._session.rows(_CHANGESET, revision=revision)
        return Changeset.from_columns(checked(changeset, rows[0])) if rows else None

    def newest(self) -> Changeset | None:
        """Return the newest changeset of all units."""
        cache = self._session.cache
        if cache.newest is None:
            cache.newest = self.changeset(self._session.counters.revision)
        return cache.newest

    def changesets(
        self,
        unit: str | Sequence[str] | None = None,
        *,
        limit: int | None = None,
        since: str | None = None,
        until: str | None = None,
        author: str | None = None,
        ticket: str | None = None,
    ) -> list[Changeset]:
        """Return changesets, newest first: of one unit, of several, or of all.

        ``since`` and ``until`` are times, included.
        """
        query = select(changeset).order_by(changeset.c.revision.desc()).limit(limit)
        if unit is not None:
            query = query.where(changeset.c.unit == unit if isinstance(unit, str) else changeset.c.unit.in_(unit))
        for column, value in ((changeset.c.author, author), (changeset.c.ticket, ticket)):
            if value is not None:
                query = query.where(column == value)
        if since is not None:
            query = query.where(changeset.c.at >= since)
        if until is not None:
            query = query.where(changeset.c.at <= until)
        return [Changeset.from_columns(checked(changeset, row)) for row in self._session.connection.execute(query)]

    def head(self, unit: str) -> Changeset | None:
        """Return the newest changeset of a unit, None before the first."""
        heads = self._session.cache.heads
        head = heads.get(unit)
        if head is None and (rows := self._session.rows(_HEAD, unit=unit)):
            head = heads[unit] = Changeset.from_columns(checked(changeset, rows[0]))
        return head

    def newest_revision(self, unit: str) -> int | None:
        """Return the revision of a unit's newest changeset, None before the first."""
        head = self.head(unit)
        return head.revision if head else None

    def horizon(self, unit: str) -> int:
        """Return the first revision at which a unit's state is known: older changesets were dropped. 0 if none was."""
        return self._session.value(_HORIZON, unit=unit) or 0

    def count_after(self, unit: str, revision: int) -> int:
        """Return how many changesets a unit has after ``revision``: those that came since last time are counted."""
        counts = self._session.cache.changeset_counts
        counted_from, counted_to, count = counts.get(unit, (revision, revision, 0))
        if counted_from != revision:
            counted_to, count = revision, 0
        count += self._session.value(_COUNT_NEWER, unit=unit, revision=counted_to) or 0
        counts[unit] = (revision, max(counted_to, self.newest_revision(unit) or 0), count)
        return count

    def changes(self, revision: int, limit: int | None = None) -> list[Change]:
        """Return what a changeset did, instance by instance; the first ``limit`` of them."""
        rows = self._session.rows(_CHANGES_OF, revision=revision, limit=-1 if limit is None else limit)
        return [self._change(row) for row in rows]

    def size(self, revision: int) -> int:
        """Return how many instances a changeset changed."""
        query = select(func.count()).where(change_table.c.revision == revision)
        return self._session.connection.scalar(query) or 0

    def change_at(self, revision: int, number: int) -> Change:
        """Return what a changeset did to the instance with this number, which is one of those that it changed."""
        [row] = self._session.rows(_CHANGE_AT, revision=revision, number=number)
        return self._change(row)

    def changes_of(self, number: int) -> list[Change]:
        """Return what was done to the instance with this number, oldest first, as far as it was not dropped."""
        query = _CHANGES.where(change_table.c.instance_id == number).order_by(change_table.c.revision)
        return [self._change(row) for row in self._session.connection.execute(query)]

    def outdated_since(self, unit: str, digest: str, revision: int, limit: int) -> list[int]:
        """Return up to ``limit`` numbers of instances that changes after ``revision`` gave an outdated document.

        That is one completed under another text of the unit than the one with this ``digest``, as undo brings them
        back.
        """
        if not self._instances.other_definitions(unit, digest):
            return []
        rows = self._session.rows(_OUTDATED_SINCE, unit=unit, digest=digest, revision=revision, limit=limit)
        return [number for (number,) in rows]

    def line(self, end: int | None, *, above: int | None = None, limit: int = -1) -> list[int]:
        """Return the revisions on the line that ends with ``end``, newest first: those after ``above``."""
        rows = self._session.rows(_LINE, end=end, above=above or 0, limit=limit)
        return [revision for (revision,) in rows]

    def on_line(self, unit: str, revisions: Iterable[int]) -> set[int]:
        """Return those of ``revisions`` that are on the unit's line."""
        line = self._whole_line(unit)
        places = ((revision, bisect_left(line, revision)) for revision in revisions)
        return {revision for revision, place in places if place < len(line) and line[place] == revision}

    def _whole_line(self, unit: str) -> "array[int]":
        """Return the revisions on the unit's line, oldest first. The cached line is brought up to date.

        From the line's end it is walked back to the newest revision that is cached, and from there the two lines
        are the same if that revision is on both; else all of it is walked.
        """
        line = self._session.cache.lines.setdefault(unit, array("q"))
        head = self.head(unit)
        end = head.line_end if head else None
        newer = self.line(end, above=line[-1] if line else 0)
        oldest = self.changeset(newer[-1]) if newer else None
        parting = oldest.line_previous if oldest else end
        common = bisect_right(line, parting or 0)
        if common and line[common - 1] != parting:
            common, newer = 0, self.line(end)
        line[common:] = array("q", reversed(newer))
        return line

    def redoable(self, unit: str) -> list[int]:
        """Return the revisions that redo would bring back, the next one first."""
        head = self.head(unit)
        return [] if head is None else self.line(head.redo_end, above=head.line_end)[::-1]

    def rollback_of(self, unit: str, steps: int) -> Undo | None:
        """Return what takes the last changesets off the unit's line: ``steps``, or as many as there are."""
        head = self.head(unit)
        undone = self.line(head.line_end, limit=steps) if head else []
        oldest = self.changeset(undone[-1]) if undone else None
        if head is None or oldest is None:
            return None
        changes = [_inverse(change) for revision in undone for change in reversed(self.changes(revision))]
        return Undo(_combined(changes), oldest.revision, oldest.line_previous, head.redo_end or head.line_end)

    def redo_of(self, unit: str, steps: int) -> Undo | None:
        """Return what puts back on the line what rollback took off: ``steps`` changesets, or as many as there are."""
        head = self.head(unit)
        redone = self.redoable(unit)[:steps]
        if head is None or not redone:
            return None
        changes = [change for revision in redone for change in self.changes(revision)]
        return Undo(_combined(changes), redone[-1], redone[-1], None if redone[-1] == head.redo_end else head.redo_end)

    def state_at(self, unit: str, revision: int, now: Iterable[Instance] | None = None) -> list[Instance]:
        """Return the instances of a unit as they were at ``revision``, oldest first.

        If some are given as they are ``now``, only these are returned, and those that were changed since.
        """
        instances = {instance.id: instance for instance in (self._instances.all(unit) if now is None else now)}
        later = list(self.between(unit, revision, MAX_ROWID))
        last_changed = self._last_changed([change.instance_id for change in later], revision)
        for change in later:
            number = change.instance_id
            instances.pop(number, None)
            if change.before is not None:
                since = last_changed.get(number, change.first_revision)
                instances[number] = Instance(number, unit, change.before, change.first_revision, since)
        return [instances[number] for number in sorted(instances)]

    def between(self, unit: str, older: int, newer: int) -> Iterator[Change]:
        """Yield what the changesets of a unit after ``older``, up to ``newer``, did to each instance taken together."""
        ends = (
            select(change_table.c.instance_id, func.min(change_table.c.revision), func.max(change_table.c.revision))
            .join(changeset, changeset.c.revision == change_table.c.revision)
            .where(changeset.c.unit == unit, changeset.c.revision > older, changeset.c.revision <= newer)
            .group_by(change_table.c.instance_id)
            .order_by(change_table.c.instance_id)
        )
        for number, first, last in self._session.connection.execute(ends).all():
            yield net([self.change_at(revision, number) for revision in dict.fromkeys((first, last))])

    def replaced(self, unit: str, revision: int, limit: int) -> list[Document]:
        """Return the newest ``limit`` documents that changesets of a unit after ``revision`` replaced or removed."""
        query = (
            _CHANGES.join(changeset, changeset.c.revision == change_table.c.revision)
            .where(changeset.c.unit == unit, changeset.c.revision > revision)
            .where(change_table.c.before_document.is_not(None))
            .order_by(changeset.c.revision.desc())
            .limit(limit)
        )
        changes = map(self._change, self._session.connection.execute(query))
        return [change.before for change in changes if change.before is not None]

    def _change(self, columns: Sequence[Any]) -> Change:
        """Return the change in a row of `_CHANGES`."""
        width, documents = len(StoredChange._fields), columns[len(StoredChange._fields) + 1 :]
        row = StoredChange(*columns[:width])
        check("change", row, columns[width])
        before, after = documents[: len(_DOCUMENT_COLUMNS)], documents[len(_DOCUMENT_COLUMNS) :]
        return Change(
            row.revision,
            row.instance_id,
            row.first_revision,
            None if row.before_document is None else self._document(row, before),
            None if row.after_document is None else self._document(row, after),
        )

    def _document(self, row: StoredChange, columns: Sequence[Any]) -> Document:
        *content, expected = columns
        if expected is None:  # the outer join has found no such document
            raise StateDamaged(f"cannot rely on the database: r{row.revision} has lost a document")
        return self._instances.read_document(row.instance_id, StoredDocument(*content), expected)

    def _last_changed(self, numbers: Sequence[int], revision: int) -> dict[int, int]:
        """Return the newest revision up to ``revision`` that changed each of these instances, by number."""
        newest: dict[int, int] = {}
        for start in range(0, len(numbers), MAX_VARIABLES):
            query = (
                select(change_table.c.instance_id, func.max(change_table.c.revision).label("newest"))
                .where(
                    change_table.c.instance_id.in_(numbers[start : start + MAX_VARIABLES]),
                    change_table.c.revision <= revision,
                )
                .group_by(change_table.c.instance_id)
            )
            newest |= {row.instance_id: row.newest for row in self._session.connection.execute(query)}
        return newest


def _combined(changes: Sequence[Change]) -> list[Change]:
    """Return ``changes``, given in the order in which they happen, one for each instance.

    Instances that end as they began are left out.
    """
    by_instance: dict[int, list[Change]] = {}
    for change in changes:
        by_instance.setdefault(change.instance_id, []).append(change)
    combined = [net(several) for several in by_instance.values()]
    return [change for change in combined if change.before != change.after]


def _inverse(change: Change) -> Change:
    """Return the change that undoes ``change``."""
    return Change(change.revision, change.instance_id, change.first_revision, change.after, change.before)


def net(changes: Sequence[Change]) -> Change:
    """Return changes of one instance, oldest first, taken together."""
    last = changes[-1]
    return Change(last.revision, last.instance_id, last.first_revision, changes[0].before, last.after)
