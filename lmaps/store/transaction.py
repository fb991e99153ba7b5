"""`Transaction`: what is read and written within one commit."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from sqlalchemy import Column, Connection, func, select

from lmaps.errors import StateDamaged
from lmaps.store import models
from lmaps.store.audit import AuditTables
from lmaps.store.dialects.sqlite import given_numbers
from lmaps.store.jobs import JobTables
from lmaps.store.requests import RequestTables
from lmaps.store.unique_index import ValueTables


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


class Transaction(JobTables, ValueTables, RequestTables, AuditTables):
    """The tables, by subject. ``wrote`` tells whether anything was written since it was last set to False."""

    counters: Counters

    @contextlib.contextmanager
    def discarded(self) -> Iterator[None]:
        """Whatever is written within the block is taken back at its end, numbers too."""
        wrote, before = self.wrote, self.counters.copy()
        savepoint = self.connection.begin_nested()
        try:
            yield
        finally:
            savepoint.rollback()
            self.known.forget(before.revision)
            self.wrote = wrote
            self.counters.restore(before)

    def revision(self) -> int:
        """The newest revision of all units, 0 before the first."""
        return self.counters.revision
