"""What the tables of every subject share: the connection, the counters, and whether anything was written."""

from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, Executable

from lmaps.store.sealing import Plain


class CountersLike(Protocol):
    """The newest numbers given."""

    revision: int
    instance: int
    document: int
    job: int


class Tables:
    """A subject's tables within one transaction."""

    def __init__(self, connection: Connection, counters: CountersLike, sealer: Plain) -> None:
        self.connection = connection
        self.counters = counters
        self.sealer = sealer
        self.wrote = False
        self.known_definitions: dict[tuple[str, str], int] = {}
        self.to_audit: list[dict[str, Any]] = []

    def write(self, statement: Executable, rows: Sequence[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """Run a writing statement, once or for each of ``rows``."""
        self.wrote = True
        self.connection.execute(statement, rows)
