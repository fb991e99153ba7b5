"""Many daemons at once, stops under load, storms of signals, forks that fail, memory that runs out: it goes on."""

import contextlib
import os
import random
import re
import resource
import select
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from lmaps import Client
from tests.daemons import WEB, RunningDaemon, is_alive, until
from tests.history_model import UNITS
from tests.robustness.disks import failing, require_strace
from tests.robustness.load import Load
from tests.robustness.tree import Tree, answers, percentiles
from tests.robustness.verifying import check_everything

Start = Callable[..., RunningDaemon]
Rounds = Callable[[int, int], int]
Figure = Callable[[str, str], None]

AT_ONCE = 20
CROWD = """
import os, sys
from lmaps.cli.lmapsd import start
waiting, gate = os.pipe()
for _ in range(int(sys.argv[1])):
    if not os.fork():
        os.close(gate)
        os.read(waiting, 1)
        log = os.open(f"log.{os.getpid()}", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1), os.dup2(log, 2)
        os._exit(start(sys.argv[2:]))
os.close(waiting), os.close(gate)
while True:
    pid, status = os.wait()
    print(pid, os.waitstatus_to_exitcode(status), flush=True)
"""
"""Daemons that begin at the same moment; tells of each that ends."""


@pytest.fixture
def tree(short_path: Path) -> Iterator[Tree]:
    made = Tree(short_path, UNITS, workers=2)
    made.wait_ready()
    yield made
    made.end()


@pytest.mark.timeout(900)
def test_of_many_daemons_at_once_one_lives(start_daemon: Start, rounds: Rounds, figure: Figure) -> None:
    daemon = start_daemon()
    daemon.end()
    for _ in range(rounds(1, 100)):
        crowd = subprocess.Popen(
            [sys.executable, "-c", CROWD, str(AT_ONCE), "--config", daemon.config_file],
            stdout=subprocess.PIPE,
            text=True,
            env=daemon.environment,
            cwd=daemon.directory,
        )
        assert crowd.stdout is not None
        lines = [crowd.stdout.readline().split() for _ in range(AT_ONCE - 1)]
        ended = {int(pid): int(code) for pid, code in lines}
        assert set(ended.values()) == {75}
        logs = {int(path.suffix[1:]): path for path in daemon.directory.glob("log.*")}
        [alive] = logs.keys() - ended.keys()
        for pid in ended:
            assert f"another lmapsd (pid {alive}) uses" in logs[pid].read_text(), logs[pid].read_text()
        until(lambda alive=alive, logs=logs: "lmapsd: ready" in logs[alive].read_text())
        os.kill(alive, signal.SIGTERM)
        assert crowd.stdout.readline().split() == [str(alive), "0"]
        crowd.communicate(timeout=10)
        for path in logs.values():
            path.unlink()
    figure("48 two daemons on one state", f"{rounds(1, 100)} times {AT_ONCE} at once: 1 lives, the others name it")


@pytest.mark.timeout(1800)
def test_stops_under_load_lose_nothing(tree: Tree, short_path: Path, rounds: Rounds, seed: int, figure: Figure) -> None:
    rng, taken = random.Random(seed), []
    client = Client(tree.endpoint, 1.0)
    with Load(tree.endpoint, 8, seed).running() as load:
        for _ in range(rounds(2, 200)):
            until(lambda: answers(client) is not None)
            select.select([], [], [], rng.uniform(0, 0.3))
            process = tree.process
            begin = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, tree.logs()[-3000:]
            taken.append(time.monotonic() - begin)
    with client:
        until(lambda: answers(client) is not None)
        until(lambda: all(row["over"] for row in client.call("jobs", limit=10_000).extra["jobs"]), within=60)
    assert tree.end(signal.SIGTERM) == 0
    done = check_everything(short_path / "lmaps.db", tree.config_file, load.journal)
    assert "Traceback" not in tree.logs()
    figure("51 SIGTERM under load", f"{len(taken)} stops, {done:,} acknowledged, 0 lost; {percentiles(taken)} each")


@pytest.mark.timeout(600)
def test_a_storm_of_signals_stops_nobody(start_daemon: Start, rounds: Rounds, seed: int, figure: Figure) -> None:
    daemon = start_daemon()
    rng, count, worst, asked = random.Random(seed), rounds(1000, 10_000), 0.0, 0
    children = daemon.children()
    for_all = [signal.SIGHUP, signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT, signal.SIGPIPE, signal.SIGURG]
    with daemon.client() as client:
        for number in range(count):
            pid = rng.choice([daemon.process.pid, *children])
            os.kill(pid, rng.choice(for_all if pid == daemon.process.pid else [*for_all, signal.SIGINT]))
            if number % 100 == 0:
                begin = time.monotonic()
                client.call("create", unit="web", instances=[{"host": f"h{number}"}])
                worst, asked = max(worst, time.monotonic() - begin), asked + 1
        assert client.call("apply", unit="web").code is None
        assert client.call("status").extra["counters"]["restarts"] == 0
    assert daemon.children() == children
    for child in children:
        until(lambda child=child: "\nSigBlk:\t0000000000000000\n" in Path(f"/proc/{child}/status").read_text())
    assert daemon.end(signal.SIGTERM) == 0
    assert "Traceback" not in daemon.output()
    figure(
        "52 a storm of signals",
        f"{count:,} signals to all processes: none died, {asked} changes meanwhile, the slowest {worst * 1000:.0f} ms",
    )


