"""A unit's documents as one text, which SQLite joins: to have it hand over row by row takes far longer.

Instances are read in blocks. When the rows of a block have been found to fit their checksums, it is kept what their
columns come to: texts to their CRC-32, joined; numbers, of which nothing is told, to their sum. As long as
they come to the same they are those rows, and are not looked at one by one.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from zlib import crc32

from sqlalchemy import LargeBinary, bindparam, cast, func, select

from lmaps.store.encryption import PREFIX
from lmaps.store.history import History
from lmaps.store.instances import BY_ID, MAX_ROWID, OF_UNIT, PAGE, PAGE_BY_ID, WITHIN, Instances, Row
from lmaps.store.models import change, changeset, document, instance
from lmaps.store.rows import Page, Texts
from lmaps.store.session import Session
from lmaps.store.statements import Prepared

BLOCK = 1000
"""Numbers of instances that a block has."""
PAGE_SIZE = 4 * 1024 * 1024
"""Characters of documents that are read at once, when a unit is read in pages."""
MIN_ROWID = -MAX_ROWID - 1
"""Below every number, also one that damage has made."""

_TEXTS = (document.c.completed, document.c.given, instance.c.key)
_NUMBERS = (instance.c.id, instance.c.document, instance.c.first_revision, instance.c.revision, document.c.definition)
_COMES_TO = select(
    func.count(), *(cast(func.group_concat(each), LargeBinary) for each in _TEXTS), *map(func.total, _NUMBERS)
)
_ITS = document.c.id == instance.c.document
_IN_ORDER = select(instance.c.id).where(OF_UNIT, *WITHIN).order_by(instance.c.id)
_WANTED = _IN_ORDER.subquery()
_BLOCK = Prepared(
    _COMES_TO.select_from(_WANTED).join(instance, instance.c.id == _WANTED.c.id).join(document, _ITS)
).in_this_order()
_BLOCK_BY_ID = Prepared(_COMES_TO.join(document, _ITS).where(BY_ID, *WITHIN)).in_this_order()
_NEXT = Prepared(select(func.min(instance.c.id)).where(instance.c.id > bindparam("after")))


class Snapshots:
    """Units as a whole, as JSON text: now, or as they were at a revision."""

    __slots__ = ("_history", "_instances", "_session")

    def __init__(self, session: Session, instances: Instances, history: History) -> None:
        self._session = session
        self._instances = instances
        self._history = history

    def joined(self, name: str) -> tuple[int, list[bytes]]:
        """How many instances a unit has, and their completed documents, oldest first, with commas between them."""
        much = self._instances.is_large(name)
        ends = self._ends() if much else [(MIN_ROWID, MAX_ROWID)]
        blocks = [self._block(name, after, last, much) for after, last in ends]
        return sum(count for count, _ in blocks), [text for count, text in blocks if count]

    def _ends(self) -> Iterator[tuple[int, int]]:
        """Where blocks begin, and their last numbers: of all blocks that have instances of any unit."""
        after = MIN_ROWID
        while (number := self._session.value(_NEXT, after=after)) is not None:
            last = min(number - number % BLOCK + BLOCK - 1, MAX_ROWID)
            yield after, last
            after = last

    def _block(self, name: str, after: int, last: int, much: bool) -> tuple[int, bytes]:
        """How many instances have a number above ``after``, up to ``last``, and their documents."""
        known = self._session.cache.sums.get((name, last))
        if known is not None:
            wanted = _BLOCK_BY_ID if much else _BLOCK
            [(count, *columns)] = self._session.rows(wanted, unit=name, after=after, last=last)
            if _sums(count, columns) == known:
                return count, columns[0]
        return self._block_of_rows(name, after, last, much)

    def _block_of_rows(self, name: str, after: int, last: int, much: bool) -> tuple[int, bytes]:
        """The same, of rows that are looked at one by one."""
        rows = self._instances.rows_within(name, after, last, much)
        if not rows:
            return 0, b""
        ids, keys, kept, firsts, revisions, _, given, completed, made_under, _ = zip(*rows, strict=True)
        told = self._texts(rows).completed
        if told == completed:  # none was sealed
            texts = [",".join(each).encode() for each in (completed, given, keys)]
            numbers = map(sum, (ids, kept, firsts, revisions, made_under))
            self._session.cache.sums[name, last] = _sums(len(rows), [*texts, *numbers])
        return len(rows), ",".join(told).encode()

    def texts(self, name: str, keys: Sequence[str] | None = None) -> Texts:
        """All instances of a unit, oldest first, or those that have one of ``keys``, as the texts that they are."""
        rows = self._instances.rows_of(name) if keys is None else self._instances.rows_with(name, keys)
        return self._texts(rows)

    def page(self, unit: str, revision: int, after: int, most: int) -> Page:
        """The instances of a unit as they were at ``revision``, oldest first: those with a number above ``after``.

        Not more than ``most``, and fewer if they are large. What it costs does not depend on how many there are.
        """
        now, until = self._following(unit, after, most)
        if revision >= (self._history.newest_revision(unit) or 0):
            return Page(now.given, now.completed, until)
        firsts = self._first_changes(unit, revision, after, until or MAX_ROWID, most)
        if len(firsts) == most:
            until = max(firsts)
        found = dict(zip(now.ids, zip(now.given, now.completed, strict=True), strict=True))
        for number, first in firsts.items():
            found.pop(number, None)
            before = self._history.change_at(first, number).before
            if before is not None:
                found[number] = before.given, before.completed
        then = [found[number] for number in sorted(found) if number <= (until or MAX_ROWID)]
        return Page([given for given, _ in then], [completed for _, completed in then], until)

    def _first_changes(self, unit: str, revision: int, after: int, until: int, most: int) -> dict[int, int]:
        """Which instances have been changed since ``revision``, and by which revision first."""
        wanted = (
            select(change.c.instance_id, func.min(change.c.revision))
            .join(changeset, changeset.c.revision == change.c.revision)
            .where(changeset.c.unit == unit, changeset.c.revision > revision)
            .where(change.c.instance_id > after, change.c.instance_id <= until)
            .group_by(change.c.instance_id)
            .order_by(change.c.instance_id)
            .limit(most)
        )
        return {row[0]: row[1] for row in self._session.connection.execute(wanted)}

    def _following(self, name: str, after: int, most: int) -> tuple[Texts, int | None]:
        """A unit's instances with a number above ``after``: up to ``most``, and up to `PAGE_SIZE` of documents.

        With them the number of the last one, None if there are certainly no more.
        """
        wanted = PAGE_BY_ID if self._instances.is_large(name) else PAGE
        found: list[Row] = []
        size = 0
        for row in self._session.each_row(wanted, unit=name, after=after, most=most):
            found.append(row)
            size += len(row[6]) + len(row[7])
            if size >= PAGE_SIZE:
                break
        full = size >= PAGE_SIZE or len(found) == most
        return self._texts(self._instances.sound(name, found)), found[-1][0] if full else None

    def _texts(self, rows: Sequence[Row]) -> Texts:
        if not rows:
            return Texts((), (), (), (), ())
        ids, keys, kept, _, revisions, _, given, completed, *_ = zip(*rows, strict=True)
        if any(text.startswith(PREFIX) for text in completed):
            given, completed = self._opened(ids, kept, given, "given"), self._opened(ids, kept, completed, "completed")
        return Texts(ids, keys, revisions, given, completed)

    def _opened(self, ids: Sequence[int], kept: Sequence[int], texts: Sequence[str], name: str) -> tuple[str, ...]:
        rows = zip(ids, kept, texts, strict=True)
        return tuple(self._session.sealer.open(text, f"{of}/{number}/{name}") for of, number, text in rows)


def _sums(count: int, columns: Sequence[Any]) -> tuple[float, ...]:
    """What ``columns`` come to, the texts among them first."""
    texts = (crc32(text or b"") for text in columns[: len(_TEXTS)])
    return (count, *texts, *columns[len(_TEXTS) :])
