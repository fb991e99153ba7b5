"""Verify backups by opening and replaying them, and put one in the place of the database. No daemon runs meanwhile."""

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
from lmaps.store.dialects.sqlite import check_database, highest_numbers, translated_errors
from lmaps.store.encryption import PassThroughSealer
from lmaps.store.migrate import known_revisions, migrate
from lmaps.store.replay import replay
from lmaps.store.rows import Origin
from lmaps.store.session import Cache, Counters, DiskHealth, Session
from lmaps.store.store import open_store, sync_directory
from lmaps.store.transaction import Transaction
from lmaps.util import times
from lmaps.util.ownership import login_name


class Restored(NamedTuple):
    """The outcome of a restore: the newest revision now, and the path of the old database, if there was one."""

    revision: int
    old_path: str | None


def verify(path: str) -> int:
    """Check the database at ``path`` and replay it; return how many changesets it has. The file stays as it is.

    Raises `StateUnusable` if anything is wrong with it.
    """
    file = Path(path)
    if not file.is_file():
        raise StateUnusable(f"cannot use {path}: there is no such file")
    _compare_checksum(file)
    with translated_errors(path), _reading(file) as connection:
        check_database(connection, "integrity_check")
        tables = set(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())
        if "alembic_version" not in tables:
            raise StateUnusable(f"cannot use {path}: it is not a database of lMaPS")
        current = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        if current == known_revisions()[-1]:
            check_rows(connection)
            session = Session(connection, Counters.read(connection), PassThroughSealer(), DiskHealth(), Cache())
            count = replay(Transaction(session))
            if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                raise StateDamaged("cannot rely on the database: a row refers to a row that is missing")
            return count
    with tempfile.TemporaryDirectory(prefix="lmaps-") as directory:  # a copy, since its older tables are upgraded
        copy = Path(directory) / "copy.db"
        _copy(file, copy)
        migrate(str(copy))
        return verify(str(copy))


def restore(backup: str, path: str, author: str) -> Restored:
    """Put the database in ``backup`` in the place of the one at ``path``, which stays beside it under another name.

    Revisions and numbers of jobs continue above the highest that either has given, so that none means two things. Each
    unit gets an empty changeset that records the restore. At every moment there is a whole database at ``path``.
    """
    verify(backup)
    file = Path(path)
    aside = file.with_name(f"{file.name}.restoring")
    with translated_errors(path):
        _remove(aside)
        _copy(Path(backup), aside)
        highest = _highest_numbers(file)
        with open_store(str(aside), PassThroughSealer()) as store:
            store.continue_numbers(highest)
            with store.transaction() as tx:
                for unit in tx.history.units():
                    tx.changesets.mark_restored(
                        unit, Origin(author, door=Door.CLI, message=f"restored from {Path(backup).name}")
                    )
                revision = tx.revision()
        old_path = _keep(file) if file.exists() else None
        aside.rename(file)
        _remove(aside)
        lineage = file.with_name(f"{file.name}.lineage")
        os.close(os.open(lineage, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        sync_directory(file.parent)
    return Restored(revision, old_path)


def _compare_checksum(file: Path) -> None:
    """Raise `StateUnusable` if a checksum lies beside the file and is not the file's."""
    beside = file.with_name(f"{file.name}.sha256")
    if not beside.exists():
        return
    with file.open("rb") as read:
        digest = hashlib.file_digest(read, "sha256").hexdigest()
    if beside.read_text().split()[:1] != [digest]:
        raise StateUnusable(f"cannot use {file}: its checksum is not the one in {beside.name}")


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[Connection]:
    """Yield a connection that leaves the file as it is; only if a crash has left a log is that checkpointed."""
    logged = _has_log(file)
    uri = f"file:{quote(str(file.absolute()))}?{'mode=rw' if logged else 'mode=ro&immutable=1'}"
    engine = create_engine("sqlite://", poolclass=NullPool, creator=lambda: sqlite3.connect(uri, uri=True))
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _has_log(file: Path) -> bool:
    """Return whether a crash has left a log beside the database.

    Raises `StateUnusable` if somebody else has put one there, as everybody may in /tmp: it would replace the content.
    """
    trusted = {0, os.getuid(), file.stat().st_uid}
    for ending in ("-wal", "-shm", "-journal"):
        beside = file.with_name(f"{file.name}{ending}")
        with contextlib.suppress(FileNotFoundError):
            owner = beside.lstat().st_uid
            if owner not in trusted:
                raise StateUnusable(
                    f"cannot use {file}: {beside} belongs to {login_name(owner)}, who could change it by that",
                    hint="remove that file; it is no part of a backup",
                )
    return file.with_name(f"{file.name}-wal").exists()


def _highest_numbers(file: Path) -> dict[str, int]:
    """Return the highest numbers that the database has given, by table; none if it is gone or cannot be read."""
    if not file.exists():
        return {}
    try:
        with translated_errors(str(file)), _reading(file) as connection:
            return highest_numbers(connection)
    except StoreError:
        return {}


def _keep(file: Path) -> str:
    """Give the database a second name beside it, which is returned, so that its own can be taken over."""
    second_name = file.with_name(f"{file.name}.{times.now().replace(':', '')}.kept")
    # First the log: a database without its log is an older state as a whole, a new one with an old log is damaged.
    with contextlib.suppress(FileNotFoundError):
        file.with_name(f"{file.name}-wal").rename(f"{second_name}-wal")
    os.link(file, second_name)
    return str(second_name)


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
