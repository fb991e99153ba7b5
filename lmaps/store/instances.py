"""The tables ``instance`` and ``unit``: what is there now, and the texts of units that it was made under."""

import json
from collections.abc import Sequence
from typing import Any
from zlib import crc32

from sqlalchemy import Select, bindparam, delete, func, literal_column, select

from lmaps.store.checksums import check
from lmaps.store.models import document, instance, unit
from lmaps.store.rows import Document, Instance
from lmaps.store.session import Session
from lmaps.store.statements import Prepared

BATCH = 500
"""Keys that one statement looks up."""
MAX_ROWID = 2**63 - 1
"""Above every number, and every revision."""
SCAN_FRACTION = 8
"""A unit that has this part of all instances, or more, is read in their order: no sorting, and no looking up."""

Row = tuple[Any, ...]

DOCUMENT = ("id", "instance_id", "key", "given", "completed", "definition", "checksum")
"""What is read of a document."""
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
    document.c.checksum.label("signature"),
)
"""What is read of an instance and its document: which unit it is of is known, and both have its number and its key."""
_JOINED = select(*_COLUMNS).join(document, document.c.id == instance.c.document)
_INSTANCES = _JOINED.order_by(instance.c.id)
OF_UNIT = instance.c.unit == bindparam("unit")
"""The instances of one unit."""
BY_ID = literal_column("+instance.unit") == bindparam("unit")
"""The same, and SQLite is not to look for it by the unit."""
_INSTANCE = Prepared(_JOINED.where(OF_UNIT, instance.c.key == bindparam("key")))
_WANTED = func.json_each(bindparam("keys")).table_valued("value")
_KEYED = Prepared(
    select(*_COLUMNS)
    .select_from(_WANTED)
    .join(instance, OF_UNIT & (instance.c.key == _WANTED.c.value))
    .join(document, document.c.id == instance.c.document)
).in_this_order()
_NUMBERS = func.json_each(bindparam("ids")).table_valued("value")
_NUMBERED = Prepared(_JOINED.where(BY_ID, instance.c.id.in_(select(_NUMBERS.c.value))))
_ALL = Prepared(_INSTANCES.where(OF_UNIT))
_ALL_BY_ID = Prepared(_INSTANCES.where(BY_ID))
_COUNT = Prepared(select(func.count()).where(OF_UNIT))
WITHIN = (instance.c.id > bindparam("after"), instance.c.id <= bindparam("last", MAX_ROWID))
"""Those with a number above ``after``, up to ``last``."""
PAGE = Prepared(_INSTANCES.where(OF_UNIT, *WITHIN).limit(bindparam("most", -1)))
PAGE_BY_ID = Prepared(_INSTANCES.where(BY_ID, *WITHIN).limit(bindparam("most", -1)))
_AT_MOST = Prepared(select(func.count()).select_from(select(1).where(OF_UNIT).limit(bindparam("most")).subquery()))
_DELETE = Prepared(delete(instance).where(instance.c.id == bindparam("gone")))
_OTHERS = Prepared(select(unit.c.id).where(unit.c.name == bindparam("name"), unit.c.digest != bindparam("digest")))
_IS_OUTDATED = Prepared(
    select(1)
    .select_from(instance)
    .join(document, document.c.id == instance.c.document)
    .join(unit, unit.c.id == document.c.definition)
    .where(OF_UNIT, unit.c.digest != bindparam("digest"))
    .limit(1)
)
_DEFINITION = Prepared(select(unit.c.id).where(unit.c.name == bindparam("name"), unit.c.digest == bindparam("digest")))