def test_jobs_wait_while_no_process_can_be_forked(start_daemon: Start, figure: Figure) -> None:
    require_strace()
    daemon = start_daemon()
    workers = [daemon.pid_of(f"worker {slot}") for slot in (1, 2)]
    with daemon.client() as client:
        with failing(daemon.process.pid, *(f"{call}:error=EAGAIN" for call in ("clone", "clone3", "fork", "vfork"))):
            for pid in workers:
                os.kill(pid or 0, signal.SIGKILL)
            until(lambda: daemon.output().count("cannot fork worker") >= 4)
            job = client.call("apply", unit="web").job
            told = client.call("status").extra
            assert {row["state"] for row in told["workers"]} == {"gone"}
            assert client.call("job", job=job).extra["job"]["state"] == "queued"
            client.call("create", unit="web", instances=[{"host": "a"}])
        begin = time.monotonic()
        ended = client.call("job", job=job, wait_ms=30_000).extra["job"]
        assert (ended["state"], ended["revision"]) == ("succeeded", 1)
    figure(
        "31 fork fails",
        f"the job stays queued, state is served; {time.monotonic() - begin:.1f} s after the release it has run",
    )


def test_a_tool_that_cannot_be_forked_fails_its_job_with_the_reason(start_daemon: Start) -> None:
    require_strace()
    daemon = start_daemon(WEB.replace("noop", "command, args: {argv: [cat]}"), workers=1)
    calls = [f"{call}:error=EAGAIN" for call in ("clone", "clone3", "fork", "vfork")]
    with daemon.client() as client:
        with failing(daemon.pid_of("worker 1") or 0, *calls):
            job = client.call("apply", unit="web").job
            ended = client.call("job", job=job, wait_ms=30_000).extra["job"]
        assert (ended["state"], "Resource temporarily unavailable" in ended["error"]) == ("failed", True), ended
        job = client.call("apply", unit="web").job
        assert client.call("job", job=job, wait_ms=30_000).extra["job"]["state"] == "succeeded"


def test_a_manager_without_memory_is_replaced_and_repeats_nothing(
    start_daemon: Start, rounds: Rounds, figure: Figure
) -> None:
    daemon = start_daemon()
    taken: list[float] = []
    died = 0
    for number in range(rounds(2, 4)):  # one more death, and the supervisor would give up
        manager = daemon.pid_of("manager") or 0
        size = int(re.findall(r"^VmSize:\s*(\d+) kB", Path(f"/proc/{manager}/status").read_text(), re.MULTILINE)[0])
        resource.prlimit(manager, resource.RLIMIT_AS, ((size + 1024) * 1024, resource.RLIM_INFINITY))
        begin = time.monotonic()
        flood(daemon.endpoint, 100_001)
        with daemon.client(timeout=20) as client:
            documents = [{"host": f"{'h' * 60}.{number}.{each}"} for each in range(4000)]
            with contextlib.suppress(Exception):
                client.call("create", unit="web", instances=documents)
            until(lambda client=client: answers(client) is not None)
            taken.append(time.monotonic() - begin)
            assert client.call("status").extra["revision"] <= number + 1
            [row] = client.call("units").extra["units"]
            assert row["instances"] == 4000 * client.call("status").extra["revision"], "half a change"
            if daemon.pid_of("manager") != manager:
                died += 1
            else:
                os.kill(manager, signal.SIGKILL)
        until(lambda manager=manager: daemon.pid_of("manager") not in (manager, None))
    assert daemon.end(signal.SIGTERM) == 0
    figure(
        "32 the manager runs out of memory",
        f"{len(taken)} times ({died} died of it): nothing twice; answered again, the flood included: {percentiles(taken)}",
    )


def flood(endpoint: str, frames: int) -> None:
    """One message of very many frames."""
    context = zmq.Context()
    try:
        socket = context.socket(zmq.DEALER)
        socket.linger = 1000
        socket.connect(endpoint)
        socket.send_multipart([b"x" * 64] * frames)
    finally:
        context.destroy(1000)


