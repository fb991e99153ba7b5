"""`Session`: the connection of transactions, and what its tables share: counters, cache, disk, sealer, time."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from sqlalchemy import Column, Connection, Executable, Table, func, select

from lmaps.errors import Degraded, StateDamaged
from lmaps.store import models
from lmaps.store.checksums import checksum, covered, signed
from lmaps.store.dialects.sqlite import highest_numbers
from lmaps.store.encryption import Sealer
from lmaps.store.rows import Changeset, Job
from lmaps.store.statements import Insertion, Prepared, Query, Row, insertion
from lmaps.util import times


@dataclass(slots=True)
class DiskHealth:
    """Whether the disk can be written to.

    ``refusal`` is the error that every write raises while it cannot, ``commit_seconds`` how long the last commit took.
    """

    refusal: Degraded | None = None
    commit_seconds: float = 0.0


@dataclass(slots=True)
class Cache:
    """Rows and counts that most requests need, kept in memory. That is safe: only the manager writes the database.

    newest             the newest changeset of all units
    queued             the jobs that wait to be run, the next one first
    heads              the newest changeset of each unit
    definitions        numbers of unit texts, by unit and digest
    unit_texts         every text of a unit, by unit and number
    changeset_counts   by unit: a revision, the newest revision counted, and how many changesets lie between them
    instance_counts    how many instances each unit has
    lines              the revisions on each unit's line, oldest first; what is missing is read when it is asked for
    applied            the revision that each unit's handler last ran with successfully
    last_apply         the newest apply of each unit that has begun
    pending            how many changesets of each unit its handler has not run with
    unconfirmed        the jobs of each unit that wait for confirmation or are being undone
    older_requests     whether there was a request under a key of an older lMaPS when one was first looked for
    content_key        the random key of the database, once it was read
    block_sums         checksums over blocks of instances whose rows were checked, by unit and last number of the block
    """

    newest: Changeset | None = None
    queued: list[Job] | None = None
    heads: dict[str, Changeset] = field(default_factory=dict)
    definitions: dict[tuple[str, str], int] = field(default_factory=dict)
    unit_texts: dict[str, dict[int, str]] = field(default_factory=dict)
    changeset_counts: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    instance_counts: dict[str, int] = field(default_factory=dict)
    lines: "dict[str, array[int]]" = field(default_factory=dict)
    applied: dict[str, int | None] = field(default_factory=dict)
    last_apply: dict[str, Job | None] = field(default_factory=dict)
    pending: dict[str, int] = field(default_factory=dict)
    unconfirmed: dict[str, list[Job]] = field(default_factory=dict)
    older_requests: bool | None = None
    content_key: bytes | None = None
    block_sums: dict[tuple[str, int], tuple[float, ...]] = field(default_factory=dict)

    def forget(self, revision: int) -> None:
        """Forget what came from changesets after ``revision``, which were rolled back."""
        for line in self.lines.values():
            del line[bisect_right(line, revision) :]
        self.newest = self.queued = None
        # block_sums stay: other rows come to other sums, so that a sum can be out of date, but never wrong
        by_unit: tuple[dict[Any, Any], ...] = (
            self.heads,
            self.definitions,
            self.unit_texts,
            self.changeset_counts,
            self.instance_counts,
            *self._by_jobs,
        )
        for values in by_unit:
            values.clear()

    def forget_jobs(self, unit: str) -> None:
        """Forget what depends on the jobs of ``unit``: one of them was written."""
        self.queued = None
        for values in self._by_jobs:
            values.pop(unit, None)

    @property
    def _by_jobs(self) -> tuple[dict[str, Any], ...]:
        return self.applied, self.last_apply, self.pending, self.unconfirmed


@dataclass(slots=True)
class Counters:
    """The highest numbers given so far. They are kept in memory: only the manager gives numbers."""

    revision: int
    instance: int
    document: int
    job: int

    @classmethod
    def read(cls, connection: Connection) -> Self:
        """Return the counters of a database. Numbers of rows that were deleted since are not given again."""
        highest = highest_numbers(connection)
        # an instance that is gone lives on in the changes, one whose changes were dropped in its own table
        instances = [_highest(connection, column) for column in (models.change.c.instance_id, models.instance.c.id)]
        return cls(
            highest.get("changeset", 0),
            max(instances),
            _highest(connection, models.document.c.id),
            highest.get("job", 0),
        )

    def check(self, connection: Connection) -> None:
        """Raise `StateDamaged` if the newest changeset or job of the database is not the newest that was given."""
        revision, job = _highest(connection, models.changeset.c.revision), _highest(connection, models.job.c.id)
        if self.job < job or (revision and self.revision != revision):
            raise StateDamaged(
                f"cannot rely on the database: it ends with r{revision} and job {job}, "
                f"r{self.revision} and {self.job} were given"
            )

    def restore(self, before: "Counters") -> None:
        """Return to the counters as they were ``before``: the numbers after them are given again."""
        for name in self.__slots__:
            setattr(self, name, getattr(before, name))

    def copy(self) -> "Counters":
        """Return the counters as they are now, for `restore`."""
        return Counters(self.revision, self.instance, self.document, self.job)


def _highest(connection: Connection, column: Column[int]) -> int:
    return connection.scalar(select(func.max(column))) or 0


class Session:
    """The connection that transactions run on one after another, and what their tables share.

    Prepared statements run on the ``driver`` itself. ``wrote`` is whether anything was written since it was last set
    to False; the ``audit_entries``, which are written with the commit, do not count.
    """

    def __init__(
        self, connection: Connection, counters: Counters, sealer: Sealer, disk: DiskHealth, cache: Cache
    ) -> None:
        self.connection = connection
        self.driver: Any = connection.connection.driver_connection
        self.counters = counters
        self.sealer = sealer
        self.disk = disk
        self.cache = cache
        self.begin()

    def begin(self) -> None:
        """Begin a transaction, and leave nothing of the one before, however that has ended."""
        self.wrote = False
        self.audit_entries: list[tuple[Any, ...]] = []
        vars(self).pop("at", None)

    @cached_property
    def at(self) -> str:
        """The time of all that the transaction writes."""
        return times.now()

    def read(self, query: Query[Row], **values: Any) -> list[Row]:
        """Return the rows that a query finds, as its named tuples."""
        # Not row_type(*row): the constructor of a named tuple is a Python function, and takes several times as long.
        make, row_type = tuple.__new__, query.row
        return [make(row_type, row) for row in self.driver.execute(query.text, query.defaults | values)]

    def iterate(self, query: Query[Row], **values: Any) -> Iterator[Row]:
        """Yield the rows that a query finds: SQLite reads no more of them than are taken."""
        make, row_type = tuple.__new__, query.row
        for row in self.driver.execute(query.text, query.defaults | values):
            yield make(row_type, row)

    def rows(self, statement: Prepared, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows that a reading statement finds."""
        rows: list[tuple[Any, ...]] = self.driver.execute(statement.text, statement.defaults | values).fetchall()
        return rows

    def value(self, statement: Prepared, **values: object) -> Any:
        """Return the first column of the first row that a reading statement finds, None if there is none."""
        row = self.driver.execute(statement.text, statement.defaults | values).fetchone()
        return row[0] if row else None

    def write(self, statement: Executable) -> None:
        """Run a writing statement; `Degraded` if nothing can be written."""
        self._expect_writable()
        self.connection.execute(statement)

    def write_each(self, statement: Prepared, rows: Iterable[dict[str, Any]]) -> None:
        """Run a writing statement with the values of each of ``rows``; `Degraded` if nothing can be written."""
        self._expect_writable()
        self.driver.executemany(statement.text, (statement.defaults | row for row in rows))

    def insert(self, table: Table, row: Mapping[str, object]) -> None:
        """Insert a row given by column, with its checksum; `Degraded` if nothing can be written."""
        columns = covered(table)
        uncovered = [name for name in row if name not in columns]
        values = (*(row[name] for name in uncovered), *signed(table, row))
        self.write_rows(insertion(table, (*uncovered, *columns, "checksum")), [values])

    def insert_each(self, insertion: Insertion, rows: Iterable[tuple[object, ...]]) -> None:
        """Insert rows of the insertion's type, with their checksums; `Degraded` if nothing can be written."""
        self.wrote = True  # as in `_expect_writable`, which a create would call five times
        if self.disk.refusal is not None:
            raise self.disk.refusal
        # Not (*row, checksum): a named tuple is unpacked item by item, a sum of tuples is copied at once.
        self.driver.executemany(insertion.text, [row + (checksum(row),) for row in rows])  # noqa: RUF005

    def write_rows(self, text: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Run the INSERT ``text`` with the values of each of ``rows``; `Degraded` if nothing can be written."""
        self._expect_writable()
        self.driver.executemany(text, rows)

    def _expect_writable(self) -> None:
        self.wrote = True  # first: a request whose write is refused must not be answered as one that only read
        if self.disk.refusal is not None:
            raise self.disk.refusal
