"""What concerns SQLite alone: the connection and its settings, checks and copies, and what SQLite's errors mean."""

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
"""``lMaP``: the program file(1) shows it, and databases of lMaPS are told from others by it."""

PRAGMAS = (
    "locking_mode=EXCLUSIVE",  # before the journal mode: no other program is let in, and no -shm file is needed
    "journal_mode=WAL",  # a commit then takes one fsync, of the log alone
    "synchronous=FULL",  # NORMAL loses acknowledged commits when the power fails
    "wal_autocheckpoint=4000",  # pages; a group of writes that reaches it waits for the checkpoint
    "trusted_schema=OFF",  # a damaged or forged schema calls no functions
    "busy_timeout=5000",  # ms: the daemon before may still be closing the file
)
DATABASE_ERRORS = (sqlite3.Error, SQLAlchemyError)
DAMAGE_CODES = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_MISMATCH")
DAMAGE_MESSAGES = (
    "no such table",
    "no such column",
    "has no column",
    "Could not decode to UTF-8",
    "malformed",
    "unsupported file format",
)
"""Errors that SQLite reports as mistakes in the statement. Our statements fit our tables, so the tables are damaged."""

_UNREADABLE_PAGE = re.compile(r"unable to get the page. error code=(\d+)")

PROGRESS_STEPS = 50_000
"""Instructions of SQLite's virtual machine between two calls of ``progress``: some milliseconds."""


def sqlite_version() -> str:
    """Return the version of the SQLite library, such as ``3.40.1``."""
    return sqlite3.sqlite_version


def no_progress() -> None:
    """Do nothing: nobody waits for signs of progress."""


def make_engine(path: str, *, migrating: bool = False, progress: Callable[[], None] = no_progress) -> Engine:
    """Return an engine on the database file ``path`` with exactly one connection.

    Foreign keys hold, except while migrating. Transactions are immediate. A commit fails if SQLite has ended the
    transaction by itself, as it does when the disk is full. ``progress`` is called every `PROGRESS_STEPS`.
    """
    pool: type[Pool] = NullPool if migrating else StaticPool
    engine = create_engine(
        f"sqlite:///{path}", poolclass=pool, connect_args={"check_same_thread": True}, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def _connect(driver: sqlite3.Connection, _record: object) -> None:
        driver.isolation_level = None  # else the driver begins transactions itself, and never immediate ones
        try:
            for pragma in (*PRAGMAS, f"foreign_keys={'OFF' if migrating else 'ON'}"):
                driver.execute(f"PRAGMA {pragma}")
            if not migrating:
                _make_memory_tables(engine, driver)
        except BaseException:
            driver.close()  # or it holds its locks until it is collected
            raise
        driver.set_progress_handler(progress, PROGRESS_STEPS)

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
    """Commit what is written within the block at its end, or undo it if the block raises.

    The driver begins and ends the transaction: when SQLAlchemy does, it takes as long as a small request.
    """
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN IMMEDIATE")
    try:
        yield
        # A transaction that SQLite has ended by itself is noticed by either: its COMMIT fails.
        if connection.in_transaction():  # a statement ran through SQLAlchemy, which has begun a transaction for itself
            connection.commit()
        else:
            driver.execute("COMMIT")
    except BaseException:
        if connection.in_transaction():
            connection.rollback()
        if driver.in_transaction:
            driver.execute("ROLLBACK")
        raise


def _make_memory_tables(engine: Engine, driver: sqlite3.Connection) -> None:
    """Make the tables in memory; as they are attached, the database's transactions hold for them too."""
    driver.execute(f"ATTACH ':memory:' AS {in_memory.schema}")
    for table in in_memory.sorted_tables:
        driver.execute(str(CreateTable(table).compile(engine)))


def expect_durable(connection: Connection, check: str) -> None:
    """Read back the settings that durability rests on, and `check_database`.

    Raises `StateUnusable` if the settings are others: SQLite falls back to another journal mode without an error.
    """
    synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
    journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    if (synchronous, journal) != (2, "wal"):
        raise StateUnusable(f"cannot rely on the database: synchronous is {synchronous}, journal_mode {journal}")
    check_database(connection, check)


def check_database(connection: Connection, check: str) -> None:
    """Have SQLite check the database: ``quick_check``, or ``integrity_check``, which compares indexes too.

    Raises `StateDamaged` if it is damaged, `DiskFailed` if it cannot be read, `StoreError` if memory is short.
    """
    try:
        verdict = str(connection.exec_driver_sql(f"PRAGMA {check}(1)").scalar())
        unreadable = _UNREADABLE_PAGE.search(verdict)
        code = int(unreadable[1]) if unreadable else sqlite3.SQLITE_OK
        if code == sqlite3.SQLITE_NOMEM:
            raise MemoryError
    except MemoryError as error:
        raise StoreError("cannot check the database: there is not enough memory for it") from error
    if code & 0xFF == sqlite3.SQLITE_IOERR:
        raise DiskFailed("cannot check the database: the disk failed to read it")
    if verdict != "ok":
        raise StateDamaged(f"cannot use the database: it is damaged ({verdict})")


def try_write(connection: Connection) -> None:
    """Write the application ID once more, and wait until it is on disk; not within a transaction."""
    driver: Any = connection.connection.driver_connection
    driver.execute(f"PRAGMA application_id={APPLICATION_ID}")


def checkpoint(connection: Connection) -> None:
    """Write all of the log to the database, and empty the log; not within a transaction."""
    driver: Any = connection.connection.driver_connection
    busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StoreError("cannot checkpoint the log of the database: it is in use")


def copy_database(connection: Connection, target: str) -> None:
    """Copy the database to the new file ``target``, whole or not at all, readable for nobody else.

    Not within a transaction. The file gets its name when it is complete on disk.
    """
    driver: Any = connection.connection.driver_connection
    aside = Path(f"{target}.part")
    mask = os.umask(0o177)
    try:
        driver.execute("VACUUM INTO ?", (str(aside),))  # on the driver, as SQLAlchemy would begin a transaction
        aside.rename(target)
    finally:
        os.umask(mask)
        with contextlib.suppress(OSError):
            aside.unlink()


def highest_numbers(connection: Connection) -> dict[str, int]:
    """Return the highest number that each table has given, also to rows that were deleted since."""
    rows = connection.exec_driver_sql("SELECT name, seq FROM sqlite_sequence").all()
    if not all(isinstance(row.seq, int) for row in rows):
        raise StateDamaged("cannot rely on the database: a highest number in sqlite_sequence is not an integer")
    return {row.name: row.seq for row in rows}


def raise_number(connection: Connection, table: str, number: int) -> None:
    """Have a table that counts its rows give only numbers above ``number``."""
    changed = connection.exec_driver_sql("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (number, table))
    if not changed.rowcount:
        connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, number))