def test_a_manager_that_dies_at_once_is_given_up_after_five_times(start_daemon: Start, figure: Figure) -> None:
    daemon = start_daemon()
    daemon.end()
    daemon.environment["LMAPS_FAILPOINTS"] = "start=each*kill"
    daemon.start()
    assert daemon.process.wait(60) == 1
    told = daemon.output()
    assert told.count("lmapsd: cannot keep the manager alive: it ended 5 times within 10 s of its start") == 1
    deaths = [line.split()[0] for line in told.splitlines() if "manager (pid" in line and "has ended" in line]
    assert len(deaths) == 4, "the fifth is told by the sentence"
    figure("33 a manager that dies at its start", "given up after 5 times, exit 1, one sentence")


def test_what_dead_daemons_leave_is_no_obstacle(start_daemon: Start, rounds: Rounds, figure: Figure) -> None:
    daemon = start_daemon()
    count = rounds(2, 100)
    for number in range(count):
        os.kill(daemon.process.pid, signal.SIGSTOP)  # else its end would have the others end in good order
        for pid in [*daemon.children(), daemon.process.pid]:
            os.kill(pid, signal.SIGKILL)
        daemon.process.wait(10)
        sockets = [daemon.directory / name for name in ("m.sock", "w.sock")]
        assert all(path.is_socket() for path in sockets), "both are left"
        until(lambda: not daemon.everything())
        pid = os.getpid() if number % 2 else 1
        (daemon.directory / "lmaps.db.lock").write_text(f"{pid}\n")  # as if the pid were another one's by now
        daemon.start()
        daemon.wait_ready()
    assert daemon.end(signal.SIGTERM) == 0
    figure("49 stale sockets, locks, pids that are others' by now", f"{count} of {count} started")


def make(kind: str, path: Path, other: Path) -> None:
    """Put something else at ``path``, where a socket is to be."""
    match kind:
        case "file":
            path.write_text("mine")
        case "link":
            path.symlink_to(other)
        case "directory":
            path.mkdir()
        case _:
            os.mkfifo(path)


@pytest.mark.parametrize("name", ["m.sock", "w.sock"])
def test_what_is_no_socket_is_left_as_it_is(short_path: Path, name: str, figure: Figure) -> None:
    kinds = ("file", "link", "directory", "fifo")
    for kind in kinds:
        directory, other = short_path / kind, short_path / "other"
        directory.mkdir()
        other.write_text("mine")
        path = directory / name
        make(kind, path, other)
        before = path.lstat()
        daemon = RunningDaemon(directory)
        assert daemon.process.wait(20) == 78
        assert str(path) in daemon.output()
        after = path.lstat()
        assert (stat.S_IFMT(after.st_mode), after.st_ino, after.st_mtime_ns, other.read_text()) == (
            stat.S_IFMT(before.st_mode), before.st_ino, before.st_mtime_ns, "mine",
        )  # fmt: skip
    figure("50 something else at the socket's path", f"{', '.join(kinds)} at {name}: refused, untouched")


RESTARTING = """\
meta: {name: own, data_type: YamlList}
handler: {type: command, args: {argv: [sh, -c, "echo going; kill -TERM $(cat $HOME/pid); exec sleep 77"]}}
"""


def test_a_job_that_restarts_its_own_daemon_is_interrupted(short_path: Path, figure: Figure) -> None:
    tree = Tree(short_path, RESTARTING, "--stop-grace", "1s")
    try:
        tree.wait_ready()
        first = tree.process.pid
        (short_path / "pid").write_text(str(first))
        with tree.client() as client:
            job = client.call("apply", unit="own").job
            until(lambda: tree.process.pid != first and answers(client) is not None)
            ended = client.call("job", job=job).extra["job"]
            assert (ended["state"], ended["over"]) == ("interrupted", True)
        assert tree.tools() == []
    finally:
        tree.end()
    figure("58 a unit that restarts lmapsd", "its job is interrupted, its tool ended, the daemon back")


def test_nobody_waits_for_a_supervisor_that_is_stopped(start_daemon: Start) -> None:
    """Clients are served while the supervisor does nothing, and it takes up its work where it was."""
    daemon = start_daemon()
    os.kill(daemon.process.pid, signal.SIGSTOP)
    worker = daemon.pid_of("worker 1") or 0
    with daemon.client() as client:
        client.call("create", unit="web", instances=[{"host": "a"}])
        os.kill(worker, signal.SIGKILL)
        until(lambda: not is_alive(worker))
        waiting = threading.Thread(
            target=client.call, args=("create",), kwargs={"unit": "web", "instances": [{"host": "b"}]}
        )
        waiting.start()
        waiting.join(10)
        assert not waiting.is_alive()
        os.kill(daemon.process.pid, signal.SIGCONT)
        until(lambda: daemon.pid_of("worker 1") not in (worker, None))