class Instances:
    """Instances of units, their documents, and definitions of units."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self, name: str) -> list[Instance]:
        """All instances of a unit, oldest first."""
        return self._instances(name, _INSTANCES)

    def find(self, name: str, keys: Sequence[str]) -> dict[str, Instance]:
        """Those instances of a unit that have one of ``keys``."""
        return {row[1]: self._instance(name, row) for row in self.rows_with(name, keys)}

    def with_prefix(self, name: str, beginning: str) -> list[Instance]:
        """Those instances of a unit whose key begins so."""
        begun = instance.c.key.between(beginning, f"{beginning}\U0010ffff")
        return self._instances(name, _INSTANCES.where(begun))

    def by_number(self, name: str, ids: Sequence[int]) -> dict[int, Instance]:
        """Those instances of a unit that have one of these numbers."""
        rows = self._session.rows(_NUMBERED, unit=name, ids=json.dumps(list(ids))) if ids else []
        return {row[0]: self._instance(name, row) for row in self.sound(name, rows)}

    def count(self, name: str) -> int:
        """How many instances a unit has."""
        known = self._session.cache.instances.get(name)
        if known is None:
            known = self._session.cache.instances[name] = int(self._session.value(_COUNT, unit=name))
        return known

    def outdated(self, name: str, digest: str, after: int, most: int) -> tuple[list[Instance], int | None]:
        """Of the next ``most`` instances, those completed under another text of the unit than the one with this digest.

        The next ones have numbers above ``after``. With them the number of the last one, None if there are no more.
        """
        others = self.other_definitions(name, digest)
        if not others:
            return [], None
        rows = self._session.rows(PAGE_BY_ID if self.is_large(name) else PAGE, unit=name, after=after, most=most)
        found = self.sound(name, [row for row in rows if row[8] in others])
        return [self._instance(name, row) for row in found], rows[-1][0] if len(rows) == most else None

    def other_definitions(self, name: str, digest: str) -> set[int]:
        """The numbers of the unit's texts, but the one with this digest."""
        return {number for (number,) in self._session.rows(_OTHERS, name=name, digest=digest)}

    def is_outdated(self, name: str, digest: str) -> bool:
        """Whether any instance was completed under another text of the unit than the one with this digest."""
        return self._session.value(_IS_OUTDATED, unit=name, digest=digest) is not None

    def definition(self, name: str, digest: str, text: str) -> int:
        """The number of this text of the unit, kept if it is new."""
        known = self._session.cache.definitions.get((name, digest))
        if known is not None:
            return known
        found = self._session.value(_DEFINITION, name=name, digest=digest)
        if found is None:
            self._session.insert(unit, {"name": name, "digest": digest, "definition": text})
            found = self._session.value(_DEFINITION, name=name, digest=digest)
        self._session.cache.definitions[name, digest] = int(found or 0)
        return int(found or 0)

    def definitions(self, name: str) -> dict[int, str]:
        """Every text of the unit that changes were made under, by its number."""
        rows = self._session.connection.execute(select(unit.c.id, unit.c.definition).where(unit.c.name == name))
        return {row.id: row.definition for row in rows}

    def restore_definition(self, name: str, number: int, digest: str, text: str) -> None:
        """Take over a text of a unit as it is, with its number."""
        self._session.insert(unit, {"id": number, "name": name, "digest": digest, "definition": text})

    def newest_definition(self, name: str) -> str | None:
        """The newest text of the unit that changes were made under."""
        newest = select(unit.c.definition).where(unit.c.name == name).order_by(unit.c.id.desc()).limit(1)
        return self._session.connection.scalar(newest)

    def add(self, rows: Sequence[Instance]) -> None:
        """Add new instances, whose documents are kept."""
        if rows:
            told = [(number, name, one.key, one.id, first, revision) for number, name, one, first, revision in rows]
            self._session.insert_each(instance, told)

    def remove(self, ids: Sequence[int]) -> None:
        """Remove the instances with these numbers, as far as they are there."""
        if ids:
            self._session.write_each(_DELETE, [{"gone": gone} for gone in ids])

    def rows_of(self, name: str) -> list[Row]:
        """The rows of a unit's instances, oldest first."""
        return self.sound(name, self._session.rows(_ALL_BY_ID if self.is_large(name) else _ALL, unit=name))

    def rows_after(self, name: str, after: int, most: int) -> tuple[list[Row], int]:
        """The rows of a unit with a number above ``after``: ``most`` of a unit that has much, all of another one.

        With them the number of the last one, `MAX_ROWID` if there are no more.
        """
        much = self.is_large(name)
        rows = self._session.rows(PAGE_BY_ID if much else PAGE, unit=name, after=after, most=most if much else -1)
        return self.sound(name, rows), rows[-1][0] if much and len(rows) == most else MAX_ROWID

    def rows_within(self, name: str, after: int, last: int, much: bool) -> list[Row]:
        """The rows of a unit that has ``much``, or not: those with a number above ``after``, up to ``last``."""
        return self.sound(name, self._session.rows(PAGE_BY_ID if much else PAGE, unit=name, after=after, last=last))

    def is_large(self, name: str) -> bool:
        """Whether a unit has so much of all instances that they are best read in their order."""
        much = self._session.counters.instance // SCAN_FRACTION
        known = self._session.cache.instances.get(name)
        return (self._session.value(_AT_MOST, unit=name, most=much + 1) if known is None else known) > much

    def rows_with(self, name: str, keys: Sequence[str]) -> list[Row]:
        """The rows of those instances of a unit that have one of ``keys``, in the order of these."""
        if len(keys) == 1 or any("\0" in key for key in keys):  # SQLite's JSON ends a text there
            rows = [row for key in dict.fromkeys(keys) for row in self._session.rows(_INSTANCE, unit=name, key=key)]
        else:
            told = json.dumps(list(dict.fromkeys(keys)), ensure_ascii=False)
            rows = self._session.rows(_KEYED, unit=name, keys=told)
        return self.sound(name, rows)

    def _instances(self, name: str, wanted: Select[Any]) -> list[Instance]:
        found: list[Any] = list(self._session.connection.execute(wanted.where(instance.c.unit == name)))
        return [self._instance(name, row) for row in self.sound(name, found)]

    def sound(self, name: str, rows: list[Row]) -> list[Row]:
        """``rows``, if all fit their checksums. Of texts without escapes Python's repr is made at half the cost."""
        for number, key, kept, first, revision, expected, given, completed, made_under, signature in rows:
            if crc32(f"({number}, '{name}', '{key}', {kept}, {first}, {revision})".encode()) != expected:
                check("instance", (number, name, key, kept, first, revision), expected)
            if crc32(f"({kept}, {number}, '{key}', '{given}', '{completed}', {made_under})".encode()) != signature:
                check("document", (kept, number, key, given, completed, made_under), signature)
        return rows

    def _instance(self, name: str, row: Row) -> Instance:
        number, key, kept, first, revision, _, given, completed, made_under, _ = row
        return Instance(number, name, self._document(number, kept, key, given, completed, made_under), first, revision)

    def read_document(self, of: int, number: int, instance: int, *told: Any) -> Document:
        """A document of the instance ``of``, as it was given to be kept; ``told`` are the other columns."""
        key, given, completed, made_under, expected = told
        if crc32(f"({number}, {instance}, '{key}', '{given}', '{completed}', {made_under})".encode()) != expected:
            check("document", (number, instance, key, given, completed, made_under), expected)
        return self._document(of, number, key, given, completed, made_under)

    def _document(self, of: int, number: int, key: str, given: str, completed: str, made_under: int) -> Document:
        place = f"{of}/{number}"
        return Document(
            key,
            self._session.sealer.open(given, f"{place}/given"),
            self._session.sealer.open(completed, f"{place}/completed"),
            made_under,
            number,
        )

    def document_row(self, instance: int, one: Document) -> tuple[Any, ...]:
        """A document as it is kept."""
        given, completed = one.given, one.completed
        if one.secret:
            given = self._session.sealer.seal(given, f"{instance}/{one.id}/given")
            completed = self._session.sealer.seal(completed, f"{instance}/{one.id}/completed")
        return one.id, instance, one.key, given, completed, one.definition
