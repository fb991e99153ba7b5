"""Units as a whole, as JSON text: as they are now, or as they were at a revision.

SQLite joins the documents of a unit to one text: to have it hand over row by row takes far longer. Instances are read
in blocks. Once the rows of a block were checked one by one, sums over its columns are cached: of texts the CRC-32 of
all of them joined, of numbers their sum. A block that comes to the same sums has the same rows, and is not checked row
by row again.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from zlib import crc32

from sqlalchemy import LargeBinary, bindparam, cast, func, select

from lmaps.store.encryption import PREFIX
from lmaps.store.history import History
from lmaps.store.instances import BY_NUMBER, MAX_ROWID, OF_UNIT, WITHIN, Instances, InstanceWithDocument
from lmaps.store.models import change, changeset, document, instance
from lmaps.store.rows import InstanceTexts, Page
from lmaps.store.session import Session
from lmaps.store.statements import Prepared

BLOCK_SIZE = 1000
"""Numbers of instances in a block."""
MAX_PAGE_CHARS = 4 * 1024 * 1024
"""Characters of documents that fill a page."""
MIN_ROWID = -MAX_ROWID - 1
"""No number is lower, not even one that damage has made."""

_TEXTS = (document.c.completed, document.c.given, instance.c.key)
_NUMBERS = (instance.c.id, instance.c.document, instance.c.first_revision, instance.c.revision, document.c.definition)
_SUMS = select(
    func.count(), *(cast(func.group_concat(text), LargeBinary) for text in _TEXTS), *map(func.total, _NUMBERS)
)
"""``total`` is SQLite's sum in floating point: numbers that damage has made cannot overflow it."""
_ON_DOCUMENT = document.c.id == instance.c.document
_ORDERED = select(instance.c.id).where(OF_UNIT, *WITHIN).order_by(instance.c.id).subquery()
_BLOCK = Prepared(
    _SUMS.select_from(_ORDERED).join(instance, instance.c.id == _ORDERED.c.id).join(document, _ON_DOCUMENT)
).in_this_order()
_BLOCK_SCANNED = Prepared(_SUMS.join(document, _ON_DOCUMENT).where(BY_NUMBER, *WITHIN)).in_this_order()
_NEXT = Prepared(select(func.min(instance.c.id)).where(instance.c.id > bindparam("after")))


