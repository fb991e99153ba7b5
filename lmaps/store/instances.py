"""The tables ``instance`` and ``unit``: the instances that exist now, and the unit texts they were completed under."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from zlib import crc32

from sqlalchemy import Select, bindparam, delete, func, literal_column, select

from lmaps.store.checksums import check
from lmaps.store.models import document, instance
from lmaps.store.models import unit as definition
from lmaps.store.rows import Document, Instance, StoredDocument, StoredInstance
from lmaps.store.session import Session
from lmaps.store.statements import Insertion, Prepared, Query

MAX_ROWID = 2**63 - 1
"""No number and no revision is higher."""
SCAN_FRACTION = 8
"""A unit that has at least one in so many of all instances is read in their order.

SQLite then scans the table from one end to the other. It neither sorts nor looks up each row from an index.
"""


class InstanceWithDocument(NamedTuple):
    """A row of ``instance`` joined with its document; the unit is not among the columns, since each query names it.

    Both have the same key, and the document has the instance's number.
    """

    id: int
    key: str
    document: int
    first_revision: int
    revision: int
    checksum: int
    given: str
    completed: str
    definition: int
    document_checksum: int


_COLUMNS = (
    instance.c.id,
    instance.c.key,
    instance.c.document,
    instance.c.first_revision,
    instance.c.revision,
    instance.c.checksum,
    document.c.given,
    document.c.completed,
    document.c.definition,
    document.c.checksum.label("document_checksum"),
)
_JOINED = select(*_COLUMNS).join(document, document.c.id == instance.c.document)
_IN_ORDER = _JOINED.order_by(instance.c.id)
OF_UNIT = instance.c.unit == bindparam("unit")
"""The instances of one unit, found by the index on unit and key."""
BY_NUMBER = literal_column("+instance.unit") == bindparam("unit")
"""The same, found in the order of their numbers: the plus keeps SQLite from using the index."""
_BY_KEY = Query(_JOINED.where(OF_UNIT, instance.c.key == bindparam("key")), InstanceWithDocument)
_KEYS = func.json_each(bindparam("keys")).table_valued("value")
_BY_KEYS = Query(
    select(*_COLUMNS)
    .select_from(_KEYS)
    .join(instance, OF_UNIT & (instance.c.key == _KEYS.c.value))
    .join(document, document.c.id == instance.c.document),
    InstanceWithDocument,
).in_this_order()
_NUMBERS = func.json_each(bindparam("numbers")).table_valued("value")
_BY_NUMBERS = Query(_JOINED.where(BY_NUMBER, instance.c.id.in_(select(_NUMBERS.c.value))), InstanceWithDocument)
_ALL = Query(_IN_ORDER.where(OF_UNIT), InstanceWithDocument)
_ALL_SCANNED = Query(_IN_ORDER.where(BY_NUMBER), InstanceWithDocument)
_COUNT = Prepared(select(func.count()).where(OF_UNIT))
WITHIN = (instance.c.id > bindparam("after"), instance.c.id <= bindparam("last", MAX_ROWID))
"""The instances with a number above ``after``, up to ``last``."""
_RANGE = Query(_IN_ORDER.where(OF_UNIT, *WITHIN).limit(bindparam("limit", -1)), InstanceWithDocument)
_RANGE_SCANNED = Query(_IN_ORDER.where(BY_NUMBER, *WITHIN).limit(bindparam("limit", -1)), InstanceWithDocument)
_COUNT_UP_TO = Prepared(select(func.count()).select_from(select(1).where(OF_UNIT).limit(bindparam("limit")).subquery()))
_INSERT = Insertion(instance, StoredInstance)
_DELETE = Prepared(delete(instance).where(instance.c.id == bindparam("number")))
_DEFINITION = Prepared(
    select(definition.c.id).where(definition.c.name == bindparam("unit"), definition.c.digest == bindparam("digest"))
)
_DEFINITIONS = Prepared(
    select(definition.c.id, definition.c.definition)
    .where(definition.c.name == bindparam("unit"))
    .order_by(definition.c.digest)  # as exports have always had them
)
_OTHER_DEFINITIONS = Prepared(
    select(definition.c.id).where(definition.c.name == bindparam("unit"), definition.c.digest != bindparam("digest"))
)
_IS_OUTDATED = Prepared(
    select(1)
    .select_from(instance)
    .join(document, document.c.id == instance.c.document)
    .join(definition, definition.c.id == document.c.definition)
    .where(OF_UNIT, definition.c.digest != bindparam("digest"))
    .limit(1)
)


class Instances:
    """Instances of units, their documents, and the texts of units. Rows that do not fit their checksums are refused.

    Methods that read raise `StateDamaged` then.
    """

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self, unit: str) -> list[Instance]:
        """Return all instances of a unit, oldest first."""
        return self._select(unit, _IN_ORDER)

    def find(self, unit: str, keys: Sequence[str]) -> dict[str, Instance]:
        """Return the instances of a unit that have one of ``keys``, by key."""
        return {row.key: self._instance(unit, row) for row in self.rows_with_keys(unit, keys)}

    def with_prefix(self, unit: str, prefix: str) -> list[Instance]:
        """Return the instances of a unit whose keys begin with ``prefix``, oldest first."""
        begins = instance.c.key.between(prefix, f"{prefix}\U0010ffff")  # the highest code point: LIKE uses no index
        return self._select(unit, _IN_ORDER.where(begins))

    def by_number(self, unit: str, numbers: Sequence[int]) -> dict[int, Instance]:
        """Return the instances of a unit that have one of ``numbers``, by number."""
        if not numbers:
            return {}
        rows = self._session.read(_BY_NUMBERS, unit=unit, numbers=json.dumps(list(numbers)))
        return {row.id: self._instance(unit, row) for row in self._verified(unit, rows)}

    def count(self, unit: str) -> int:
        """Return how many instances a unit has."""
        counts = self._session.cache.instance_counts
        count = counts.get(unit)
        if count is None:
            count = counts[unit] = int(self._session.value(_COUNT, unit=unit))
        return count

    def outdated(self, unit: str, digest: str, after: int, limit: int) -> tuple[list[Instance], int | None]:
        """Return the outdated ones of the next ``limit`` instances, and the number to go on after.

        An instance is outdated if it was completed under another text of the unit than the one with this ``digest``.
        The next instances are those with numbers above ``after``; the number to go on after is None at the end.
        """
        others = self.other_definitions(unit, digest)
        if not others:
            return [], None
        rows = self._session.read(self._range(unit), unit=unit, after=after, limit=limit)
        outdated = self._verified(unit, [row for row in rows if row.definition in others])
        return [self._instance(unit, row) for row in outdated], rows[-1].id if len(rows) == limit else None

    def is_outdated(self, unit: str, digest: str) -> bool:
        """Return whether any instance was completed under another text of the unit than the one with this digest."""
        return self._session.value(_IS_OUTDATED, unit=unit, digest=digest) is not None

    def definition(self, unit: str, digest: str, text: str) -> int:
        """Return the number of this text of the unit; a text that is new is recorded."""
        numbers = self._session.cache.definitions
        number = numbers.get((unit, digest))
        if number is not None:
            return number
        number = self._session.value(_DEFINITION, unit=unit, digest=digest)
        if number is None:
            self._session.insert(definition, {"name": unit, "digest": digest, "definition": text})
            self._session.cache.unit_texts.pop(unit, None)
            number = self._session.value(_DEFINITION, unit=unit, digest=digest)
        numbers[unit, digest] = int(number or 0)
        return numbers[unit, digest]

    def definitions(self, unit: str) -> dict[int, str]:
        """Return every text of the unit that changes were made under, by number."""
        texts = self._session.cache.unit_texts
        if unit not in texts:
            texts[unit] = dict(self._session.rows(_DEFINITIONS, unit=unit))
        return texts[unit]

    def other_definitions(self, unit: str, digest: str) -> set[int]:
        """Return the numbers of the unit's texts other than the one with this digest."""
        return {number for (number,) in self._session.rows(_OTHER_DEFINITIONS, unit=unit, digest=digest)}

    def newest_definition(self, unit: str) -> str | None:
        """Return the newest text of the unit that changes were made under, None if there is none."""
        query = select(definition.c.definition).where(definition.c.name == unit)
        return self._session.connection.scalar(query.order_by(definition.c.id.desc()).limit(1))

    def restore_definition(self, unit: str, number: int, digest: str, text: str) -> None:
        """Record a text of a unit under the ``number`` that it had where it was exported."""
        self._session.insert(definition, {"id": number, "name": unit, "digest": digest, "definition": text})
        self._session.cache.unit_texts.pop(unit, None)

    def add(self, rows: Sequence[StoredInstance]) -> None:
        """Add instances, whose documents are stored."""
        if rows:
            self._session.insert_each(_INSERT, rows)

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove the instances with these numbers, as far as they exist."""
        self._session.write_each(_DELETE, [{"number": number} for number in numbers])

    def rows(self, unit: str) -> list[InstanceWithDocument]:
        """Return the rows of all instances of a unit, oldest first."""
        return self._verified(unit, self._session.read(_ALL_SCANNED if self.is_large(unit) else _ALL, unit=unit))

    def rows_with_keys(self, unit: str, keys: Sequence[str]) -> list[InstanceWithDocument]:
        """Return the rows of the instances that have one of ``keys``, in the order of the keys."""
        if len(keys) == 1 or any("\0" in key for key in keys):  # json_each ends a text at U+0000
            rows = [row for key in dict.fromkeys(keys) for row in self._session.read(_BY_KEY, unit=unit, key=key)]
        else:
            array = json.dumps(list(dict.fromkeys(keys)), ensure_ascii=False)
            rows = self._session.read(_BY_KEYS, unit=unit, keys=array)
        return self._verified(unit, rows)

    def rows_within(self, unit: str, after: int, last: int, *, scanned: bool) -> list[InstanceWithDocument]:
        """Return the rows with a number above ``after``, up to ``last``; ``scanned`` if the unit `is_large`."""
        query = _RANGE_SCANNED if scanned else _RANGE
        return self._verified(unit, self._session.read(query, unit=unit, after=after, last=last))

    def rows_after(self, unit: str, after: int, limit: int) -> tuple[list[InstanceWithDocument], int]:
        """Return rows with a number above ``after``, and the last number read, `MAX_ROWID` if there are no more.

        Of a large unit they are ``limit`` rows at most, of another one all: sorting them for each part would cost more.
        """
        large = self.is_large(unit)
        rows = self._session.read(self._range(unit), unit=unit, after=after, limit=limit if large else -1)
        return self._verified(unit, rows), rows[-1].id if large and len(rows) == limit else MAX_ROWID

    def page(self, unit: str, after: int, limit: int, max_chars: int) -> tuple[list[InstanceWithDocument], bool]:
        """Return rows with a number above ``after``, and whether the page is full, so that more may follow.

        The page is full with ``limit`` rows, or when its documents have ``max_chars`` characters together.
        """
        rows: list[InstanceWithDocument] = []
        size = 0
        for row in self._session.iterate(self._range(unit), unit=unit, after=after, limit=limit):
            rows.append(row)
            size += len(row.given) + len(row.completed)
            if size >= max_chars:
                break
        return self._verified(unit, rows), size >= max_chars or len(rows) == limit

    def is_large(self, unit: str) -> bool:
        """Return whether a unit has such a part of all instances that they are best scanned: `SCAN_FRACTION`."""
        limit = self._session.counters.instance // SCAN_FRACTION
        count = self._session.cache.instance_counts.get(unit)
        if count is None:  # to count them all would cost as much as the scan that is to be avoided
            count = self._session.value(_COUNT_UP_TO, unit=unit, limit=limit + 1)
        return int(count) > limit

    def read_document(self, owner: int, row: StoredDocument, expected: int) -> Document:
        """Return the document in a row, opened for the instance ``owner``, if it fits the ``expected`` checksum."""
        number, number_of_instance, key, given, completed, made_under = row
        plain = f"({number}, {number_of_instance}, '{key}', '{given}', '{completed}', {made_under})"
        if crc32(plain.encode()) != expected:  # see _verified
            check("document", row, expected)
        return self._document(owner, number, key, given, completed, made_under)

    def document_row(self, owner: int, number: int, content: Document) -> StoredDocument:
        """Return the row that stores a document of the instance ``owner``."""
        given, completed = content.clear_given, content.clear_completed
        if content.secret:
            given = self._session.sealer.seal(given, f"{owner}/{number}/given")
            completed = self._session.sealer.seal(completed, f"{owner}/{number}/completed")
        return StoredDocument(number, owner, content.key, given, completed, content.definition)

    def _range(self, unit: str) -> Query[InstanceWithDocument]:
        return _RANGE_SCANNED if self.is_large(unit) else _RANGE

    def _select(self, unit: str, query: Select[Any]) -> list[Instance]:
        result = self._session.connection.execute(query.where(instance.c.unit == unit))
        rows = [InstanceWithDocument(*row) for row in result]
        return [self._instance(unit, row) for row in self._verified(unit, rows)]

    def _verified(self, unit: str, rows: list[InstanceWithDocument]) -> list[InstanceWithDocument]:
        """Return ``rows`` if all of them fit their checksums, else raise `StateDamaged`."""
        for number, key, stored, first, revision, expected, given, completed, made_under, document_checksum in rows:
            # The f-strings write what repr() does of texts that need no escapes, at half its cost. A text that needs
            # them does not fit, and is checked by repr() itself.
            if crc32(f"({number}, '{unit}', '{key}', {stored}, {first}, {revision})".encode()) != expected:
                check("instance", (number, unit, key, stored, first, revision), expected)
            plain = f"({stored}, {number}, '{key}', '{given}', '{completed}', {made_under})"
            if crc32(plain.encode()) != document_checksum:
                check("document", (stored, number, key, given, completed, made_under), document_checksum)
        return rows

    def _instance(self, unit: str, row: InstanceWithDocument) -> Instance:
        number, key, stored, first, revision, _, given, completed, made_under, _ = row
        content = self._document(number, stored, key, given, completed, made_under)
        return Instance(number, unit, content, first, revision)

    def _document(self, owner: int, number: int, key: str, given: str, completed: str, made_under: int) -> Document:
        sealer = self._session.sealer
        given = sealer.open(given, f"{owner}/{number}/given")
        completed = sealer.open(completed, f"{owner}/{number}/completed")
        return Document(key, given, completed, made_under, number)
