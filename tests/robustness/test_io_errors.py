"""Calls that fail under the database: no answer is a lie, reads go on, and writing begins again by itself."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from lmaps.store import backup
from tests.daemons import WEB, RunningDaemon, until
from tests.robustness.answers import Answers, hosts
from tests.robustness.disks import failing, require_strace
from tests.robustness.tree import percentiles

INJECTIONS = (
    "fdatasync:error=EIO:when={}",
    "pwrite64:error=EIO:when={}",
    "fdatasync:error=EIO:when={}+",
    "pwrite64:error=EIO:when={}+",
    "pwrite64:error=ENOSPC:when={}+",
    "pwrite64:error=EROFS:when={}+",
    "pread64:error=EIO:when={}",
    "pread64,pwrite64,fdatasync:error=EIO:when={}+",
)


def start_again(daemon: RunningDaemon) -> None:
    """Kill all of the daemon at once, and start it."""
    for pid in [daemon.process.pid, *daemon.children()]:
        os.kill(pid, signal.SIGKILL)
    daemon.process.wait(10)
    daemon.start()
    daemon.wait_ready()


@pytest.mark.timeout(1800)
def test_no_answer_is_a_lie(
    start_daemon: Callable[..., RunningDaemon],
    rounds: Callable[[int, int], int],
    figure: Callable[[str, str], None],
) -> None:
    require_strace()
    daemon = start_daemon(WEB, workers=1)
    answers, count, last = Answers(), rounds(15, 300), rounds(60, 300)
    degraded = 0
    with daemon.client() as client:
        for number in range(count):
            at = 1 + number * last // count
            injection = INJECTIONS[number % len(INJECTIONS)].format(at)
            with failing(until(lambda: daemon.pid_of("manager")), injection):
                for each in range(2 + at // 4):
                    answers.create(client, f"h{number}-{each}")
                assert hosts(client) >= answers.kept, f"reads go on ({injection})"
                degraded += client.call("status").extra["degraded"] is not None
            until(lambda number=number: answers.create(client, f"h{number}-{len(answers.refused)}-again"))
            if number % 5 == 4:
                start_again(daemon)
            stored = hosts(client)
            assert not answers.lies(stored), injection
    assert degraded and answers.refused
    assert daemon.end() == 0
    assert backup.verify(str(daemon.directory / "lmaps.db")) == len(answers.kept | answers.unknown & stored)
    figure("17 I/O errors at the k-th call", f"{count} errors: {answers}, 0 lies")


@pytest.mark.parametrize(
    "injections",
    [
        ("fdatasync:error=EIO:when=1", "openat:error=EIO:when=1+"),
        ("fdatasync:error=EIO:when=1", "pread64:error=EIO:when=1+"),
        ("fdatasync:error=EIO:when=1", "pread64:error=EIO:when=4+"),
    ],
)
def test_a_database_that_cannot_be_opened_again_for_a_while(
    start_daemon: Callable[..., RunningDaemon], injections: tuple[str, ...]
) -> None:
    require_strace()
    daemon = start_daemon(WEB, workers=1)
    pid, answers = daemon.pid_of("manager"), Answers()
    assert pid is not None
    with daemon.client() as client:
        assert answers.create(client, "before")
        with failing(pid, *injections):
            for number in range(4):
                assert not answers.create(client, f"h{number}")
            assert len(answers.unknown) == 1, "of the first nobody knows"
            assert answers.codes <= {"degraded", "state-damaged"}
        until(lambda: answers.create(client, f"again{len(answers.refused)}"))
        assert not answers.lies(hosts(client))
        assert daemon.pid_of("manager") == pid


def test_a_slow_disk_is_reported(
    start_daemon: Callable[..., RunningDaemon], figure: Callable[[str, str], None]
) -> None:
    require_strace()
    daemon = start_daemon(WEB, workers=1)
    seconds = []
    with daemon.client() as client:
        manager = daemon.pid_of("manager")
        assert manager is not None
        with failing(manager, "fdatasync:delay_enter=200000"):
            for number in range(10):
                begin = time.monotonic()
                client.call("create", unit="web", instances=[{"host": f"h{number}"}])
                seconds.append(time.monotonic() - begin)
            told = daemon.lmaps("status", "-o", "table").stdout
        assert min(seconds) >= 0.2
        assert "the disk is slow, the last change took it" in told
        client.call("create", unit="web", instances=[{"host": "last"}])
    assert "the disk is slow" not in daemon.lmaps("status", "-o", "table").stdout
    figure(
        "55 fsync takes 200 ms", f"{len(seconds)} changes, {percentiles(seconds)}, status says that the disk is slow"
    )
