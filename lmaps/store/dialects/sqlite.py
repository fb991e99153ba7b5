"""All that is SQLite's alone: the one connection, its guards, and what its errors mean."""

import contextlib
import errno
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool, Pool, StaticPool
from sqlalchemy.schema import CreateTable

from lmaps.errors import AnotherDaemon, DiskFailed, NoSpace, StateDamaged, StateUnusable, StoreError
from lmaps.store.models import in_memory

APPLICATION_ID = 0x6C4D6150
"""``lMaP``: what `file` shows, and what tells our databases from others."""

PRAGMAS = (
    "locking_mode=EXCLUSIVE",  # before the journal mode: no other program is let in, and no -shm file is needed
    "journal_mode=WAL",
    "synchronous=FULL",  # NORMAL loses acknowledged commits when the power fails
    "wal_autocheckpoint=4000",
    "trusted_schema=OFF",
    "busy_timeout=5000",
)
DATABASE_ERRORS = (sqlite3.Error, SQLAlchemyError)
DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_MISMATCH")
DAMAGED_SCHEMA = (
    "no such table",
    "no such column",
    "has no column",
    "Could not decode to UTF-8",
    "malformed",
    "unsupported file format",
)
"""What SQLite calls errors of SQL and are none: our statements fit our tables."""

_UNREAD = re.compile(r"unable to get the page. error code=(\d+)")

STEPS = 50_000
"""Steps of SQLite's own machine between two signs of progress: some milliseconds."""


def sqlite_version() -> str:
    """The version of the SQLite library, such as ``3.40.1``."""
    return sqlite3.sqlite_version


def nothing() -> None:
    """Nobody wants to know how far it is."""


def make_engine(path: str, *, migrating: bool = False, progress: Callable[[], None] = nothing) -> Engine:
    """An engine on the database file ``path`` with exactly one connection; foreign keys hold but while migrating.

    Its transactions are immediate. A transaction that SQLite has ended by itself (as it does when the disk is full)
    is noticed before it can be taken for committed. ``progress`` is called now and then while SQLite works.
    """
    pool: type[Pool] = NullPool if migrating else StaticPool
    engine = create_engine(
        f"sqlite:///{path}", poolclass=pool, connect_args={"check_same_thread": True}, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def _connect(driver: sqlite3.Connection, _record: object) -> None:
        driver.isolation_level = None  # the driver must not emit BEGIN
        try:
            for pragma in (*PRAGMAS, f"foreign_keys={'OFF' if migrating else 'ON'}"):
                driver.execute(f"PRAGMA {pragma}")
            if not migrating:
                _make_memory(engine, driver)
        except BaseException:
            driver.close()  # or it holds its locks until it is collected
            raise
        driver.set_progress_handler(progress, STEPS)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:
            driver.execute("BEGIN IMMEDIATE")

    @event.listens_for(engine, "commit")
    def _commit(connection: Connection) -> None:
        _expect_open(connection.connection.driver_connection)

    return engine


def _expect_open(driver: Any) -> None:
    if not driver.in_transaction:
        raise StoreError("cannot commit: the transaction is gone")


@contextlib.contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """What is done within the block is committed at its end, or undone if it raises.

    It is the driver's own: that SQLAlchemy begins and ends one takes as long as a small request.
    """
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN IMMEDIATE")
    try:
        yield
        _expect_open(driver)
        if connection.in_transaction():
            connection.commit()
        else:
            driver.execute("COMMIT")
    except BaseException:
        if connection.in_transaction():
            connection.rollback()
        if driver.in_transaction:
            driver.execute("ROLLBACK")
        raise


def _make_memory(engine: Engine, driver: sqlite3.Connection) -> None:
    """Make what lies beside the database in memory, where its transactions hold too."""
    driver.execute(f"ATTACH ':memory:' AS {in_memory.schema}")
    for table in in_memory.sorted_tables:
        driver.execute(str(CreateTable(table).compile(engine)))


def check_engine(connection: Connection, how: str) -> None:
    """Read back what durability rests on, and `look_over`; `StateUnusable` if the database cannot be relied on."""
    synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
    journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    if (synchronous, journal) != (2, "wal"):
        raise StateUnusable(f"cannot rely on the database: synchronous is {synchronous}, journal_mode {journal}")
    look_over(connection, how)


def look_over(connection: Connection, how: str) -> None:
    """Have SQLite look the database over: ``quick_check``, or ``integrity_check``, which sees indexes too.

    Raises `StateDamaged` if it is damaged, `DiskFailed` if it cannot be read, `StoreError` if memory is short.
    """
    try:
        verdict = str(connection.exec_driver_sql(f"PRAGMA {how}(1)").scalar())
        unread = _UNREAD.search(verdict)
        code = int(unread[1]) if unread else sqlite3.SQLITE_OK
        if code == sqlite3.SQLITE_NOMEM:
            raise MemoryError
    except MemoryError as error:
        raise StoreError("cannot look the database over: there is not enough memory for it") from error
    if code & 0xFF == sqlite3.SQLITE_IOERR:
        raise DiskFailed("cannot look the database over: the disk failed to read it")
    if verdict != "ok":
        raise StateDamaged(f"cannot use the database: it is damaged ({verdict})")


def prove_writable(connection: Connection) -> None:
    """Write what is there already, and wait until it is on disk; not within a transaction."""
    driver: Any = connection.connection.driver_connection
    driver.execute(f"PRAGMA application_id={APPLICATION_ID}")


def work_in_log(connection: Connection) -> None:
    """Have all of the log worked into the database, both on disk; not within a transaction."""
    driver: Any = connection.connection.driver_connection
    busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StoreError("cannot work the log into the database: it is in use")


def copy_database(connection: Connection, target: str) -> None:
    """Copy the database to the new file ``target``, whole or not at all, readable for nobody else.

    Not within a transaction. The copy is on disk when it has its name.
    """
    driver: Any = connection.connection.driver_connection
    aside = Path(f"{target}.part")
    mask = os.umask(0o177)
    try:
        driver.execute("VACUUM INTO ?", (str(aside),))  # on the driver: SQLAlchemy would begin a transaction
        aside.rename(target)
    finally:
        os.umask(mask)
        with contextlib.suppress(OSError):
            aside.unlink()


def given_numbers(connection: Connection) -> dict[str, int]:
    """The highest number that each table has given, also to rows that are gone."""
    found = connection.exec_driver_sql("SELECT name, seq FROM sqlite_sequence").all()
    if not all(isinstance(row.seq, int) for row in found):
        raise StateDamaged("cannot rely on the database: the numbers that it has given are none")
    return {row.name: row.seq for row in found}


def give_above(connection: Connection, table: str, number: int) -> None:
    """Let a table that counts its rows give numbers above ``number`` only."""
    changed = connection.exec_driver_sql("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (number, table))
    if not changed.rowcount:
        connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, number))