class Snapshots:
    """Units as a whole, as JSON text."""

    __slots__ = ("_history", "_instances", "_session")

    def __init__(self, session: Session, instances: Instances, history: History) -> None:
        self._session = session
        self._instances = instances
        self._history = history

    def joined(self, unit: str) -> tuple[int, list[bytes]]:
        """Return how many instances a unit has, and their completed documents in blocks, oldest first.

        The documents of a block are joined by commas.
        """
        large = self._instances.is_large(unit)
        ranges = self._block_ranges() if large else [(MIN_ROWID, MAX_ROWID)]
        blocks = [self._block(unit, after, last, scanned=large) for after, last in ranges]
        return sum(count for count, _ in blocks), [text for count, text in blocks if count]

    def texts(self, unit: str, keys: Sequence[str] | None = None) -> InstanceTexts:
        """Return the instances of a unit, all of them oldest first, or those that have one of ``keys``."""
        rows = self._instances.rows(unit) if keys is None else self._instances.rows_with_keys(unit, keys)
        return self._texts(rows)

    def page(self, unit: str, revision: int, after: int, limit: int) -> Page:
        """Return instances of a unit as they were at ``revision``, oldest first: those with a number above ``after``.

        They are ``limit`` at most, and fewer if they are large. The cost does not depend on how many there are.
        """
        rows, is_full = self._instances.page(unit, after, limit, MAX_PAGE_CHARS)
        now, until = self._texts(rows), rows[-1].id if is_full else None
        if revision >= (self._history.newest_revision(unit) or 0):
            return Page(now.clear_given, now.clear_completed, now.definitions, until)
        first_changes = self._first_changes(unit, revision, after, until or MAX_ROWID, limit)
        if len(first_changes) == limit:  # there may be more of them: the page ends where they are known to
            until = max(first_changes)
        columns = zip(now.clear_given, now.clear_completed, now.definitions, strict=True)
        documents = dict(zip(now.ids, columns, strict=True))
        for number, first_revision in first_changes.items():
            documents.pop(number, None)
            before = self._history.change_at(first_revision, number).before
            if before is not None:
                documents[number] = before.clear_given, before.clear_completed, before.definition
        page = [documents[number] for number in sorted(documents) if number <= (until or MAX_ROWID)]
        given, completed, definitions = zip(*page, strict=True) if page else ((), (), ())
        return Page(given, completed, definitions, until)

    def _block_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the number before each block, and its last number: of blocks that have instances of any unit."""
        after = MIN_ROWID
        while (number := self._session.value(_NEXT, after=after)) is not None:
            last = min(number - number % BLOCK_SIZE + BLOCK_SIZE - 1, MAX_ROWID)
            yield after, last
            after = last

    def _block(self, unit: str, after: int, last: int, *, scanned: bool) -> tuple[int, bytes]:
        """Return the count and the joined documents of instances with a number above ``after``, up to ``last``."""
        cached_sums = self._session.cache.block_sums.get((unit, last))
        if cached_sums is not None:
            query = _BLOCK_SCANNED if scanned else _BLOCK
            [(count, *columns)] = self._session.rows(query, unit=unit, after=after, last=last)
            if _sums(count, columns) == cached_sums:
                return count, columns[0]
        return self._block_by_rows(unit, after, last, scanned=scanned)

    def _block_by_rows(self, unit: str, after: int, last: int, *, scanned: bool) -> tuple[int, bytes]:
        """Return the same from rows that are checked one by one, and cache their sums."""
        rows = self._instances.rows_within(unit, after, last, scanned=scanned)
        if not rows:
            return 0, b""
        numbers, keys, stored, firsts, revisions, _, given, completed, made_under, _ = zip(*rows, strict=True)
        opened = self._texts(rows).clear_completed
        if opened == completed:  # a sealed block has to be opened row by row each time
            texts = [",".join(column).encode() for column in (completed, given, keys)]
            totals = map(sum, (numbers, stored, firsts, revisions, made_under))
            self._session.cache.block_sums[unit, last] = _sums(len(rows), [*texts, *totals])
        return len(rows), ",".join(opened).encode()

    def _first_changes(self, unit: str, revision: int, after: int, until: int, limit: int) -> dict[int, int]:
        """Return the revision of the first change after ``revision`` to each instance within the range, by number."""
        query = (
            select(change.c.instance_id, func.min(change.c.revision).label("first"))
            .join(changeset, changeset.c.revision == change.c.revision)
            .where(changeset.c.unit == unit, changeset.c.revision > revision)
            .where(change.c.instance_id > after, change.c.instance_id <= until)
            .group_by(change.c.instance_id)
            .order_by(change.c.instance_id)
            .limit(limit)
        )
        return {row.instance_id: row.first for row in self._session.connection.execute(query)}

    def _texts(self, rows: Sequence[InstanceWithDocument]) -> InstanceTexts:
        if not rows:
            return InstanceTexts((), (), (), (), (), ())
        numbers, keys, stored, _, revisions, _, given, completed, made_under, _ = zip(*rows, strict=True)
        if any(text.startswith(PREFIX) for text in completed):
            given = self._opened(numbers, stored, given, "given")
            completed = self._opened(numbers, stored, completed, "completed")
        return InstanceTexts(numbers, keys, revisions, given, completed, made_under)

    def _opened(self, owners: Sequence[int], stored: Sequence[int], texts: Sequence[str], name: str) -> tuple[str, ...]:
        rows = zip(owners, stored, texts, strict=True)
        return tuple(self._session.sealer.open(text, f"{owner}/{number}/{name}") for owner, number, text in rows)


def _sums(count: int, columns: Sequence[Any]) -> tuple[float, ...]:
    """Return the sums over a block's ``columns``, the texts among them first."""
    texts = (crc32(text or b"") for text in columns[: len(_TEXTS)])
    return (count, *texts, *columns[len(_TEXTS) :])
