"""What the tables of every subject share: the connection, the counters, the disk, and whether anything was written."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Protocol

from sqlalchemy import Connection, Executable, Table

from lmaps.errors import Degraded
from lmaps.store.checksums import checksum, covered, signed
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


class CountersLike(Protocol):
    """The newest numbers given."""

    revision: int
    instance: int
    document: int
    job: int


class Tables:
    """A subject's tables within one transaction."""

    def __init__(
        self, connection: Connection, counters: CountersLike, sealer: Plain, disk: DiskHealth, known: Cache
    ) -> None:
        self.connection = connection
        self._driver: Any = connection.connection.driver_connection
        self.counters = counters
        self.sealer = sealer
        self.disk = disk
        self.wrote = False
        self.known = known
        self.to_audit: list[tuple[Any, ...]] = []

    def rows(self, statement: Prepared, **values: Any) -> list[tuple[Any, ...]]:
        """What a reading statement finds."""
        found: list[tuple[Any, ...]] = self._driver.execute(statement.text, statement.values(values)).fetchall()
        return found

    def each_row(self, statement: Prepared, **values: Any) -> Iterator[tuple[Any, ...]]:
        """The same, one by one: no more is read than is taken."""
        found: Iterator[tuple[Any, ...]] = self._driver.execute(statement.text, statement.values(values))
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
        self._driver.executemany(statement.text, map(statement.values, rows))

    @cached_property
    def at(self) -> str:
        """When it is done: one time for all of a transaction."""
        return times.now()

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
        self._driver.executemany(text, rows)

    def _writing(self) -> None:
        self.wrote = True
        if self.disk.refusal is not None:
            raise self.disk.refusal


@cache
def _signed_insertion(table: Table) -> str:
    return insertion(table, (*covered(table), "checksum"))
