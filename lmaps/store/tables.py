"""What the tables of every subject share: the connection, the counters, the disk, and whether anything was written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, Executable, Table, insert

from lmaps.errors import Degraded
from lmaps.store.checksums import with_checksum
from lmaps.store.sealing import Plain


@dataclass(slots=True)
class Disk:
    """How the disk does: why nothing can be written, if so, and how many seconds the last commit took."""

    refusal: Degraded | None = None
    commit_seconds: float = 0.0


class CountersLike(Protocol):
    """The newest numbers given."""

    revision: int
    instance: int
    document: int
    job: int


class Tables:
    """A subject's tables within one transaction."""

    def __init__(self, connection: Connection, counters: CountersLike, sealer: Plain, disk: Disk) -> None:
        self.connection = connection
        self.counters = counters
        self.sealer = sealer
        self.disk = disk
        self.wrote = False
        self.known_definitions: dict[tuple[str, str], int] = {}
        self.to_audit: list[dict[str, Any]] = []

    def write(self, statement: Executable, rows: Sequence[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """Run a writing statement, once or for each of ``rows``; `Degraded` if nothing can be written."""
        self.wrote = True
        if self.disk.refusal is not None:
            raise self.disk.refusal
        self.connection.execute(statement, rows)

    def insert(self, table: Table, *rows: dict[str, Any]) -> None:
        """Write new rows of ``table``, each with its checksum."""
        self.write(insert(table), [with_checksum(table, row) for row in rows])
