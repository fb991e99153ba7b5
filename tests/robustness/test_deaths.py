"""One process is killed, or all are: what it takes until nothing of it is left, and until it is replaced."""

import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps import Client
from lmaps.protocol import Request
from tests.daemons import Raw, is_alive, until
from tests.history_model import UNITS as MODEL
from tests.robustness.load import Entry, Load, ask
from tests.robustness.test_random_kills import Killer
from tests.robustness.tree import Tree, answers, percentiles, seconds_until
from tests.robustness.verifying import check_daemon, check_database, check_everything, check_keys

UNITS = """\
meta: {name: web, primary_key: id}
params: {type: object, required: [id], properties: {id: {type: string}, n: {type: integer}}}
---
meta: {name: tree}
handler:
  type: command
  args:
    argv: [sh, -c, "trap '' TERM; setsid sleep 1001 & (setsid sh -c 'sleep 1002 & sleep 1003' &); sleep 1004"]
params: {type: object}
"""
TOOLS = 5
"""Processes that an apply of ``tree`` has, some of them detached."""
GONE_WITHIN = 2.0
"""Seconds after which nothing may be left of what was killed."""

pytestmark = pytest.mark.timeout(900)
Rounds = Callable[[int, int], int]
Figure = Callable[[str, str], None]


@pytest.fixture
def tree(short_path: Path) -> Iterator[Tree]:
    made = Tree(short_path, UNITS, workers=2)
    made.wait_ready()
    yield made
    made.end()


def workers(client: Client) -> list[dict[str, Any]]:
    """The workers that live, as the manager knows them; none while there is no manager."""
    told = answers(client)
    return [row for row in told["workers"] if is_alive(row["pid"])] if told else []


def start_job(tree: Tree, client: Client) -> tuple[int, str]:
    """Start a job with all its processes: its number, and the worker that has it."""
    until(lambda: len(workers(client)) == 2)
    job = client.call("apply", unit="tree").job
    assert job is not None
    until(lambda: len(tree.tools()) >= TOOLS)
    [slot] = [row["slot"] for row in workers(client) if row["job"] == job]
    return job, f"worker {slot}"


def test_a_killed_worker_leaves_nothing(tree: Tree, rounds: Rounds, figure: Figure) -> None:
    gone, count = [], rounds(2, 40)
    with tree.client() as client:
        for _ in range(count):
            job, name = start_job(tree, client)
            begin = time.monotonic()
            tree.kill(name)
            gone.append(seconds_until(lambda: not tree.tools(), begin, GONE_WITHIN))
            until(lambda job=job: client.call("job", job=job).extra["job"]["state"] == "interrupted")
    figure("4 a worker killed while it runs a job", f"{count} kills, 0 orphans, all gone: {percentiles(gone)}")


def test_a_killed_supervisor_leaves_nothing(tree: Tree, rounds: Rounds, figure: Figure) -> None:
    """In half of the kills a job runs."""
    gone, count = [], rounds(2, 40)
    with tree.client() as client:
        for number in range(count):
            if number % 2:
                start_job(tree, client)
            old = [*tree.children(), *tree.tools()]
            begin = time.monotonic()
            tree.kill("supervisor")
            gone.append(seconds_until(lambda old=old: not any(map(is_alive, old)), begin, GONE_WITHIN))
            until(lambda: len(workers(client)) == 2)
            assert not tree.tools()
    figure("5 the supervisor killed, a job running in half", f"{count} kills, 0 left, all gone: {percentiles(gone)}")


