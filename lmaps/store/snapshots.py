"""A unit's documents as one text, which SQLite joins: to have it hand over row by row takes far longer.

Instances are read in blocks. When the rows of a block have been found to fit their checksums, it is kept what their
columns come to: texts to their CRC-32, joined; numbers, of which nothing is told, to their sum. As long as
they come to the same they are those rows, and are not looked at one by one.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from zlib import crc32

from sqlalchemy import LargeBinary, bindparam, cast, func, select

from lmaps.store.instances import BY_ID, MAX_ROWID, OF_UNIT, WITHIN, InstanceTables
from lmaps.store.models import document, instance
from lmaps.store.statements import Prepared

BLOCK = 1000
"""Numbers of instances that a block has."""
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


class JoinedTables(InstanceTables):
    """Instances of units, their completed documents as one text."""

    def joined(self, name: str) -> tuple[int, list[bytes]]:
        """How many instances a unit has, and their completed documents, oldest first, with commas between them."""
        much = self._has_much(name)
        ends = self._ends() if much else [(MIN_ROWID, MAX_ROWID)]
        blocks = [self._block(name, after, last, much) for after, last in ends]
        return sum(count for count, _ in blocks), [text for count, text in blocks if count]

    def _ends(self) -> Iterator[tuple[int, int]]:
        """Where blocks begin, and their last numbers: of all blocks that have instances of any unit."""
        after = MIN_ROWID
        while (number := self.value(_NEXT, after=after)) is not None:
            last = min(number - number % BLOCK + BLOCK - 1, MAX_ROWID)
            yield after, last
            after = last

    def _block(self, name: str, after: int, last: int, much: bool) -> tuple[int, bytes]:
        """How many instances have a number above ``after``, up to ``last``, and their documents."""
        known = self.known.sums.get((name, last))
        if known is not None:
            wanted = _BLOCK_BY_ID if much else _BLOCK
            [(count, *columns)] = self.rows(wanted, unit=name, after=after, last=last)
            if _sums(count, columns) == known:
                return count, columns[0]
        return self._block_of_rows(name, after, last, much)

    def _block_of_rows(self, name: str, after: int, last: int, much: bool) -> tuple[int, bytes]:
        """The same, of rows that are looked at one by one."""
        rows = self._within(name, after, last, much)
        if not rows:
            return 0, b""
        ids, keys, kept, firsts, revisions, _, given, completed, made_under, _ = zip(*rows, strict=True)
        told = self._texts(rows).completed
        if told == completed:  # none was sealed
            texts = [",".join(each).encode() for each in (completed, given, keys)]
            numbers = map(sum, (ids, kept, firsts, revisions, made_under))
            self.known.sums[name, last] = _sums(len(rows), [*texts, *numbers])
        return len(rows), ",".join(told).encode()


def _sums(count: int, columns: Sequence[Any]) -> tuple[float, ...]:
    """What ``columns`` come to, the texts among them first."""
    texts = (crc32(text or b"") for text in columns[: len(_TEXTS)])
    return (count, *texts, *columns[len(_TEXTS) :])
