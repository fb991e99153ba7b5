"""`Transaction`: what is read and written within one commit."""

from dataclasses import dataclass, replace
from typing import Self

from sqlalchemy import Connection, func, select

from lmaps.store import models
from lmaps.store.jobs import JobTables
from lmaps.store.requests import RequestTables


@dataclass(slots=True)
class Counters:
    """The newest numbers given: kept in memory, since one process alone gives them."""

    revision: int
    instance: int
    job: int

    @classmethod
    def read(cls, connection: Connection) -> Self:
        """As the database has them."""
        newest = select(
            select(func.coalesce(func.max(models.changeset.c.revision), 0)).scalar_subquery(),
            select(func.coalesce(func.max(models.change.c.instance_id), 0)).scalar_subquery(),
            select(func.coalesce(func.max(models.job.c.id), 0)).scalar_subquery(),
        )
        return cls(*connection.execute(newest).one())

    def copy(self) -> Self:
        """The numbers as they are now, to return to."""
        return replace(self)


class Transaction(JobTables, RequestTables):
    """The tables, by subject. ``wrote`` tells whether anything was written since it was last set to False."""

    def revision(self) -> int:
        """The newest revision of all units, 0 before the first."""
        return self.counters.revision