def test_everything_killed_at_once(short_path: Path, rounds: Rounds, seed: int, figure: Figure) -> None:
    rng = random.Random(seed)
    count, acknowledged = rounds(2, 50), 0
    for first in range(0, count, 25):
        directory = short_path / str(first)
        directory.mkdir()
        tree = Tree(directory, MODEL, workers=2)
        try:
            tree.wait_ready()
            killer = Killer(tree, rng, {"all": 1})
            with Load(tree.endpoint, 8, rng.randrange(2**32)).running() as load:
                while killer.kills.total() < min(25, count - first):
                    killer.strike()
            with killer.client as client:
                until(lambda client=client: all(row["over"] for row in client.call("jobs", limit=10_000).extra["jobs"]))
            assert tree.end(signal.SIGTERM) == 0
            acknowledged += check_everything(directory / "lmaps.db", tree.config_file, load.journal)
        finally:
            tree.end()
        shutil.rmtree(directory)
    figure("6 everything killed at once, under eight clients", f"{count} times, {acknowledged:,} changes kept, 0 lost")


POINTS = ("rollback.before", "rollback.after", "change.mid", "batch.before_commit", "batch.after_commit")


def test_a_manager_killed_in_an_undo(tree: Tree, rounds: Rounds, figure: Figure) -> None:
    """It was done or it was not: the state is that of the old head or of the new one, and asking again has it done."""
    journal = [write("create", instances=[value(1)]), write("set", id="a", instance=value(2))]
    with tree.client() as client:
        for entry in journal:
            ask(client, entry)
    verbs = [("rollback", 1), ("redo", 2), ("revert", 1), ("rollback", 2)]
    count, now = rounds(1, 5) * len(POINTS) * len(verbs), 2
    for number in range(count):
        verb, then = verbs[number % len(verbs)]
        entry = write(verb, **({"revision": "r2"} if verb == "revert" else {}))
        with tree.client(5.0) as client:
            until(lambda client=client: len(workers(client)) == 2)
            tree.arm(POINTS[number // len(verbs) % len(POINTS)])
            send_only(tree, entry)
            found = until(lambda client=client: answers(client, "show", unit="web", instances=True))
            assert found["instances"][0]["given"]["n"] in (now, then)
            ask(client, entry)
            found = client.call("show", unit="web", instances=True)
        assert (found.revision, found.extra["instances"][0]["given"]["n"]) == (number + 3, then)
        journal.append(entry)
        now = then
    assert tree.end(signal.SIGTERM) == 0
    assert check_database(tree.directory / "lmaps.db") == count + 2
    check_daemon(tree.config_file)
    check_keys(tree.directory / "lmaps.db", journal)
    figure("3 manager killed in rollback, redo, revert", f"{count} kills, head in {{n, n-1}}, replay equal, 0 doubles")


def send_only(tree: Tree, entry: Entry) -> None:
    """Have the daemon come to the failpoint with this request; nobody waits for the answer."""
    raw = Raw(tree.endpoint)
    try:
        raw.socket.send_multipart([b"", Request(entry.verb, entry.args, entry.key, entry.key).encode()])
        until(tree.has_acted)
    finally:
        raw.close()


def write(verb: str, **args: Any) -> Entry:
    return Entry(verb, {"unit": "web", **args})


def value(n: int) -> dict[str, Any]:
    return {"id": "a", "n": n}


@pytest.mark.alone
def test_how_soon_a_killed_process_is_replaced(tree: Tree, rounds: Rounds, figure: Figure) -> None:
    count = rounds(3, 100)
    with tree.client(1.0) as client:
        for name, is_back in (
            ("manager", lambda _pid: answers(client) is not None),
            ("worker 1", lambda pid: any(row["slot"] == 1 and row["pid"] != pid for row in workers(client))),
        ):
            seconds = []
            for _ in range(count):
                until(lambda: len(workers(client)) == 2)
                begin = time.monotonic()
                pid = tree.kill(name)
                until(lambda pid=pid: not is_alive(pid))
                seconds.append(seconds_until(lambda pid=pid, is_back=is_back: is_back(pid), begin))
            assert sorted(seconds)[count * 98 // 100] < rounds(10, 1)
            figure(f"1 a killed {name.split()[0]} is replaced, quiet", f"{count} times, {percentiles(seconds)}")
