"""Backups: verified by opening and replaying them, and put in the place of a state. No daemon runs meanwhile."""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from lmaps.errors import StateDamaged, StateUnusable, StoreError
from lmaps.model.states import Door
from lmaps.store.checksums import check_rows
from lmaps.store.dialects.sqlite import given_numbers, look_over, plain_errors
from lmaps.store.encryption import Opaque
from lmaps.store.migrate import known_revisions, migrate
from lmaps.store.replay import replay
from lmaps.store.rows import Origin
from lmaps.store.session import Cache, Counters, DiskHealth, Session
from lmaps.store.store import open_store, sync_directory
from lmaps.store.transaction import Transaction
from lmaps.util import times


class Restored(NamedTuple):
    """What a restore has done: the newest revision now, and where the old state is, if there was one."""

    revision: int
    kept: str | None


def verify(path: str) -> int:
    """Open the database at ``path``, look it over and replay it; how many changesets it has. The file stays as it is.

    Raises `StateUnusable` with what is wrong with it.
    """
    file = Path(path)
    if not file.is_file():
        raise StateUnusable(f"cannot use {path}: there is no such file")
    _check_sum(file)
    with plain_errors(path), _reading(file) as connection:
        look_over(connection, "integrity_check")
        tables = set(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())
        if "alembic_version" not in tables:
            raise StateUnusable(f"cannot use {path}: it is no state of lMaPS")
        current = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        if current == known_revisions()[-1]:
            check_rows(connection)
            session = Session(connection, Counters.read(connection), Opaque(), DiskHealth(), Cache())
            count = replay(Transaction(session))
            if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                raise StateDamaged("cannot rely on the database: a row has lost what it refers to")
            return count
    with tempfile.TemporaryDirectory(prefix="lmaps-") as directory:  # older tables: the same question to a new copy
        copied = Path(directory) / "copy.db"
        _copy(file, copied)
        migrate(str(copied))
        return verify(str(copied))


def restore(backup: str, path: str, author: str) -> Restored:
    """Put the state in ``backup`` in the place of the one at ``path``, which is kept beside it.

    Revisions and numbers of jobs go on above the highest that either knew; each unit gets an empty changeset that says
    so. At every moment there is a whole state at ``path``.
    """
    verify(backup)
    file = Path(path)
    aside = file.with_name(f"{file.name}.restoring")
    with plain_errors(path):
        _remove(aside)
        _copy(Path(backup), aside)
        given = _given_by(file)
        with open_store(str(aside), Opaque()) as store:
            store.count_on_from(given)
            with store.transaction() as tx:
                for unit in tx.history.units():
                    tx.changesets.mark_restored(
                        unit, Origin(author, door=Door.CLI, message=f"restored from {Path(backup).name}")
                    )
                revision = tx.revision()
        kept = _keep(file) if file.exists() else None
        aside.rename(file)
        _remove(aside)
        file.with_name(f"{file.name}.lineage").touch(mode=0o600)
        sync_directory(file.parent)
    return Restored(revision, kept)


def _check_sum(file: Path) -> None:
    """The file is the one whose checksum lies beside it, if one does."""
    beside = file.with_name(f"{file.name}.sha256")
    if not beside.exists():
        return
    with file.open("rb") as read:
        found = hashlib.file_digest(read, "sha256").hexdigest()
    if beside.read_text().split()[:1] != [found]:
        raise StateUnusable(f"cannot use {file}: its checksum is not the one in {beside.name}")


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[Connection]:
    """A connection that leaves the file as it is; only what a crash has left in its log is worked in."""
    logged = file.with_name(f"{file.name}-wal").exists()
    uri = f"file:{quote(str(file.absolute()))}?{'mode=rw' if logged else 'mode=ro&immutable=1'}"
    engine = create_engine("sqlite://", poolclass=NullPool, creator=lambda: sqlite3.connect(uri, uri=True))
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _given_by(file: Path) -> dict[str, int]:
    """The highest numbers that the state at ``file`` has given; none if it is not there or cannot be read."""
    if not file.exists():
        return {}
    try:
        with plain_errors(str(file)), _reading(file) as connection:
            return given_numbers(connection)
    except StoreError:
        return {}


def _keep(file: Path) -> str:
    """Give the state a second name beside it, so that its own can be taken."""
    kept = file.with_name(f"{file.name}.{times.now().replace(':', '')}.kept")
    with contextlib.suppress(FileNotFoundError):
        file.with_name(f"{file.name}-wal").rename(f"{kept}-wal")
    os.link(file, kept)
    return str(kept)


def _copy(source: Path, target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with source.open("rb") as reading, os.fdopen(descriptor, "wb") as writing:
            shutil.copyfileobj(reading, writing)
            writing.flush()
            os.fsync(writing.fileno())
    except OSError as error:
        raise StoreError(f"cannot copy {source} to {target}: {error.strerror}") from error


def _remove(aside: Path) -> None:
    for suffix in ("", "-wal", ".lineage"):
        aside.with_name(aside.name + suffix).unlink(missing_ok=True)
