"""What the tables of every subject share: the connection, the counters, the disk, and whether anything was written."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self

from sqlalchemy import Column, Connection, Executable, Table, func, select

from lmaps.errors import Degraded, StateDamaged
from lmaps.store import models
from lmaps.store.checksums import checksum, covered, signed
from lmaps.store.dialects.sqlite import given_numbers
from lmaps.store.encryption import Plain
from lmaps.store.rows import Changeset, Job
from lmaps.store.statements import Prepared, insertion
from lmaps.util import times


@dataclass(slots=True)
class DiskHealth:
    """How the disk does: why nothing can be written, if so, and how many seconds the last commit took."""

    refusal: Degraded | None = None
    commit_seconds: float = 0.0


@dataclass(slots=True)
class Cache:
    """What every change of the units needs, or every look at them, kept in memory: one process alone changes it.

    ``heads`` are newest changesets by unit, ``definitions`` the numbers of units' texts by name and digest, ``counted``
    how many changesets a unit has after one revision, until another, ``instances`` how many instances it has, ``lines``
    are units' lines, oldest first, as far as they were asked for. ``newest`` is the newest changeset of all, ``queued``
    the jobs to be run next; ``applied``, ``last``, ``pending`` and ``unconfirmed`` are what is told of a unit's jobs
    under these names.
    ``sums`` are those of blocks of instances that were found to fit their checksums, by unit and where the block ends:
    not forgotten, they fit that and nothing else.
    """

    newest: Changeset | None = None
    queued: Sequence[Job] | None = None
    heads: dict[str, Changeset] = field(default_factory=dict)
    definitions: dict[tuple[str, str], int] = field(default_factory=dict)
    counted: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    instances: dict[str, int] = field(default_factory=dict)
    lines: "dict[str, array[int]]" = field(default_factory=dict)
    applied: dict[str, int | None] = field(default_factory=dict)
    last: dict[str, Job | None] = field(default_factory=dict)
    pending: dict[str, int] = field(default_factory=dict)
    unconfirmed: dict[str, Sequence[Job]] = field(default_factory=dict)
    sums: dict[tuple[str, int], tuple[float, ...]] = field(default_factory=dict)

    def forget(self, revision: int) -> None:
        """What was written is taken back: all changesets after this revision."""
        for line in self.lines.values():
            del line[bisect_right(line, revision) :]
        self.newest = self.queued = None
        of_units: tuple[dict[Any, Any], ...] = (self.heads, self.definitions, self.counted, self.instances)
        for kept in (*of_units, *self._of_jobs):
            kept.clear()

    def forget_jobs(self, unit: str) -> None:
        """A job of a unit was written."""
        self.queued = None
        for told in self._of_jobs:
            told.pop(unit, None)

    @property
    def _of_jobs(self) -> tuple[dict[str, Any], ...]:
        """What follows from a unit's jobs."""
        return self.applied, self.last, self.pending, self.unconfirmed


@dataclass(slots=True)
class Counters:
    """The newest numbers given: kept in memory, since one process alone gives them."""

    revision: int
    instance: int
    document: int
    job: int

    @classmethod
    def read(cls, connection: Connection) -> Self:
        """As the database has them; a number that was given once is not given again, whatever was dropped since."""
        given = given_numbers(connection)
        found = [_newest(connection, column) for column in (models.change.c.instance_id, models.instance.c.id)]
        return cls(
            given.get("changeset", 0), max(found), _newest(connection, models.document.c.id), given.get("job", 0)
        )

    def check(self, connection: Connection) -> None:
        """`StateDamaged` if these are not the numbers of what is there."""
        revision, job = _newest(connection, models.changeset.c.revision), _newest(connection, models.job.c.id)
        if self.job < job or (revision and self.revision != revision):
            raise StateDamaged(
                f"cannot rely on the database: it ends with r{revision} and job {job}, "
                f"r{self.revision} and {self.job} were given"
            )

    def restore(self, before: "Counters") -> None:
        """Give the numbers after ``before`` once more."""
        for name in self.__slots__:
            setattr(self, name, getattr(before, name))

    def copy(self) -> "Counters":
        """The numbers as they are now, to return to."""
        return Counters(self.revision, self.instance, self.document, self.job)


def _newest(connection: Connection, column: Column[int]) -> int:
    return connection.scalar(select(func.max(column))) or 0


class Session:
    """One transaction's connection, and what its tables share."""

    __slots__ = ("_at", "cache", "connection", "counters", "disk", "driver", "sealer", "wrote")

    def __init__(
        self, connection: Connection, counters: Counters, sealer: Plain, disk: DiskHealth, cache: Cache
    ) -> None:
        self.connection = connection
        self.driver: Any = connection.connection.driver_connection
        self.counters = counters
        self.sealer = sealer
        self.disk = disk
        self.wrote = False
        self.cache = cache
        self._at: str | None = None

    def rows(self, statement: Prepared, **values: Any) -> list[tuple[Any, ...]]:
        """What a reading statement finds."""
        found: list[tuple[Any, ...]] = self.driver.execute(statement.text, statement.values(values)).fetchall()
        return found

    def each_row(self, statement: Prepared, **values: Any) -> Iterator[tuple[Any, ...]]:
        """The same, one by one: no more is read than is taken."""
        found: Iterator[tuple[Any, ...]] = self.driver.execute(statement.text, statement.values(values))
        return found

    def value(self, statement: Prepared, **values: Any) -> Any:
        """The first column of the first row that a reading statement finds, None if there is none."""
        found = self.rows(statement, **values)
        return found[0][0] if found else None

    def write(self, statement: Executable) -> None:
        """Run a writing statement; `Degraded` if nothing can be written."""
        self._writing()
        self.connection.execute(statement)

    def write_each(self, statement: Prepared, rows: Iterable[dict[str, Any]]) -> None:
        """Run a writing statement for each of ``rows``; `Degraded` if nothing can be written."""
        self._writing()
        self.driver.executemany(statement.text, map(statement.values, rows))

    @property
    def at(self) -> str:
        """The time of everything that the transaction writes."""
        if self._at is None:
            self._at = times.now()
        return self._at

    def insert(self, table: Table, row: Mapping[str, Any]) -> None:
        """Write a new row of ``table``, with its checksum."""
        names = covered(table)
        extra = [name for name in row if name not in names]
        written = (*(row[name] for name in extra), *signed(table, row))
        self.write_rows(insertion(table, (*extra, *names, "checksum")), [written])

    def insert_each(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write new rows of ``table``, each the values of its `covered` columns in their order; checksums are added."""
        self.write_rows(_signed_insertion(table), [(*row, checksum(row)) for row in rows])

    def write_rows(self, text: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Run the `insertion` of this ``text`` for each of ``rows``; `Degraded` if nothing can be written."""
        self._writing()
        self.driver.executemany(text, rows)

    def _writing(self) -> None:
        self.wrote = True
        if self.disk.refusal is not None:
            raise self.disk.refusal


@cache
def _signed_insertion(table: Table) -> str:
    return insertion(table, (*covered(table), "checksum"))