def may_be_disk(error: StateDamaged) -> bool:
    """Return whether the disk may have caused the error: SQLite reports damage also when it only failed to read."""
    cause = getattr(error.__cause__, "orig", error.__cause__)
    return str(getattr(cause, "sqlite_errorname", "")).startswith("SQLITE_CORRUPT")


@contextlib.contextmanager
def translated_errors(path: str) -> Iterator[None]:
    """Raise errors of the database as `StoreError` and its subclasses; for damage they have a hint what to do."""
    try:
        yield
    except StateDamaged as error:
        error.hint = error.hint or _restore_hint(path)
        raise
    except DBAPIError as error:
        raise _translated(error.orig, path) from error
    except SQLAlchemyError as error:
        raise StoreError(f"cannot use the database {path}: {error}") from error
    except sqlite3.Error as error:
        raise _translated(error, path) from error
    except UnicodeDecodeError as error:  # SQLite's message quotes damaged text
        raise StateDamaged(
            f"cannot use the database {path}: it is damaged ({error})", hint=_restore_hint(path)
        ) from error
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
    if name.startswith(DAMAGE_CODES) or any(message in str(error) for message in DAMAGE_MESSAGES):
        return StateDamaged(f"cannot use the database {path}: it is damaged ({error})", hint=_restore_hint(path))
    return StoreError(f"cannot use the database {path}: {error}")


def _holders(path: str) -> str:
    """Return the processes that have the file open, as far as this user may see them: `` (pid 12)``."""
    own, pids = os.getpid(), set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if int(link.parts[2]) != own and link.readlink() == Path(path).resolve():
                pids.add(link.parts[2])
    return f" (pid {', '.join(sorted(pids))})" if pids else ""


def _restore_hint(path: str) -> str:
    """Return what to do about a damaged database."""
    backups = sorted(Path(path).parent.glob(f"{Path(path).name}.*.backup"), key=lambda file: file.stat().st_mtime)
    newest = backups[-1] if backups else "FILE, with the newest backup that you have"
    return f"stop the daemon, then: lmaps restore {newest}"
