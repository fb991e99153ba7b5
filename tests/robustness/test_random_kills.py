"""Whatever is killed whenever, under eight clients: what was acknowledged is there, once, whole, and in order."""

import os
import random
import select
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lmaps import Client
from tests.daemons import is_alive, until
from tests.history_model import UNITS
from tests.robustness.load import Load
from tests.robustness.tree import Tree, answers, percentiles, seconds_until
from tests.robustness.verifying import check_everything

CLIENTS = 8
KILLS = 50
"""Kills between two looks at everything."""
UNDER_LOAD = """
recv valid batch.begin batch.before_commit batch.after_commit batch.mid_reply change.mid rollback.before rollback.after
import.mid job.before_enqueue job.after_enqueue dispatch.before dispatch.after dispatch.sent result.recv
result.before_commit result.after_commit worker.got worker.before_spawn worker.after_spawn worker.mid_run
worker.after_exit worker.before_send worker.after_send
""".split()


OFTEN = {"manager": 36, "failpoint": 36, "worker": 12, "supervisor": 8, "all": 4, "pause": 4}
"""How often what is done."""


class Killer:
    """Kills this and that, and measures how long it takes until clients are answered again."""

    def __init__(self, tree: Tree, rng: random.Random, often: dict[str, int] = OFTEN) -> None:
        self.tree = tree
        self.often = often
        self.rng = rng
        self.kills: Counter[str] = Counter()
        self.recovery: dict[str, list[float]] = {"manager": [], "worker": [], "supervisor": []}
        self.client = Client(tree.endpoint, 1.0)

    def strike(self) -> None:
        """Kill once, and wait until all is well again."""
        [what] = self.rng.choices(list(self.often), list(self.often.values()))
        getattr(self, f"_{what}")()
        until(self._is_well, within=30)

    def _is_well(self) -> bool:
        told = answers(self.client)
        return told is not None and sum(is_alive(row["pid"]) for row in told["workers"]) == 2

    def _wait_a_moment(self) -> None:
        select.select([], [], [], self.rng.uniform(0, 0.1))

    def _manager(self) -> None:
        self._wait_a_moment()
        number = self.rng.choice([signal.SIGKILL] * 9 + [signal.SIGSEGV])
        begin = time.monotonic()
        pid = self.tree.kill("manager", number)
        self._died("manager", pid, begin)

    def _died(self, name: str, pid: int, begin: float) -> None:
        self.kills[name] += 1
        until(lambda: not is_alive(pid))
        self.recovery[name].append(seconds_until(lambda: answers(self.client) is not None, begin))

    def _failpoint(self) -> None:
        name = self.rng.choice(UNDER_LOAD)
        role = "worker" if name.startswith("worker.") else "manager"
        before = {each: self.tree.pid_of(each) for each in ("manager", "worker 1", "worker 2")}
        self.tree.arm(name, f"{self.rng.randrange(1, 4)}*kill")
        until(self.tree.has_acted, within=60)
        until(lambda: any(not is_alive(pid) for each, pid in before.items() if each.startswith(role) and pid))
        self.kills[name] += 1

    def _worker(self) -> None:
        self._wait_a_moment()
        name = self.rng.choice(["worker 1", "worker 2"])
        begin = time.monotonic()
        pid = self.tree.kill(name)
        self.kills["worker"] += 1
        self.recovery["worker"].append(seconds_until(lambda: self._is_replaced(name, pid), begin))

    def _is_replaced(self, name: str, pid: int) -> bool:
        """Whether the manager tells of another worker in this one's place."""
        told = answers(self.client)
        slot = int(name.split()[1])
        return told is not None and any(row["slot"] == slot and row["pid"] != pid for row in told["workers"])

    def _supervisor(self) -> None:
        self._wait_a_moment()
        begin = time.monotonic()
        pid = self.tree.kill("supervisor")
        self._died("supervisor", pid, begin)

    def _all(self) -> None:
        self._wait_a_moment()
        self.tree.kill_all()
        self.kills["all at once"] += 1

    def _pause(self) -> None:
        """No kill: the manager is stopped for a while, and goes on."""
        pid = self.tree.kill("manager", signal.SIGSTOP)
        self._wait_a_moment()
        os.kill(pid, signal.SIGCONT)


def keep_what_failed(directory: Path, seed: int) -> None:
    """Database and logs of a run that failed, if ``LMAPS_KEEP`` names a directory for them."""
    if "LMAPS_KEEP" not in os.environ:
        return
    kept = Path(os.environ["LMAPS_KEEP"]) / f"lmaps-failed-{seed}"
    shutil.copytree(
        directory, kept, dirs_exist_ok=True, ignore=lambda _, names: [n for n in names if n.endswith(".sock")]
    )
    print(f"kept in {kept}")


def strike_under_load(directory: Path, rng: random.Random, kills: int) -> tuple[Killer, Counter[str]]:
    """So many kills under eight clients, on a state of their own, and then a look at everything."""
    tree = Tree(directory, UNITS, workers=2)
    try:
        tree.wait_ready()
        killer = Killer(tree, rng)
        with Load(tree.endpoint, CLIENTS, rng.randrange(2**32)).running() as load:
            while killer.kills.total() < kills:
                killer.strike()
        with killer.client as client:
            until(lambda: all(row["over"] for row in client.call("jobs", limit=10_000).extra["jobs"]), within=60)
        until(lambda: not tree.tools(), within=2)
        assert tree.end(signal.SIGTERM) == 0
        done = check_everything(directory / "lmaps.db", tree.config_file, load.journal)
    finally:
        tree.end()
    return killer, Counter(acknowledged=done, unknown=sum(entry.unknown for entry in load.journal))


@pytest.mark.timeout(3600)
def test_random_kills_under_eight_clients(
    short_path: Path, rounds: Callable[[int, int], int], seed: int, figure: Callable[[str, str], None]
) -> None:
    rng = random.Random(seed)
    kills, counts = Counter[str](), Counter[str]()
    recovery: dict[str, list[float]] = {"manager": [], "worker": [], "supervisor": []}
    while kills.total() < rounds(40, 1000):
        directory = short_path / str(kills.total())
        directory.mkdir()
        try:
            killer, counted = strike_under_load(directory, rng, min(KILLS, rounds(40, 1000) - kills.total()))
        except BaseException:
            keep_what_failed(directory, seed)
            raise
        kills, counts = kills + killer.kills, counts + counted
        for name, seconds in killer.recovery.items():
            recovery[name] += seconds
        shutil.rmtree(directory)
    figure(
        "1 anything killed at any time, under eight clients",
        f"{kills.total():,} kills, {counts['acknowledged']:,} changes acknowledged, {counts['unknown']:,} times the "
        "outcome was unknown at first: 0 lost, 0 half, 0 doubles, 0 orphans",
    )
    for name, seconds in recovery.items():
        if seconds:
            figure(f"1 a killed {name} is replaced, under load", f"{len(seconds):,} times, {percentiles(seconds)}")
