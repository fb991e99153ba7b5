"""Hours in small: a steady load at 70 % of what the daemon can do, and nothing that grows with time."""

import itertools
import os
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

import pytest

from lmaps import Client
from tests.daemons import RunningDaemon, until
from tests.robustness.tree import percentiles

UNITS = """\
meta: {name: web, primary_key: id}
handler: {type: noop}
params: {type: object, required: [id], properties: {id: {type: string}, n: {type: integer}, on: {type: boolean, default: true}}}
"""
CLIENTS, INSTANCES = 8, 500
KNEE_SECONDS, LOAD = 3.0, 0.7
LOOKS = 40
"""Times that the processes are looked at."""
WAL, GROWTH = 32 * 2**20, 4 * 2**20
"""Bytes that the log of the database, and the growth of a process, stay below."""
ENOUGH = 600
"""Seconds after which memory tells something: at first caches fill."""


class Look(NamedTuple):
    """How the daemon's processes stand: by pid the memory of their own [bytes], descriptors, threads; and the log."""

    memory: dict[int, int]
    descriptors: dict[int, int]
    threads: dict[int, int]
    wal: int
    zombies: int


def look(daemon: RunningDaemon) -> Look:
    pids = [daemon.process.pid, *daemon.children()]
    status = {pid: Path(f"/proc/{pid}/status").read_text() for pid in pids}
    memory, threads = ({pid: number(text, name) for pid, text in status.items()} for name in ("RssAnon", "Threads"))
    descriptors = {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in pids}
    wal = Path(f"{daemon.directory}/lmaps.db-wal").stat().st_size
    states = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text().split()
    zombies = sum("(zombie)" in Path(f"/proc/{pid}/status").read_text() for pid in states)
    return Look({pid: each * 1024 for pid, each in memory.items()}, descriptors, threads, wal, zombies)


def number(status: str, name: str) -> int:
    return int(next(line for line in status.splitlines() if line.startswith(f"{name}:")).split()[1])


class Clients:
    """Clients that ask, each in a thread of its own, as soon as they may or at a steady rate."""

    def __init__(self, endpoint: str) -> None:
        self.late: list[float] = []
        self._endpoint = endpoint
        self._turns = itertools.count()

    def run(self, seconds: float, rate: float | None = None) -> int:
        """Ask for so long, at ``rate`` a second or as soon as possible; how many were answered."""
        begin, asked = time.monotonic(), itertools.count()
        stop = threading.Event()

        def ask() -> None:
            with Client(self._endpoint) as client:
                while not stop.is_set():
                    due = time.monotonic() if rate is None else begin + next(asked) / rate
                    if max(due, time.monotonic()) > begin + seconds or stop.wait(max(0.0, due - time.monotonic())):
                        return
                    self._ask(client, next(self._turns))
                    self.late.append(time.monotonic() - due)

        before = len(self.late)
        with ThreadPoolExecutor(CLIENTS) as threads:
            try:
                for each in [threads.submit(ask) for _ in range(CLIENTS)]:
                    each.result()
            finally:
                stop.set()
        return len(self.late) - before

    def _ask(self, client: Client, turn: int) -> None:
        name = f"h{turn % INSTANCES}"
        if turn % INSTANCES == 250:
            client.call("apply", unit="web")
        elif turn % 10 < 6:
            client.call("set", unit="web", id=name, instance={"id": name, "n": turn})
        elif turn % 10 < 9:
            client.call("show", unit="web", ids=["h0"])
        else:
            client.call("status")


def looks_during(daemon: RunningDaemon, load: "Future[int]", seconds: float) -> list[Look]:
    begin, looks = time.monotonic(), [look(daemon)]
    while len(looks) < LOOKS:
        wait([load], max(0.0, begin + seconds * len(looks) / LOOKS - time.monotonic()))
        looks.append(look(daemon))
    return looks


def growth(looks: list[Look], pid: int) -> float:
    """By how many bytes a process has grown between the second quarter of the time and the last one."""
    quarter = LOOKS // 4
    second, last = looks[quarter : 2 * quarter], looks[-quarter:]
    return statistics.median(each.memory[pid] for each in last) - statistics.median(each.memory[pid] for each in second)


@pytest.mark.alone
@pytest.mark.timeout(3600)
def test_nothing_grows(
    start_daemon: Callable[..., RunningDaemon],
    rounds: Callable[[int, int], int],
    figure: Callable[[str, str], None],
) -> None:
    seconds = float(os.environ.get("LMAPS_SOAK") or rounds(6, 1200))
    daemon = start_daemon(UNITS)
    clients = Clients(daemon.endpoint)
    with daemon.client() as client:
        client.call("create", unit="web", instances=[{"id": f"h{number}"} for number in range(INSTANCES)])
        knee = clients.run(KNEE_SECONDS) / KNEE_SECONDS
        clients.late.clear()
        with ThreadPoolExecutor(1) as threads:
            load = threads.submit(clients.run, seconds, LOAD * knee)
            looks = looks_during(daemon, load, seconds)
            answered = load.result()
        until(lambda: all(row["over"] for row in client.call("jobs", limit=1000).extra["jobs"]), within=60)
    first, last = looks[LOOKS // 4], looks[-1]
    grown = {pid: growth(looks, pid) for pid in last.memory}
    assert last.memory.keys() == first.memory.keys(), "a process was replaced"
    assert last.threads == first.threads
    assert all(last.descriptors[pid] <= each + CLIENTS for pid, each in first.descriptors.items())
    assert max(each.wal for each in looks) < WAL
    assert not last.zombies
    assert not [line for line in daemon.output().splitlines() if " warning " in line or " error " in line]
    if seconds >= ENOUGH:
        assert max(grown.values()) < GROWTH, grown
    figure(
        f"steady load at {LOAD:.0%} of the knee",
        f"{seconds / 60:.0f} minutes, {answered:,} requests ({LOAD * knee:,.0f} a second), {percentiles(clients.late)}; "
        f"memory of the manager {grown[daemon.pid_of('manager') or 0] / 2**20:+.1f} MiB between the second quarter and "
        f"the last, of the others {max(grown.values()) / 2**20:+.1f} at most; descriptors and threads equal, the log of "
        f"the database {max(each.wal for each in looks) / 2**20:.0f} MiB at most, 0 zombies, 0 warnings",
    )
