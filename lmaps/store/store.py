"""`Store`: one database, one connection, one transaction at a time."""

import contextlib
import glob
import logging
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, Engine

from lmaps.errors import Degraded, DiskFailed, LmapsError, NoSpace, StateDamaged, StateUnusable
from lmaps.store import content_key
from lmaps.store.dialects.sqlite import (
    checkpoint,
    copy_database,
    expect_durable,
    make_engine,
    may_be_disk,
    no_progress,
    raise_number,
    transaction,
    translated_errors,
    try_write,
)
from lmaps.store.encryption import KeylessSealer, Sealer
from lmaps.store.migrate import migrate
from lmaps.store.session import Cache, Counters, DiskHealth, Session
from lmaps.store.transaction import Transaction

log = logging.getLogger(__name__)

NETWORK_FILE_SYSTEMS = frozenset({"9p", "cifs", "nfs", "nfs4", "smb3", "smbfs", "ceph", "glusterfs", "fuse"})
RETRY_INTERVAL_S = 1.0
"""How often a disk that failed is tried again."""
MAX_WAL_BYTES = 64 * 2**20
"""A write-ahead log that is larger is checkpointed at once."""
WAL_CHECK_INTERVAL_S = 10.0
_OCTAL_ESCAPE = re.compile(r"\\([0-7]{3})")
"""How /proc/self/mounts writes a space, a tab, a line feed and a backslash."""


def open_store(
    path: str, sealer: Sealer | None = None, progress: Callable[[], None] = no_progress, *, known: bool = False
) -> "Store":
    """Open the database at ``path``; its tables are made, or brought to this version, where needed.

    ``sealer`` seals and opens secrets. ``progress`` is called every few milliseconds while SQLite works. A database
    that is ``known`` was opened by this daemon before: it is not migrated, and checked quickly.

    Raises `StateUnusable` (damaged, newer than the code, gone, on a network file system), `AnotherDaemon` (held by
    another program), `StoreError`.
    """
    file = Path(path)
    _make_directory(file.parent)
    if _is_on_network(file.parent):
        raise StateUnusable(f"cannot keep state at {path}: that is a network file system, put db on a local one")
    lineage = file.with_name(file.name + ".lineage")  # made with the database: one that is lost is not begun anew
    if lineage.exists() and not file.exists():
        raise StateUnusable(
            f"cannot start: the database {path} is gone",
            hint=f"put a backup in its place, or remove {lineage} to begin with an empty one",
        )
    mask = os.umask(0o177)  # SQLite makes the database and its log readable for everybody that the mask lets
    try:
        with translated_errors(path):
            _remove_unfinished_copies(file)
            if not known:
                migrate(path, progress, existed=lineage.exists())
            store = Store(path, sealer or KeylessSealer(), progress, "quick_check" if known else "integrity_check")
        if not lineage.exists():
            lineage.touch(mode=0o600)
            sync_directory(file.parent)
    finally:
        os.umask(mask)
    return store


def sync_directory(directory: Path) -> None:
    """Write the names in a directory to disk: a new file can be lost with its name when the power fails."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_unfinished_copies(file: Path) -> None:
    """Remove copies of the database that a process was writing, or passing on to a client, when it was killed."""
    for ending in ("copy", "part", "copy.part", "part-journal"):
        for left in file.parent.glob(f"{glob.escape(file.name)}.*.{ending}"):
            left.unlink(missing_ok=True)


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateUnusable(f"cannot keep state in {directory}: {error.strerror}") from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StateUnusable(f"cannot keep state in {directory}: it is not writable for this user")


def _is_on_network(directory: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Return whether ``directory`` is on a network file system: SQLite's locks and its log need one host."""
    longest, kind = "", ""
    for line in mounts.read_text().splitlines():
        _, escaped, file_system, *_ = line.split()
        mount = _OCTAL_ESCAPE.sub(lambda escape: chr(int(escape[1], 8)), escaped)
        # >=: of several mounts on one directory the last one hides the others
        if directory.resolve().is_relative_to(mount) and len(mount) >= len(longest):
            longest, kind = mount, file_system
    return kind.partition(".")[0] in NETWORK_FILE_SYSTEMS


