"""The database's files: gone, held by a stranger, newer than the code, on a network, too long a log."""

import contextlib
import hashlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmaps.model.states import JobKind
from lmaps.store import Origin, Store, open_store, store
from tests.daemons import RunningDaemon
from tests.databases import rewrite
from tests.robustness.answers import Answers, hosts

HOLD = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN EXCLUSIVE'); print(flush=True); sys.stdin.read()"


@contextlib.contextmanager
def held(path: Path) -> Iterator[int]:
    """Within the block another program holds the database; its pid."""
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            yield holder.pid
        finally:
            holder.send_signal(signal.SIGKILL)


@pytest.fixture
def stopped(start_daemon: Callable[..., RunningDaemon]) -> RunningDaemon:
    """A daemon that has ended, with some state."""
    daemon = start_daemon()
    with daemon.client() as client:
        client.call("create", unit="web", instances=[{"host": "a"}, {"host": "b"}])
    assert daemon.end() == 0
    return daemon


def test_a_database_that_is_gone_is_not_begun_anew(stopped: RunningDaemon, figure: Callable[[str, str], None]) -> None:
    database = stopped.directory / "lmaps.db"
    database.unlink()
    stopped.start()
    assert stopped.process.wait(20) == 65
    assert "is gone" in stopped.output() and f"remove {database}.lineage" in stopped.output()
    assert not database.exists()
    figure("20 database missing", "refused with exit 65, nothing begun")


def test_a_stranger_holds_the_database(stopped: RunningDaemon, figure: Callable[[str, str], None]) -> None:
    database = stopped.directory / "lmaps.db"
    with held(database) as pid:
        begin = time.monotonic()
        stopped.start()
        assert stopped.process.wait(20) == 75
        seconds = time.monotonic() - begin
        assert f"(pid {pid})" in stopped.output()
    stopped.start()
    stopped.wait_ready()
    with stopped.client() as client:
        stranger = sqlite3.connect(database, timeout=0)
        for statement in ("SELECT * FROM instance", "BEGIN IMMEDIATE", "DELETE FROM instance"):
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                stranger.execute(statement)
        answers = Answers()
        assert answers.create(client, "c")
        stranger.close()
        assert answers.create(client, "d")
        assert hosts(client) == {"a", "b", "c", "d"}
    figure("21 a stranger holds the database", f"exit 75 after {seconds:.1f} s naming the pid; later it is locked out")


def test_a_newer_state_is_refused_and_stays_as_it_is(
    stopped: RunningDaemon, figure: Callable[[str, str], None]
) -> None:
    database = stopped.directory / "lmaps.db"
    rewrite(database, "UPDATE alembic_version SET version_num = '9999'")
    before = hashlib.sha256(database.read_bytes()).hexdigest()
    stopped.start()
    assert stopped.process.wait(20) == 65
    assert "revision 9999" in stopped.output() and "install the version that wrote it" in stopped.output()
    assert hashlib.sha256(database.read_bytes()).hexdigest() == before
    figure("27 newer state", "refused with exit 65, the file is the same")


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "9p", "fuse.sshfs", "ext4"])
def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    directory = tmp_path / "with space"
    directory.mkdir()
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"/dev/vda / ext4 rw 0 0\n/dev/vdb {tmp_path}/with\\040space xfs rw 0 0\n"
        f"host:/x {tmp_path}/with\\040space {kind} rw 0 0\n"
    )
    assert store._is_on_network(directory, mounts) == (kind != "ext4")
    assert not store._is_on_network(tmp_path, mounts)


def test_the_log_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str, str], None]
) -> None:
    monkeypatch.setattr(store, "MAX_WAL_BYTES", 500_000)
    log, largest = tmp_path / "lmaps.db-wal", 0
    with open_store(str(tmp_path / "lmaps.db")) as opened:
        for _ in range(100):
            write(opened)
            largest = max(largest, log.stat().st_size)
            monkeypatch.setattr(opened, "_wal_checked_at", 0.0)
            opened.run_once()
            assert log.stat().st_size <= 500_000
    assert largest > 500_000
    figure("22 the log of the database", "a log over its bound is worked in at the next turn")


def write(opened: Store) -> None:
    with opened.transaction() as tx:
        for _ in range(20):
            tx.jobs.add("web", JobKind.APPLY, 1, "d" * 400, Origin("me"))
