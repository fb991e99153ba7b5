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
from lmaps.store.dialects.sqlite import (
    check_engine,
    copy_database,
    give_above,
    is_hearsay,
    make_engine,
    nothing,
    plain_errors,
    prove_writable,
    transaction,
    work_in_log,
)
from lmaps.store.encryption import Plain
from lmaps.store.migrate import migrate
from lmaps.store.session import Cache, Counters, DiskHealth, Session
from lmaps.store.transaction import Transaction

log = logging.getLogger(__name__)

NETWORK_FILE_SYSTEMS = frozenset({"9p", "cifs", "nfs", "nfs4", "smb3", "smbfs", "ceph", "glusterfs", "fuse"})
_ESCAPE = re.compile(r"\\([0-7]{3})")
RETRY = 1.0
"""Seconds after which a disk that failed is tried again."""
LOG_BYTES = 64 * 2**20
"""A log of the database that is larger is worked in at once."""
LOOK_EVERY = 10.0
"""Seconds between two looks at the log's size."""


def open_store(
    path: str, sealer: Plain | None = None, progress: Callable[[], None] = nothing, *, known: bool = False
) -> "Store":
    """Open the state at ``path``, made or brought to this version where needed; ``sealer`` seals and opens its secrets.
    ``progress`` is called now and then while SQLite works. A state that is ``known`` was opened by this daemon before:
    it has its tables, and is looked over quickly.

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
            _clear(file)
            if not known:
                migrate(path, progress, existed=lineage.exists())
            store = Store(path, sealer or Plain(), progress, "quick_check" if known else "integrity_check")
        if not lineage.exists():
            lineage.touch(mode=0o600)
            sync_directory(file.parent)
    finally:
        os.umask(mask)
    return store


def sync_directory(directory: Path) -> None:
    """Have the names in a directory on disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _clear(file: Path) -> None:
    """Remove the copies that whoever was killed has left half made, or made for a client."""
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
    """Whether the mount that holds ``directory`` is a network's: SQLite's locks and its WAL need one host."""
    best, kind = "", ""
    for line in mounts.read_text().splitlines():
        _, escaped, file_system, *_ = line.split()
        mount = _ESCAPE.sub(lambda found: chr(int(found[1], 8)), escaped)
        if directory.resolve().is_relative_to(mount) and len(mount) >= len(best):  # the last one lies on top
            best, kind = mount, file_system
    return kind.partition(".")[0] in NETWORK_FILE_SYSTEMS


class Store:
    """The state. One process has it, and hands out one transaction at a time.

    ``disk`` tells how the disk does. When it has failed the database is opened anew; if that fails too, or the state is
    damaged, there is no writing any more, and reading as far as it goes. ``deadline`` is when `run_once` tries again
    (monotonic).
    """

    def __init__(self, path: str, sealer: Plain, progress: Callable[[], None], how: str) -> None:
        """``how`` it is looked over: `look_over`."""
        self.path = path
        self._progress = progress
        self.disk = DiskHealth()
        self.deadline = math.inf
        self._damaged = False
        self._looked_at = 0.0
        self._sealer = sealer
        try:
            self._open(how)
        except BaseException:
            self._engine.dispose()
            raise
        try:
            with plain_errors(path):
                prove_writable(self._connection)
        except (NoSpace, DiskFailed) as error:
            self._refuse(error)

    def _open(self, how: str) -> None:
        self._engine: Engine = make_engine(self.path, progress=self._progress)
        self._connection: Connection = self._engine.connect()
        check_engine(self._connection, how)
        self._cache = Cache()
        self._counters = Counters.read(self._connection)
        self._counters.check(self._connection)
        self._connection.rollback()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """What is done within the block is committed at its end, or undone if it raises.

        Errors of the database come as `StoreError` and its kin, `NoSpace` when the disk is full, `DiskFailed` when it
        did not do what it was told: then nothing of the block was kept, unless `disk` refuses to write.
        """
        before = self._counters.copy()
        try:
            if self._connection.closed and self.disk.refusal is not None:
                raise self.disk.refusal
            with plain_errors(self.path), transaction(self._connection):
                session = Session(self._connection, self._counters, self._sealer, self.disk, self._cache)
                tx = Transaction(session)
                yield tx
                tx.audit.write()
                done = time.monotonic()
            if tx.wrote:
                self.disk.commit_seconds = time.monotonic() - done
        except BaseException as error:
            self._counters = before
            self._cache.forget(before.revision)
            if isinstance(error, StateDamaged | DiskFailed):
                self._doubt(error)
            raise

    def _doubt(self, error: StateDamaged | DiskFailed) -> None:
        """Open the database anew unless it is damaged for certain; `DiskFailed` if it was called so and is not."""
        if isinstance(error, StateDamaged) and not is_hearsay(error):
            self._refuse(error)
            return
        self._open_anew()
        if isinstance(error, StateDamaged) and self.disk.refusal is None:
            raise DiskFailed(f"cannot use the database {self.path}: the disk failed to read it") from error

    def _open_anew(self) -> None:
        """Believe nothing about the disk: have all that was committed written to it once more, read it, write."""
        if self._damaged:
            return
        try:
            with plain_errors(self.path):
                if not self._connection.closed:
                    work_in_log(self._connection)
                    self.close()
                self._open("integrity_check")
                prove_writable(self._connection)
        except LmapsError as error:
            self._refuse(error)
        else:
            self.disk.refusal = None
            self.deadline = math.inf

    def _refuse(self, error: LmapsError) -> None:
        """Write nothing any more: for good if the state is damaged, else until the disk does again."""
        if self.disk.refusal is None:
            log.error("nothing is written any more: %s", error.message)
        self._damaged |= isinstance(error, StateDamaged) and not is_hearsay(error)
        again = "nothing is to be done here: it is tried again every second"
        hint = error.hint if isinstance(error, StateDamaged) else again
        self.disk.refusal = Degraded(f"cannot write: {error.message}; the state can only be read", hint=hint)
        self.deadline = math.inf if self._damaged else time.monotonic() + RETRY

    def run_once(self) -> None:
        """If it is time: try whether the disk does again, and keep the log small."""
        now = time.monotonic()
        if now >= self.deadline:
            self._open_anew()
            if self.disk.refusal is None:
                log.warning("the disk takes what is written again")
        if now >= self._looked_at + LOOK_EVERY:
            self._looked_at = now
            self._bound_log()

    def _bound_log(self) -> None:
        try:
            size = Path(f"{self.path}-wal").stat().st_size
            if size > LOG_BYTES and self.disk.refusal is None:
                log.warning("the log of the database has %d MiB, and is worked in", size // 2**20)
                with plain_errors(self.path):
                    work_in_log(self._connection)
        except FileNotFoundError:
            return
        except LmapsError as error:
            log.error("the log of the database cannot be worked in: %s", error)

    def count_on_from(self, given: Mapping[str, int]) -> None:
        """Give no number of a changeset or a job that another state has ``given`` (by table) already."""
        with plain_errors(self.path), transaction(self._connection):
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
        try:
            self._connection.close()
        finally:
            self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