class Store:
    """A database that one process has open, and its transactions, one at a time.

    ``disk`` tells whether it can be written to. When the disk has failed the database is opened anew; if that fails
    too, or the database is damaged, nothing is written any more, and reading works as far as it goes. ``deadline``
    (monotonic) is when `run_once` tries the disk again.
    """

    def __init__(self, path: str, sealer: Sealer, progress: Callable[[], None], check: str) -> None:
        """Open the database at ``path``; ``check`` is how it is checked: see `check_database`."""
        self.path = path
        self._sealer = sealer
        self._progress = progress
        self.disk = DiskHealth()
        self.deadline = math.inf
        self._damaged = False
        self._wal_checked_at = 0.0
        try:
            self._open(check)
        except BaseException:
            self._engine.dispose()
            raise
        try:
            with translated_errors(path):
                try_write(self._connection)
            with contextlib.suppress(StateDamaged), self.transaction() as tx:  # writing is refused then
                content_key.prepare(tx.session)
        except (NoSpace, DiskFailed) as error:
            self._refuse(error)

    def _open(self, check: str) -> None:
        self._engine: Engine = make_engine(self.path, progress=self._progress)
        self._connection: Connection = self._engine.connect()
        expect_durable(self._connection, check)
        counters = Counters.read(self._connection)
        counters.check(self._connection)
        self._connection.rollback()
        self._session = Session(self._connection, counters, self._sealer, self.disk, Cache())
        self._tx = Transaction(self._session)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Commit what is written within the block at its end, or undo it if the block raises.

        Errors of the database become `StoreError` and its subclasses, `NoSpace` when the disk is full, `DiskFailed`
        when it failed: then nothing of the block was kept, unless `disk` refuses to write.
        """
        session, tx = self._session, self._tx
        before = session.counters.copy()
        try:
            if self._connection.closed and self.disk.refusal is not None:
                raise self.disk.refusal
            with translated_errors(self.path), transaction(self._connection):
                session.begin()
                yield tx
                tx.audit.write()
                written_at = time.monotonic()
            if session.wrote:
                self.disk.commit_seconds = time.monotonic() - written_at
        except BaseException as error:
            session.counters = before
            session.cache.forget(before.revision)
            if isinstance(error, StateDamaged | DiskFailed):
                self._check_disk(error)
            raise

    def _check_disk(self, error: StateDamaged | DiskFailed) -> None:
        """Open the database anew, unless it is damaged for certain; refuse to write if that fails.

        Raises `DiskFailed` if SQLite has called the database damaged, and it is not.
        """
        if isinstance(error, StateDamaged) and not may_be_disk(error):
            self._refuse(error)
            return
        self._reopen()
        if isinstance(error, StateDamaged) and self.disk.refusal is None:
            raise DiskFailed(f"cannot use the database {self.path}: the disk failed to read it") from error

    def _reopen(self) -> None:
        """Open the database anew, after the disk has failed.

        All that was committed is written to the database once more, then it is read as a whole, and written to: what
        the kernel still has in memory may differ from what the disk has.
        """
        if self._damaged:
            return
        try:
            with translated_errors(self.path):
                if not self._connection.closed:
                    checkpoint(self._connection)
                    self.close()
                self._open("integrity_check")
                try_write(self._connection)
        except LmapsError as error:
            self._refuse(error)
        else:
            self.disk.refusal = None
            self.deadline = math.inf

    def _refuse(self, error: LmapsError) -> None:
        """Refuse every write from now on: for good if the database is damaged, else until the disk works again."""
        if self.disk.refusal is None:
            log.error("nothing is written any more: %s", error.message)
        self._damaged |= isinstance(error, StateDamaged) and not may_be_disk(error)
        again = "no action is needed here: writing is tried again every second"
        hint = error.hint if isinstance(error, StateDamaged) else again
        self.disk.refusal = Degraded(f"cannot write: {error.message}; the state can only be read", hint=hint)
        self.deadline = math.inf if self._damaged else time.monotonic() + RETRY_INTERVAL_S

    def run_once(self) -> None:
        """If it is time, try whether the disk works again, and keep the write-ahead log small."""
        now = time.monotonic()
        if now >= self.deadline:
            self._reopen()
            if self.disk.refusal is None:
                log.warning("the disk can be written to again")
        if now >= self._wal_checked_at + WAL_CHECK_INTERVAL_S:
            self._wal_checked_at = now
            self._bound_wal()

    def _bound_wal(self) -> None:
        """Checkpoint a log that is too large: SQLite's own checkpoints never make the file smaller."""
        try:
            size = Path(f"{self.path}-wal").stat().st_size
            if size > MAX_WAL_BYTES and self.disk.refusal is None:
                log.warning("the write-ahead log has %d MiB, and is checkpointed", size // 2**20)
                with translated_errors(self.path):
                    checkpoint(self._connection)
        except FileNotFoundError:
            return
        except LmapsError as error:
            log.error("the write-ahead log cannot be checkpointed: %s", error)

    def continue_numbers(self, highest: Mapping[str, int]) -> None:
        """Give no changeset or job a number that another database has given: ``highest`` has its last ones by table."""
        with translated_errors(self.path), transaction(self._connection):
            for table, number in highest.items():
                raise_number(self._connection, table, number)
            self._session.counters = Counters.read(self._connection)

    def copy_to(self, path: str) -> None:
        """Write a consistent copy of the whole database to the new file ``path``; not within a transaction."""
        with translated_errors(self.path):
            copy_database(self._connection, path)
            self._connection.rollback()

    def close(self) -> None:
        """Close the database."""
        try:
            self._connection.close()
        finally:
            self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
