"""Calls that fail under the database: no answer is a lie, reads go on, and writing begins again by itself."""

import os
import signal
from collections.abc import Callable

from lmaps import Client
from lmaps.errors import LmapsError, OutcomeUnknown
from lmaps.store import keeping
from tests.daemons import WEB, RunningDaemon, until
from tests.robustness.disks import failing, require_strace

INJECTIONS = (
    "fdatasync:error=EIO:when={}",
    "pwrite64:error=EIO:when={}",
    "fdatasync:error=EIO:when={}+",
    "pwrite64:error=EIO:when={}+",
    "pwrite64:error=ENOSPC:when={}+",
    "pwrite64:error=EROFS:when={}+",
)


class Answers:
    """What clients were told of their changes: kept, refused, or that nobody knows."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self.refused: set[str] = set()
        self.unknown: set[str] = set()

    def create(self, client: Client, host: str) -> bool:
        """Whether it was kept."""
        try:
            client.call("create", unit="web", instances=[{"host": host}])
        except OutcomeUnknown:
            self.unknown.add(host)
        except LmapsError:
            self.refused.add(host)
        else:
            self.kept.add(host)
        return host in self.kept

    def lies(self, stored: set[str]) -> set[str]:
        """What was answered otherwise than it is; what nobody knew may be either."""
        return (self.kept - stored) | (self.refused & stored) | (stored - self.kept - self.unknown)


def hosts(client: Client) -> set[str]:
    return {row["id"] for row in client.call("show", unit="web", instances=True).extra["instances"]}


def start_again(daemon: RunningDaemon) -> None:
    """Kill all of the daemon at once, and start it."""
    for pid in [daemon.process.pid, *daemon.children()]:
        os.kill(pid, signal.SIGKILL)
    daemon.process.wait(10)
    daemon.start()
    daemon.wait_ready()


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
    assert keeping.verify(str(daemon.directory / "lmaps.db")) == len(answers.kept | answers.unknown & stored)
    told = f"{len(answers.kept)} kept, {len(answers.refused)} refused, {len(answers.unknown)} unknown"
    figure("17", f"{count} I/O errors: {told}, 0 lies")
