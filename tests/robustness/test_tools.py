"""Tools that die, hang, detach themselves, multiply, eat memory: only their own job ends, and nothing of them is left."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps import Client
from tests.acceptance.test_jobs import DETACHING, sleeping, unit
from tests.daemons import RunningDaemon, until
from tests.robustness.conftest import cannot
from tests.robustness.tree import percentiles

Start = Callable[..., RunningDaemon]
Rounds = Callable[[int, int], int]
Figure = Callable[[str, str], None]

HARMLESS = {
    signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH,
    signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU,
}  # fmt: skip
"""Signals that nobody dies of."""
DEADLY = sorted(set(signal.Signals) - HARMLESS - {signal.SIGRTMIN, signal.SIGRTMAX})


CURIOUS = "n=0; while [ $n -lt 200 ]; do [ -e /proc/$$/fd/$n ] && echo $n; n=$((n + 1)); done; true"
"""Names its descriptors; to list their directory would take another one."""


def run(client: Client, name: str, within: float = 60.0) -> dict[str, Any]:
    """A job of the unit, when it has ended."""
    job = client.call("apply", unit=name).job
    deadline = time.monotonic() + within
    while True:
        told: dict[str, Any] = client.call("job", job=job, wait_ms=20_000).extra["job"]
        if told["over"]:
            return told
        assert time.monotonic() < deadline, told


def output(daemon: RunningDaemon, job: int) -> list[str]:
    return daemon.lmaps("logs", str(job)).stdout.splitlines()


def test_every_signal_that_a_tool_can_die_of_is_reported_by_its_name(start_daemon: Start, figure: Figure) -> None:
    script = "ulimit -c; cd $HOME; kill -$(cat $HOME/signal) $$; echo alive"
    daemon = start_daemon(unit("dying", script))
    with daemon.client() as client:
        for number in DEADLY:
            (daemon.directory / "signal").write_text(str(int(number)))
            told = run(client, "dying")
            assert (told["state"], told["rc"]) == ("failed", -number), told
            assert f"signal {number.name}" in told["error"], told
            assert output(daemon, told["job"]) == ["0"], "it has no core files, and is not alive"
        assert client.call("status").extra["counters"]["restarts"] == 0
    assert not list(daemon.directory.rglob("core*"))
    figure("10 a tool that is killed", f"{len(DEADLY)} signals, each reported by its name; no core files")


def test_a_tool_sees_the_descriptors_that_it_is_given_and_no_other(start_daemon: Start, figure: Figure) -> None:
    daemon = start_daemon(unit("curious", CURIOUS))
    with daemon.client() as client:
        told = run(client, "curious")
    assert output(daemon, told["job"]) == ["0", "1", "2"]
    figure("15 descriptors of a tool", "0, 1, 2 (and the event pipe of handlers that have events), no other")


@pytest.mark.timeout(180)
def test_a_stopped_worker_and_a_tool_that_hears_nothing_are_ended(start_daemon: Start, figure: Figure) -> None:
    deaf = unit("deaf", "trap '' TERM; echo on; while :; do sleep 1000; done", timeout="1s")
    stopped = unit("stopped", "echo on; sleep 1000", timeout="9s")
    daemon = start_daemon(f"{deaf}---\n{stopped}")
    with daemon.client() as client:
        jobs = {name: client.call("apply", unit=name).job for name in ("deaf", "stopped")}
        begin = time.monotonic()
        until(lambda: all(client.call("lines", job=job).extra["lines"] for job in jobs.values()))
        slots = {row["job"]: row["pid"] for row in client.call("status").extra["workers"]}
        os.kill(slots[jobs["stopped"]], signal.SIGSTOP)
        ended = {}
        for name, job in jobs.items():
            until(lambda job=job: client.call("job", job=job).extra["job"]["over"], within=40)
            ended[name] = client.call("job", job=job).extra["job"]["state"]
        taken = time.monotonic() - begin
        assert ended == {"deaf": "timed_out", "stopped": "interrupted"}
        until(lambda: sleeping(daemon) == [], within=2)
        assert run(client, "deaf", within=60)["state"] == "timed_out", "both slots are filled again"
    assert taken < 30
    figure("9 a stopped worker, a tool that ignores TERM", f"both ended {taken:.0f} s after the start, 0 left")


@pytest.mark.timeout(900)
def test_cancels_leave_nothing_whatever_was_done_to_detach(start_daemon: Start, rounds: Rounds, figure: Figure) -> None:
    daemon = start_daemon(unit("slow", DETACHING.replace("trap '' TERM; ", "")))
    taken = []
    with daemon.client() as client:
        for _ in range(rounds(5, 100)):
            job = client.call("apply", unit="slow").job
            until(lambda: sum(Path(f"/proc/{pid}/comm").read_text() == "sleep\n" for pid in sleeping(daemon)) == 3)
            begin = time.monotonic()
            client.call("cancel", job=job)
            until(lambda job=job: client.call("job", job=job).extra["job"]["over"])
            taken.append(time.monotonic() - begin)
            assert client.call("job", job=job).extra["job"]["state"] == "cancelled"
            assert sleeping(daemon) == []
    figure("12 a tool that detaches itself", f"{len(taken)} cancels: 0 survivors; {percentiles(taken)}")


@contextlib.contextmanager
def cgroup(controller: str, name: str, **limits: str) -> Iterator[Path]:
    """A control group with ``limits``; the test is skipped where none can be made."""
    root = Path("/sys/fs/cgroup")
    place = next((path for path in (root / controller, root) if (path / "cgroup.procs").exists()), None)
    if (
        os.geteuid() != 0
        or place is None
        or (place == root and controller not in (root / "cgroup.controllers").read_text())
    ):
        cannot(f"there is no control group for {controller} to be had")
    assert place is not None
    made = place / f"lmaps-{name}-{os.getpid()}"
    try:
        made.mkdir()
        for file, value in limits.items():
            known = next((made / each for each in (file, FILES[file]) if (made / each).exists()), None)
            if known is None:
                cannot(f"a control group cannot limit {controller} here")
            else:
                known.write_text(value)
    except OSError as error:
        with contextlib.suppress(OSError):
            made.rmdir()
        cannot(f"no control group: {error}")
    try:
        yield made
    finally:
        for pid in (made / "cgroup.procs").read_text().split():
            (place / "cgroup.procs").write_text(pid)
        until(lambda: removed(made))


FILES = {"pids.max": "pids.max", "memory.max": "memory.limit_in_bytes"}
"""Limits by their names in the second version of control groups, and in the first."""


def removed(directory: Path) -> bool:
    with contextlib.suppress(OSError):
        directory.rmdir()
    return not directory.exists()


@pytest.mark.timeout(180)
def test_a_tool_that_multiplies_hits_its_limit_and_is_ended(start_daemon: Start, figure: Figure) -> None:
    bomb = unit("bomb", "bomb() { bomb | bomb & }; bomb 2> $HOME/said; sleep 1000", timeout="2s")
    with cgroup("pids", "bomb", **{"pids.max": "100"}) as group:
        daemon = start_daemon(bomb, workers=1)
        worker = daemon.pid_of("worker 1") or 0
        (group / "cgroup.procs").write_text(str(worker))
        worst = 0.0
        with daemon.client() as client:
            job = client.call("apply", unit="bomb").job
            number = 0
            while not client.call("job", job=job).extra["job"]["over"]:
                begin, number = time.monotonic(), number + 1
                client.call("create", unit="bomb", instances=[{"id": str(number)}])
                worst = max(worst, time.monotonic() - begin)
            told = client.call("job", job=job).extra["job"]
            assert told["state"] in ("timed_out", "failed"), told
            most = len((group / "cgroup.procs").read_text().split())
            assert most == 1, "the worker alone is left"
            assert client.call("status").extra["counters"]["restarts"] == 0
        assert (group / "pids.events").read_text().split()[1] != "0" if (group / "pids.events").exists() else True
        daemon.end()
    figure(
        "13 a tool that multiplies",
        f"it hits its limit, all of it is ended; the slowest of {number} changes meanwhile took {worst * 1000:.0f} ms",
    )


@pytest.mark.timeout(300)
def test_memory_that_runs_out_costs_the_tool_alone(start_daemon: Start, rounds: Rounds, figure: Figure) -> None:
    flood = unit("flood", f"exec {sys.executable} -c 'b\"x\" * 10**9'")
    with cgroup("memory", "flood", **{"memory.max": str(64 * 2**20)}) as group:
        daemon = start_daemon(flood, workers=1)
        worker = daemon.pid_of("worker 1") or 0
        (group / "cgroup.procs").write_text(str(worker))
        count = rounds(2, 20)
        with daemon.client() as client:
            for _ in range(count):
                told = run(client, "flood")
                assert (told["state"], told["rc"]) == ("failed", -signal.SIGKILL), told
            assert daemon.pid_of("worker 1") == worker
            assert client.call("status").extra["counters"]["restarts"] == 0
        daemon.end()
    figure("14 a tool that floods memory", f"{count} of {count}: only the tool dies, reported as signal SIGKILL")