def is_hearsay(error: StateDamaged) -> bool:
    """Whether SQLite alone calls the database damaged: it does so too when the disk failed to read."""
    cause = getattr(error.__cause__, "orig", error.__cause__)
    return str(getattr(cause, "sqlite_errorname", "")).startswith("SQLITE_CORRUPT")


@contextlib.contextmanager
def plain_errors(path: str) -> Iterator[None]:
    """Within the block errors of the database become those of our own tree; damage tells what to do about it."""
    try:
        yield
    except StateDamaged as error:
        error.hint = error.hint or _way_back(path)
        raise
    except DBAPIError as error:
        raise _translated(error.orig, path) from error
    except SQLAlchemyError as error:
        raise StoreError(f"cannot use the database {path}: {error}") from error
    except sqlite3.Error as error:
        raise _translated(error, path) from error
    except UnicodeDecodeError as error:  # what SQLite says quotes the text of a table
        raise StateDamaged(f"cannot use the database {path}: it is damaged ({error})", hint=_way_back(path)) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NoSpace(f"cannot write: the disk of {path} is full; nothing was changed") from error
        raise DiskFailed(f"cannot use the database {path}: {error.strerror}") from error


def _translated(error: BaseException | None, path: str) -> Exception:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        return NoSpace(f"cannot write: the disk of {path} is full; nothing was changed")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return AnotherDaemon(f"cannot use the database {path}: another program has it open{_holders(path)}")
    if name.startswith(("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")):
        return DiskFailed(f"cannot use the database {path}: the disk failed ({error})")
    if name.startswith(DAMAGE) or any(words in str(error) for words in DAMAGED_SCHEMA):
        return StateDamaged(f"cannot use the database {path}: it is damaged ({error})", hint=_way_back(path))
    return StoreError(f"cannot use the database {path}: {error}")


def _holders(path: str) -> str:
    """Which processes have the file open, as far as this user may see it: `` (pid 12)``."""
    own, found = os.getpid(), set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if int(link.parts[2]) != own and link.readlink() == Path(path).resolve():
                found.add(link.parts[2])
    return f" (pid {', '.join(sorted(found))})" if found else ""


def _way_back(path: str) -> str:
    """What to do about a damaged database."""
    backups = sorted(Path(path).parent.glob(f"{Path(path).name}.*.backup"), key=lambda file: file.stat().st_mtime)
    newest = backups[-1] if backups else "FILE, with the newest backup that you have"
    return f"stop the daemon, then: lmaps restore {newest}"
