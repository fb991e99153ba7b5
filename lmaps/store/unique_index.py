"""Which instances of a unit have which value at a path, found without reading the unit: for `unique` in units.

The index lies in the connection's memory, beside the database. It is built part by part, at the latest when it is
needed, follows the changesets, and is rolled back with its transaction like everything else. Of a value it has a hash
under a key of this process: no secret lies there.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from lmaps.errors import StateDamaged
from lmaps.model.diff import MISSING, Path, look_up, pointer
from lmaps.store.history import History
from lmaps.store.instances import MAX_ROWID, Instances
from lmaps.store.models import changeset, indexed_path, indexed_value
from lmaps.store.rows import Instance
from lmaps.store.session import Session
from lmaps.store.statements import Prepared, insertion
from lmaps.util.jsonio import canonical

PART_SIZE = 10_000
"""Instances that one call of `UniqueIndex.extend` reads of a large unit: the manager answers nobody meanwhile."""


class IndexedValue(NamedTuple):
    """A row of the index: the instance has a value with this hash at the path."""

    path: int
    digest: int
    instance: int


_decode = json.JSONDecoder().raw_decode
"""`json.loads` takes twice as long: it looks for white space around a document."""
_IS_PATH = indexed_path.c.id == bindparam("number")
_PATH = Prepared(
    select(indexed_path.c.id, indexed_path.c.revision, indexed_path.c.until).where(
        indexed_path.c.unit == bindparam("unit"), indexed_path.c.pointer == bindparam("pointer")
    )
)
_ADD_PATH = Prepared(
    insert(indexed_path).values(
        unit=bindparam("unit"), pointer=bindparam("pointer"), revision=bindparam("revision"), until=0
    )
)
_SET_PROGRESS = Prepared(
    update(indexed_path).where(_IS_PATH).values(revision=bindparam("newest"), until=bindparam("last"))
)
_DELETE_PATH = Prepared(delete(indexed_path).where(_IS_PATH))
_DELETE_VALUES = Prepared(delete(indexed_value).where(indexed_value.c.path == bindparam("number")))
_ADD_VALUE = insertion(indexed_value, IndexedValue._fields)
_DELETE_VALUE = Prepared(
    delete(indexed_value).where(*(indexed_value.c[name] == bindparam(name) for name in IndexedValue._fields))
)
_WITH_VALUE = Prepared(
    select(indexed_value.c.instance).where(
        indexed_value.c.path == bindparam("path"), indexed_value.c.digest == bindparam("digest")
    )
)
_CHANGESETS_SINCE = Prepared(
    select(changeset.c.revision)
    .where(changeset.c.unit == bindparam("unit"), changeset.c.revision > bindparam("indexed"))
    .order_by(changeset.c.revision)
)


class UniqueIndex:
    """Instances by their values at a path."""

    __slots__ = ("_history", "_instances", "_session")

    def __init__(self, session: Session, instances: Instances, history: History) -> None:
        self._session = session
        self._instances = instances
        self._history = history

    def find(self, unit: str, path: Path, values: Sequence[object]) -> list[Instance]:
        """Return the instances of a unit whose completed document has one of ``values`` at ``path``.

        Rarely others are among them, whose values have the same hash: compare.
        """
        if not values:
            return []
        while not self.extend(unit, path):
            pass
        number, _ = self._progress(unit, path)
        digests = {_digest(value) for value in values}
        numbers = {
            instance
            for digest in digests
            for (instance,) in self._session.rows(_WITH_VALUE, path=number, digest=digest)
        }
        return list(self._instances.by_number(unit, sorted(numbers)).values())

    def extend(self, unit: str, path: Path) -> bool:
        """Bring the index up to date, and read a part more of a large unit; return whether that is all of it."""
        self.follow(unit, path)
        number, until = self._progress(unit, path)
        if until == MAX_ROWID:
            return True
        last = self._read_part(unit, path, number, until)
        self._set_progress(number, self._history.newest_revision(unit) or 0, last)
        return last == MAX_ROWID

    def follow(self, unit: str, path: Path) -> None:
        """Bring the index up to date, as far as it has been built.

        If changesets that it has to follow were dropped meanwhile, it is deleted, to be built anew.
        """
        newest = self._history.newest_revision(unit) or 0
        for number, indexed, until in self._session.rows(_PATH, unit=unit, pointer=pointer(path)):
            if indexed == newest:
                continue
            if indexed >= self._history.horizon(unit):
                self._apply_changes(unit, path, number, indexed, until)
                self._set_progress(number, newest, until)
                continue
            for statement in (_DELETE_PATH, _DELETE_VALUES):
                self._session.write_each(statement, [{"number": number}])

    def _progress(self, unit: str, path: Path) -> tuple[int, int]:
        """Return the number of a path in the index, and that of the instance up to which the index is built."""
        key = {"unit": unit, "pointer": pointer(path)}
        rows = self._session.rows(_PATH, **key)
        if not rows:
            self._session.write_each(_ADD_PATH, [key | {"revision": self._history.newest_revision(unit) or 0}])
            rows = self._session.rows(_PATH, **key)
        [(number, _, until)] = rows
        return number, until

    def _set_progress(self, number: int, newest: int, last: int) -> None:
        self._session.write_each(_SET_PROGRESS, [{"number": number, "newest": newest, "last": last}])

    def _read_part(self, unit: str, path: Path, number: int, until: int) -> int:
        """Index the next instances, all that are left of a unit that is not large; return the last one's number."""
        rows, last = self._instances.rows_after(unit, until, PART_SIZE)
        sealer = self._session.sealer
        texts = ((row.id, sealer.open(row.completed, f"{row.id}/{row.document}/completed")) for row in rows)
        self._session.write_rows(_ADD_VALUE, _indexed_values(number, path, texts))
        return last

    def _apply_changes(self, unit: str, path: Path, number: int, indexed: int, until: int) -> None:
        """Index what was changed after the revision ``indexed``, of instances up to the number ``until``."""
        for (revision,) in self._session.rows(_CHANGESETS_SINCE, unit=unit, indexed=indexed):
            changes = [change for change in self._history.changes(revision) if change.instance_id <= until]
            before = ((change.instance_id, change.before.clear_completed) for change in changes if change.before)
            after = ((change.instance_id, change.after.clear_completed) for change in changes if change.after)
            removed = (row._asdict() for row in _indexed_values(number, path, before))
            self._session.write_each(_DELETE_VALUE, removed)
            self._session.write_rows(_ADD_VALUE, _indexed_values(number, path, after))


def _indexed_values(number: int, path: Path, documents: Iterable[tuple[int, str]]) -> Iterator[IndexedValue]:
    """Yield a row for each of the completed documents, given with the instance's number, that has a value."""
    for instance, text in documents:
        try:
            value = look_up(_decode(text)[0], path)
        except ValueError as error:
            raise StateDamaged(
                f"cannot rely on the database: a document of the instance {instance} is damaged"
            ) from error
        if value is not MISSING and value is not None:
            yield IndexedValue(number, _digest(value), instance)


def _digest(value: object) -> int:
    return hash(canonical(value))  # Python's hash of a text has a random key in each process
