"""`Store`: one database, one connection, one transaction at a time."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, Engine

from lmaps.errors import StateUnusable
from lmaps.store.engine import (
    APPLICATION_ID,
    check_engine,
    copy_database,
    give_above,
    make_engine,
    nothing,
    plain_errors,
)
from lmaps.store.migrate import migrate
from lmaps.store.sealing import Plain
from lmaps.store.transaction import Counters, Transaction

NETWORK_FILE_SYSTEMS = frozenset({"9p", "cifs", "nfs", "nfs4", "smb3", "smbfs", "ceph", "glusterfs"})


def open_store(path: str, sealer: Plain | None = None, progress: Callable[[], None] = nothing) -> "Store":
    """Open the state at ``path``, made or brought to this version where needed; ``sealer`` seals and opens its secrets.
    ``progress`` is called now and then while SQLite works.

    Raises `StateUnusable` (damaged, newer than the code, gone, on a network file system), `AnotherDaemon` (held by
    another program), `StoreError`.
    """
    file = Path(path)
    _make_directory(file.parent)
    if _is_on_network(file.parent):
        raise StateUnusable(f"cannot keep state at {path}: that is a network file system, put db on a local one")
    lineage = file.with_name(file.name + ".lineage")
    if lineage.exists() and not file.exists():
        raise StateUnusable(
            f"cannot start: the database {path} is gone",
            hint=f"put a backup in its place, or remove {lineage} to begin with an empty one",
        )
    mask = os.umask(0o177)
    try:
        with plain_errors(path):
            migrate(path, progress)
            store = Store(make_engine(path, progress=progress), path, sealer or Plain())
    finally:
        os.umask(mask)
    lineage.touch(mode=0o600)
    return store


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateUnusable(f"cannot keep state in {directory}: {error.strerror}") from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StateUnusable(f"cannot keep state in {directory}: it is not writable for this user")


def _is_on_network(directory: Path) -> bool:
    """Whether the mount that holds ``directory`` is a network's: SQLite's locks and its WAL need one host."""
    best, kind = "", ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, file_system, *_ = line.split()
        if directory.resolve().is_relative_to(mount) and len(mount) > len(best):
            best, kind = mount, file_system
    return kind in NETWORK_FILE_SYSTEMS


class Store:
    """The state. One process has it, and hands out one transaction at a time."""

    def __init__(self, engine: Engine, path: str, sealer: Plain) -> None:
        self.path = path
        self._sealer = sealer
        self._engine = engine
        self._connection: Connection = engine.connect()
        check_engine(self._connection)
        self._connection.rollback()
        self._connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
        self._connection.commit()
        self._counters = Counters.read(self._connection)
        self._connection.rollback()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """What is done within the block is committed at its end, or undone if it raises.

        Errors of the database come as `StoreError` and its kin, `NoSpace` when the disk is full.
        """
        before = self._counters.copy()
        try:
            with plain_errors(self.path), self._connection.begin():
                state = Transaction(self._connection, self._counters, self._sealer)
                yield state
                state.write_audit()
        except BaseException:
            self._counters = before
            raise

    def count_on_from(self, given: Mapping[str, int]) -> None:
        """Give no number of a changeset or a job that another state has ``given`` (by table) already."""
        with plain_errors(self.path), self._connection.begin():
            for table, number in given.items():
                give_above(self._connection, table, number)
            self._counters = Counters.read(self._connection)

    def copy_to(self, path: str) -> None:
        """Write a consistent copy of the whole state to the new file ``path``; not within a transaction."""
        with plain_errors(self.path):
            copy_database(self._connection, path)
            self._connection.rollback()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
