"""The tables ``changeset`` and ``change``, read: what was done, and what was there at any revision.

The changesets of a unit that are in effect form its line. Each knows what lies before itself on the line, so lines are
paths that share their beginnings, and undo only moves the line's end along such a path.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import bindparam, func, select

from lmaps.errors import StateDamaged
from lmaps.store.checksums import check, checked
from lmaps.store.instances import BATCH, DOCUMENT, MAX_ROWID, Instances
from lmaps.store.models import change, changeset, document, horizon
from lmaps.store.models import unit as definition
from lmaps.store.rows import Change, Changeset, Document, Instance
from lmaps.store.session import Session
from lmaps.store.statements import Prepared

_BEFORE, _AFTER = document.alias(), document.alias()
_CHANGES = (
    select(
        change.c.revision,
        change.c.instance_id,
        change.c.first_revision,
        change.c.before_document,
        change.c.after_document,
        change.c.checksum,
        *(side.c[name] for side in (_BEFORE, _AFTER) for name in DOCUMENT),
    )
    .outerjoin(_BEFORE, _BEFORE.c.id == change.c.before_document)
    .outerjoin(_AFTER, _AFTER.c.id == change.c.after_document)
)
_CHANGESET = Prepared(select(changeset).where(changeset.c.revision == bindparam("revision")))
_HEAD = Prepared(
    select(changeset).where(changeset.c.unit == bindparam("unit")).order_by(changeset.c.revision.desc()).limit(1)
)
_HORIZON = Prepared(select(horizon.c.revision).where(horizon.c.unit == bindparam("unit")))
_NEWER = Prepared(
    select(func.count()).where(changeset.c.unit == bindparam("unit"), changeset.c.revision > bindparam("revision"))
)
_RETURNED = Prepared(
    select(change.c.instance_id)
    .join(changeset, changeset.c.revision == change.c.revision)
    .join(document, document.c.id == change.c.after_document)
    .join(definition, definition.c.id == document.c.definition)
    .where(changeset.c.unit == bindparam("unit"), changeset.c.revision > bindparam("revision"))
    .where(definition.c.digest != bindparam("digest"))
    .limit(bindparam("most"))
)
_CHANGES_OF = Prepared(
    _CHANGES.where(change.c.revision == bindparam("revision")).order_by(change.c.instance_id).limit(bindparam("most"))
)
_CHANGE_AT = Prepared(
    _CHANGES.where(change.c.revision == bindparam("revision"), change.c.instance_id == bindparam("number"))
)


def _line() -> Prepared:
    """The revisions on a line, from ``end`` back to ``above``."""
    step = select(changeset.c.revision, changeset.c.line_previous)
    above = changeset.c.revision > bindparam("above")
    walk = step.where(changeset.c.revision == bindparam("end"), above).cte("walk", recursive=True)
    before = step.where(changeset.c.revision == walk.c.line_previous, above)
    return Prepared(select(walk.union_all(before).c.revision).limit(bindparam("most")))


_LINE = _line()


class History:
    """What was done to the units, and what they were."""

    __slots__ = ("_instances", "_session")

    def __init__(self, session: Session, instances: Instances) -> None:
        self._session = session
        self._instances = instances

    def units(self) -> list[str]:
        """The names of all units that have a history."""
        return list(self._session.connection.scalars(select(definition.c.name).distinct().order_by(definition.c.name)))

    def changeset(self, revision: int) -> Changeset | None:
        """The changeset of this revision."""
        found = self._session.rows(_CHANGESET, revision=revision)
        return Changeset.from_columns(checked(changeset, found[0])) if found else None

    def newest(self) -> Changeset | None:
        """The newest changeset of all units."""
        if self._session.cache.newest is None:
            self._session.cache.newest = self.changeset(self._session.counters.revision)
        return self._session.cache.newest

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
        """The changesets of one unit, of some, or of all, newest first; ``since`` and ``until`` are times, included."""
        wanted = select(changeset).order_by(changeset.c.revision.desc()).limit(limit)
        if unit is not None:
            wanted = wanted.where(changeset.c.unit == unit if isinstance(unit, str) else changeset.c.unit.in_(unit))
        for column, value in ((changeset.c.author, author), (changeset.c.ticket, ticket)):
            if value is not None:
                wanted = wanted.where(column == value)
        if since is not None:
            wanted = wanted.where(changeset.c.at >= since)
        if until is not None:
            wanted = wanted.where(changeset.c.at <= until)
        return [Changeset.from_columns(checked(changeset, row)) for row in self._session.connection.execute(wanted)]

    def head(self, unit: str) -> Changeset | None:
        """The newest changeset of a unit."""
        known = self._session.cache.heads.get(unit)
        if known is None and (found := self._session.rows(_HEAD, unit=unit)):
            known = self._session.cache.heads[unit] = Changeset.from_columns(checked(changeset, found[0]))
        return known

    def horizon(self, unit: str) -> int:
        """Where the history of a unit begins: what was there at this revision and later is known."""
        return self._session.value(_HORIZON, unit=unit) or 0

    def newest_revision(self, unit: str) -> int | None:
        """The newest revision of a unit."""
        head = self.head(unit)
        return head.revision if head else None

    def count_after(self, unit: str, revision: int) -> int:
        """How many changesets a unit has after ``revision``: those that were not counted before are."""
        after, until, count = self._session.cache.counted.get(unit, (revision, revision, 0))
        if after != revision:
            until, count = revision, 0
        count += self._session.value(_NEWER, unit=unit, revision=until) or 0
        self._session.cache.counted[unit] = (revision, max(until, self.newest_revision(unit) or 0), count)
        return count

    def changes(self, revision: int, limit: int | None = None) -> list[Change]:
        """What a changeset did, instance by instance; the first ``limit`` of them."""
        most = -1 if limit is None else limit
        return [self._change(*row) for row in self._session.rows(_CHANGES_OF, revision=revision, most=most)]

    def size(self, revision: int) -> int:
        """How many instances a changeset changed."""
        return self._session.connection.scalar(select(func.count()).where(change.c.revision == revision)) or 0

    def changes_of(self, instance: int) -> list[Change]:
        """All that is kept of what was done to one instance, oldest first."""
        wanted = _CHANGES.where(change.c.instance_id == instance).order_by(change.c.revision)
        return [self._change(*row) for row in self._session.connection.execute(wanted)]

    def outdated_since(self, unit: str, digest: str, revision: int, most: int) -> list[int]:
        """Up to ``most`` instances to which changes after ``revision`` gave a document made under another text."""
        if not self._instances.other_definitions(unit, digest):
            return []
        return [row[0] for row in self._session.rows(_RETURNED, unit=unit, digest=digest, revision=revision, most=most)]

    def line(self, end: int | None, *, above: int | None = None, limit: int = -1) -> list[int]:
        """The revisions on the line that ends with ``end``, newest first: those after ``above``, ``limit`` at most."""
        return [row[0] for row in self._session.rows(_LINE, end=end, above=above or 0, most=limit)]

    def on_line(self, unit: str, revisions: Iterable[int]) -> set[int]:
        """Those of ``revisions`` that are on the unit's line."""
        line = self._whole_line(unit)
        places = ((each, bisect_left(line, each)) for each in revisions)
        return {each for each, place in places if place < len(line) and line[place] == each}

    def _whole_line(self, unit: str) -> "array[int]":
        """The revisions on the unit's line, oldest first: walked to where it parts from the line that was known."""
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
        """The revisions that redo would bring back, the next one first."""
        head = self.head(unit)
        return [] if head is None else self.line(head.redo_end, above=head.line_end)[::-1]

    def state_at(self, unit: str, revision: int, now: Iterable[Instance] | None = None) -> list[Instance]:
        """The instances of a unit as they were at ``revision``, oldest first.

        Not all of them, if some are given as they are ``now``: these, and those that were changed since.
        """
        found = {instance.id: instance for instance in (self._instances.all(unit) if now is None else now)}
        later = list(self.between(unit, revision, MAX_ROWID))
        made = self._last_changed([each.instance_id for each in later], revision)
        for each in later:
            found.pop(each.instance_id, None)
            if each.before is not None:
                since = made.get(each.instance_id, each.first_revision)
                found[each.instance_id] = Instance(each.instance_id, unit, each.before, each.first_revision, since)
        return [found[number] for number in sorted(found)]

    def between(self, unit: str, older: int, newer: int) -> Iterator[Change]:
        """What the changesets of a unit after ``older``, up to ``newer``, did to each instance taken together."""
        ends = (
            select(change.c.instance_id, func.min(change.c.revision), func.max(change.c.revision))
            .join(changeset, changeset.c.revision == change.c.revision)
            .where(changeset.c.unit == unit, changeset.c.revision > older, changeset.c.revision <= newer)
            .group_by(change.c.instance_id)
            .order_by(change.c.instance_id)
        )
        for number, first, last in self._session.connection.execute(ends).all():
            yield net([self.change_at(revision, number) for revision in dict.fromkeys((first, last))])

    def change_at(self, revision: int, number: int) -> Change:
        """What the changeset of this revision did to the instance of this number."""
        [row] = self._session.rows(_CHANGE_AT, revision=revision, number=number)
        return self._change(*row)

    def _change(self, *told: Any) -> Change:
        row, expected, documents = told[:5], told[5], told[6:]
        check("change", row, expected)
        revision, instance, first, *ends = row
        both = (documents[: len(DOCUMENT)], documents[len(DOCUMENT) :])
        before, after = (
            None if end is None else self._end(revision, instance, found) for end, found in zip(ends, both, strict=True)
        )
        return Change(revision, instance, first, before, after)

    def _end(self, revision: int, instance: int, found: Sequence[Any]) -> Document:
        if found[0] is None:
            raise StateDamaged(f"cannot rely on the database: r{revision} has lost a document")
        return self._instances.read_document(instance, *found)

    def _last_changed(self, instances: Sequence[int], revision: int) -> dict[int, int]:
        """By which revision, up to ``revision``, each of these instances was changed last."""
        found: dict[int, int] = {}
        for start in range(0, len(instances), BATCH):
            wanted = (
                select(change.c.instance_id, func.max(change.c.revision).label("newest"))
                .where(change.c.instance_id.in_(instances[start : start + BATCH]), change.c.revision <= revision)
                .group_by(change.c.instance_id)
            )
            found |= {row[0]: row[1] for row in self._session.connection.execute(wanted)}
        return found


def net(changes: Sequence[Change]) -> Change:
    """Changes of one instance, oldest first, taken together."""
    last = changes[-1]
    return Change(last.revision, last.instance_id, last.first_revision, changes[0].before, last.after)
