"""Which instances of a unit have which value at a path: found without reading the unit.

What is known of a path lies in the connection's memory, beside the database: it is made part by part, at the latest
when it is needed, follows the changesets, and is undone with its transaction as everything else. Of a value it has a
digest under a key of this process: no secret lies there.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from lmaps.errors import StateDamaged
from lmaps.model.diff import MISSING, Path, look_up, pointer
from lmaps.store.history import History
from lmaps.store.instances import MAX_ROWID, Instances
from lmaps.store.models import changeset, known_path, known_value
from lmaps.store.rows import Instance
from lmaps.store.session import Session
from lmaps.store.statements import Prepared, insertion
from lmaps.util.jsonio import canonical

PART = 10_000
"""Instances that are read at once."""

_read = json.JSONDecoder().raw_decode
"""Half of what `json.loads` takes is to look for white space around a document."""
_ROW = ("path", "digest", "instance")
_IS_PATH = known_path.c.id == bindparam("number")
_KNOWN = Prepared(
    select(known_path.c.id, known_path.c.revision, known_path.c.until).where(
        known_path.c.unit == bindparam("unit"), known_path.c.pointer == bindparam("pointer")
    )
)
_BEGIN = Prepared(
    insert(known_path).values(
        unit=bindparam("unit"), pointer=bindparam("pointer"), revision=bindparam("revision"), until=0
    )
)
_END = Prepared(update(known_path).where(_IS_PATH).values(revision=bindparam("newest"), until=bindparam("last")))
_FORGET = Prepared(delete(known_path).where(_IS_PATH))
_FORGET_VALUES = Prepared(delete(known_value).where(known_value.c.path == bindparam("number")))
_ADD = insertion(known_value, _ROW)
_REMOVE = Prepared(delete(known_value).where(*(known_value.c[name] == bindparam(name) for name in _ROW)))
_HAVE = Prepared(
    select(known_value.c.instance).where(
        known_value.c.path == bindparam("path"), known_value.c.digest == bindparam("digest")
    )
)
_SINCE = Prepared(
    select(changeset.c.revision)
    .where(changeset.c.unit == bindparam("unit"), changeset.c.revision > bindparam("seen"))
    .order_by(changeset.c.revision)
)


class UniqueIndex:
    """Instances by their values."""

    __slots__ = ("_history", "_instances", "_session")

    def __init__(self, session: Session, instances: Instances, history: History) -> None:
        self._session = session
        self._instances = instances
        self._history = history

    def find(self, unit: str, path: Path, values: Sequence[Any]) -> list[Instance]:
        """Those instances of a unit whose completed document has one of ``values`` at ``path``; rarely others too."""
        if not values:
            return []
        while not self.extend(unit, path):
            pass
        number, *_ = self._begun(unit, path)
        digests = {_digest(value) for value in values}
        found = {row[0] for digest in digests for row in self._session.rows(_HAVE, path=number, digest=digest)}
        return list(self._instances.by_number(unit, sorted(found)).values())

    def extend(self, unit: str, path: Path) -> bool:
        """Know the values at ``path`` as they are now, of a large unit those of a part more; whether that is all."""
        self.follow(unit, path)
        number, until = self._begun(unit, path)
        if until == MAX_ROWID:
            return True
        last = self._read_on(unit, path, number, until)
        self._session.write_each(
            _END, [{"number": number, "newest": self._history.newest_revision(unit) or 0, "last": last}]
        )
        return last == MAX_ROWID

    def follow(self, unit: str, path: Path) -> None:
        """Of the instances whose values at ``path`` are known, know them as they are now.

        What is known is of no use once changesets since were dropped: it is forgotten.
        """
        newest = self._history.newest_revision(unit) or 0
        for number, seen, until in self._session.rows(_KNOWN, unit=unit, pointer=pointer(path)):
            if seen == newest:
                continue
            if seen >= self._history.horizon(unit):
                self._follow(unit, path, number, seen, until)
                self._session.write_each(_END, [{"number": number, "newest": newest, "last": until}])
                continue
            for statement in (_FORGET, _FORGET_VALUES):
                self._session.write_each(statement, [{"number": number}])

    def _begun(self, unit: str, path: Path) -> tuple[int, int]:
        """The number of a path, and of the instances up to which number its values are known."""
        told = pointer(path)
        known = self._session.rows(_KNOWN, unit=unit, pointer=told)
        if not known:
            self._session.write_each(
                _BEGIN, [{"unit": unit, "pointer": told, "revision": self._history.newest_revision(unit) or 0}]
            )
            known = self._session.rows(_KNOWN, unit=unit, pointer=told)
        [(number, _, until)] = known
        return number, until

    def _read_on(self, unit: str, path: Path, number: int, until: int) -> int:
        """Read a part of a unit that has much of all instances, all of another one; the number of the last one read."""
        rows, last = self._instances.rows_after(unit, until, PART)
        texts = ((row[0], self._session.sealer.open(row[7], f"{row[0]}/{row[2]}/completed")) for row in rows)
        self._session.write_rows(_ADD, _rows(number, path, texts))
        return last

    def _follow(self, unit: str, path: Path, number: int, seen: int, until: int) -> None:
        """Read what was changed since the revision that was ``seen``, of instances whose values are known."""
        for (revision,) in self._session.rows(_SINCE, unit=unit, seen=seen):
            changes = [each for each in self._history.changes(revision) if each.instance_id <= until]
            gone = ((each.instance_id, each.before.completed) for each in changes if each.before)
            come = ((each.instance_id, each.after.completed) for each in changes if each.after)
            removed = (dict(zip(_ROW, row, strict=True)) for row in _rows(number, path, gone))
            self._session.write_each(_REMOVE, removed)
            self._session.write_rows(_ADD, _rows(number, path, come))


def _rows(number: int, path: Path, documents: Iterable[tuple[int, str]]) -> Iterator[tuple[int, int, int]]:
    """What is known of those completed documents of instances that have a value."""
    for of, text in documents:
        try:
            value = look_up(_read(text)[0], path)
        except ValueError as error:
            raise StateDamaged(f"cannot rely on the database: a document of the instance {of} is damaged") from error
        if value is not MISSING and value is not None:
            yield number, _digest(value), of


def _digest(value: Any) -> int:
    return hash(canonical(value))
