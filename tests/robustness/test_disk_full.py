"""Disks that are full: changes are refused and nothing of them is kept, reads go on, and it goes on by itself."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lmaps import Client
from lmaps.store import backup
from tests.daemons import WEB, RunningDaemon, until
from tests.robustness.answers import Answers, hosts
from tests.robustness.batches import Batch
from tests.robustness.disks import leave, small_disk
from tests.robustness.load import Entry
from tests.robustness.tree import Tree
from tests.robustness.verifying import check_database

TEXTS = WEB.replace("tls: {type: boolean, default: false}", "text: {type: string}")
RUNS = WEB.replace("{type: noop}", "{type: command, args: {argv: [cat]}}")


@pytest.mark.timeout(1800)
def test_a_disk_that_gets_full_at_each_write(
    start_daemon: Callable[..., RunningDaemon],
    tmp_path: Path,
    rounds: Callable[[int, int], int],
    figure: Callable[[str, str], None],
) -> None:
    answers, deleted, count = Answers(), set[str](), rounds(40, 200)
    with small_disk(tmp_path / "disk", "8m") as place:
        daemon = start_daemon(TEXTS, db=str(place / "lmaps.db"), workers=1)
        pid = daemon.pid_of("manager")
        with daemon.client() as client:
            for number in range(count):
                leave(place, number % 40)
                for each in range(3 + number % 40):
                    if not answers.create(client, f"h{number}-{each}", text="x" * 4000):
                        break
                assert hosts(client) == answers.kept - deleted, "reads go on, and nothing that was refused is there"
                leave(place, 1024)
                assert answers.create(client, f"h{number}-again"), "it goes on by itself"
                if number % 20 == 19:
                    client.call("delete", unit="web", ids=sorted(answers.kept - deleted))
                    deleted |= answers.kept
            assert hosts(client) == answers.kept - deleted
        assert (answers.codes, daemon.pid_of("manager")) == ({"no-space"}, pid)
        assert daemon.end() == 0
        check_database(place / "lmaps.db")
    figure("16 disk full at any write", f"{count} times full: {answers}, 0 lost, 0 corrupt, 0 crashes")


@pytest.mark.timeout(1800)
def test_a_disk_that_gets_full_in_the_middle_of_a_group(
    short_path: Path, rounds: Callable[[int, int], int], figure: Callable[[str, str], None]
) -> None:
    """Also where SQLite has ended the whole transaction by itself: what it could not keep in memory it had to write."""
    answers, deleted, count = Answers(), set[str](), rounds(8, 60)
    with small_disk(short_path / "disk", "64m") as place:
        tree = Tree(short_path, TEXTS, db=str(place / "lmaps.db"), workers=1)
        try:
            tree.wait_ready()
            pid = tree.pid_of("manager")
            for number in range(count):
                leave(place, number * 600 // count)
                names = [f"h{number}-{each}" for each in range(24)]
                entries = [create(name, "x" * (60_000 if each % 3 else 10)) for each, name in enumerate(names)]
                with Batch(tree) as batch:
                    batch.send(entries)
                    assert batch.receive(len(entries)) == len(entries)
                for name, entry in zip(names, entries, strict=True):
                    answers.take(name, entry.reply)
                with tree.client() as client:
                    assert hosts(client) == answers.kept - deleted
                    leave(place, 4096)
                    assert answers.create(client, f"h{number}-again")
                    client.call("delete", unit="web", ids=sorted(answers.kept - deleted))
                    deleted |= answers.kept
            assert (answers.codes, tree.pid_of("manager")) == ({"no-space"}, pid)
            assert answers.kept and tree.end() == 0
            check_database(place / "lmaps.db")
        finally:
            tree.end()
    figure("16 disk full in the middle of a group", f"{count} groups of 24: {answers}, 0 lost, 0 corrupt, 0 crashes")


def create(host: str, text: str) -> Entry:
    return Entry("create", {"unit": "web", "instances": [{"host": host, "text": text}]})


def test_a_log_and_jobs_on_a_full_disk(short_path: Path, figure: Callable[[str, str], None]) -> None:
    """Requests are answered as ever; a job that has no room for its files fails, and leaves none."""
    with small_disk(short_path / "disk", "8m") as place:
        daemon = RunningDaemon(place, RUNS, db=str(short_path / "lmaps.db"), workers=1)
        try:
            daemon.wait_ready()
            with daemon.client() as client:
                leave(place, 0)
                for number in range(200):
                    client.call("create", unit="web", instances=[{"host": f"h{number}"}])
                state, error = apply(client)
                assert (state, error.rpartition(": ")[2]) == ("failed", "No space left on device")
                assert list((place / "jobs").glob("*/*")) == []
                leave(place, 1024)
                assert apply(client)[0] == "succeeded"
            assert "of this log could not be written" in daemon.output()
            assert daemon.end() == 0
        finally:
            daemon.end()
    figure("18 log and jobs' files on a full disk", "200 changes, all done; the job failed, and left nothing")


@pytest.mark.parametrize("command", ["export", "backup"])
def test_what_a_client_cannot_write_leaves_the_old_file(
    start_daemon: Callable[..., RunningDaemon], tmp_path: Path, figure: Callable[[str, str], None], command: str
) -> None:
    """Whether there is no room for the first byte, or for the last."""
    daemon = start_daemon(WEB)
    documents = json.dumps([{"host": f"h{number}"} for number in range(2000)])
    assert daemon.lmaps("create", "web", "-f", "-", stdin=documents).returncode == 0
    with small_disk(tmp_path / "disk", "8m") as place:
        file = place / "file"
        file.write_text("old\n")
        arguments = ["export", "--output", str(file)] if command == "export" else ["backup", str(file)]
        for pages in (0, 1, 2, 4):
            leave(place, pages)
            refused = daemon.lmaps(*arguments)
            assert (refused.returncode, refused.stdout) == (2, "")
            assert f"cannot write {file}: No space left on device" in refused.stderr
            assert (os.listdir(place), file.read_text()) == (["file"], "old\n")
        leave(place, 1024)
        assert daemon.lmaps(*arguments).returncode == 0
        assert file.read_bytes() != b"old\n"
    assert not list(daemon.directory.glob("*.copy*"))
    figure(f"18 {command} to a full disk", "4 times full: the old file byte-identical, nothing left beside it")


def test_a_backup_that_has_no_room_beside_the_state(start_daemon: Callable[..., RunningDaemon], tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "8m") as place:
        daemon = start_daemon(WEB, db=str(place / "lmaps.db"))
        leave(place, 4)
        refused = daemon.lmaps("backup", str(tmp_path / "b.db"))
        assert (refused.returncode, "is full" in refused.stderr) == (5, True), refused.stderr
        assert sorted(path.name for path in place.iterdir()) == [
            "lmaps.db",
            "lmaps.db-wal",
            "lmaps.db.lineage",
            "lmaps.db.lock",
        ]
        leave(place, 1024)
        assert daemon.lmaps("backup", str(tmp_path / "b.db")).returncode == 0
        assert daemon.end() == 0
        assert backup.verify(str(tmp_path / "b.db")) == 0


def apply(client: Client) -> tuple[str, str]:
    """How an apply ends, and why."""
    job = client.call("apply", unit="web").job
    until(lambda: client.call("job", job=job).extra["job"]["over"])
    told = client.call("job", job=job).extra["job"]
    return told["state"], told["error"]
