"""The supervisor as it is, with real forks and signals, and tiny children: see tiny_daemon.py."""

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[1] / "tiny_daemon.py"
READY = "lmapsd: ready, 1 unit, 2 workers, revision 0, ipc:///m.sock\n"


def wait_until(condition: Callable[[], Any], within: float = 20.0) -> Any:
    """What ``condition`` gives as soon as it is true."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        select.select([], [], [], 0.01)
    return found


def state(pid: int) -> tuple[str, int]:
    """The state and the parent of a process; ``X`` if it is gone."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return "X", 0
    return after_name[0], int(after_name[1])


def is_gone(pid: int) -> bool:
    return state(pid)[0] in "ZX"


class Running:
    """A daemon that runs in ``folder``."""

    def __init__(self, folder: Path, *roles: str, **environment: str) -> None:
        self.folder = folder
        command: list[str | Path] = [sys.executable, "-W", "error::DeprecationWarning", PROGRAM, folder, *roles]
        with (folder / "out").open("ab") as out, (folder / "err").open("ab") as err:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=err, env=os.environ | environment, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def read(self, name: str) -> str:
        file = self.folder / name
        return file.read_text() if file.exists() else ""

    def events(self) -> list[str]:
        return self.read("events").splitlines()

    def started(self, name: str) -> list[int]:
        """The pids of those that were started as ``name``, in order."""
        return [
            int(event.removeprefix(f"{name} ").split()[0]) for event in self.events() if self._is_start(name, event)
        ]

    def _is_start(self, name: str, event: str) -> bool:
        return re.fullmatch(rf"{name} \d+( \d+)?", event) is not None

    def children(self) -> list[int]:
        """Every process whose parent is the supervisor, zombies too."""
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [pid for pid in pids if state(pid)[1] == self.pid]

    def is_up(self) -> bool:
        return bool(self.read("out") and self.started("worker 1") and self.started("worker 2"))

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def has_pending(self, number: int) -> bool:
        """Whether a signal was sent to the supervisor that it has not received yet."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        pending = re.search(r"^ShdPnd:\s*(\w+)", status, re.MULTILINE)
        assert pending is not None
        return bool(int(pending[1], 16) >> (number - 1) & 1)

    def exit_code(self) -> int:
        return self.process.wait(20)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a daemon; nothing of it is left after the test."""
    daemons: list[Running] = []

    def start(*roles: str, up: bool = True, **environment: str) -> Running:
        daemons.append(Running(tmp_path, *roles, **environment))
        if up:
            wait_until(daemons[-1].is_up)
        return daemons[-1]

    yield start
    for daemon in daemons:
        left = daemon.children()
        daemon.process.kill()
        daemon.process.wait()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_it_starts_what_is_wanted_and_says_ready_once(start):
    daemon = start("serve", "idle")
    [manager], [worker] = daemon.started("manager"), daemon.started("worker 1")
    names = [Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0") for pid in (daemon.pid, manager, worker)]
    assert names == [b"lmapsd: supervisor", b"lmapsd: manager", b"lmapsd: worker 1"]
    assert daemon.read("out") == READY
    assert len(list(Path(f"/proc/{daemon.pid}/task").iterdir())) == 1
    assert f"manager {manager} {len(uuid.uuid4().hex)}" in daemon.events()


@pytest.mark.parametrize("name", ["manager", "worker 1", "worker 2"])
def test_what_is_killed_is_replaced_at_once(start, name):
    daemon = start("serve", "idle")
    for count in range(1, 4):
        os.kill(daemon.started(name)[-1], signal.SIGKILL)
        wait_until(lambda count=count: len(daemon.started(name)) > count)
    assert f"{name} (pid {daemon.started(name)[0]}) has ended: signal SIGKILL" in daemon.read("err")
    assert daemon.read("out") == READY
    others = [len(daemon.started(other)) for other in ("manager", "worker 1", "worker 2") if other != name]
    assert others == [1, 1]


def test_children_hold_nothing_of_the_supervisors(start):
    daemon = start("serve", "idle")
    [worker] = daemon.started("worker 2")
    open_files = {int(entry.name) for entry in Path(f"/proc/{worker}/fd").iterdir()}
    assert open_files > {0, 1, 2}
    assert len(open_files) == 4
    caught = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{worker}/status").read_text(), re.MULTILINE)
    blocked = re.search(r"^SigBlk:\s*(\w+)", Path(f"/proc/{worker}/status").read_text(), re.MULTILINE)
    assert caught and blocked
    handled = {number for number in range(1, 32) if int(caught[1], 16) >> (number - 1) & 1}
    assert handled == {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    assert int(blocked[1], 16) == 0


def test_what_reaches_the_whole_terminal_is_the_supervisors_to_decide(start):
    daemon = start("serve", "idle")
    os.killpg(daemon.pid, signal.SIGHUP)
    wait_until(lambda: "manager was told {'reload': True}" in daemon.events())
    os.killpg(daemon.pid, signal.SIGINT)
    assert daemon.exit_code() == 0
    assert Counter(daemon.events())["worker ended"] == 2
    assert len(daemon.started("manager")) == 1


def test_sigterm_drains_then_ends_workers_then_the_manager(start):
    daemon = start("serve", "idle")
    (daemon.folder / "busy").touch()
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: "manager was told {'drain': True}" in daemon.events())
    assert "worker ended" not in daemon.events()
    (daemon.folder / "busy").unlink()
    assert daemon.exit_code() == 0
    assert daemon.events()[-3:] == ["worker ended", "worker ended", "manager ended"]


def test_running_jobs_have_the_grace_and_no_more(start):
    daemon = start("serve", "idle", "0.3")
    (daemon.folder / "busy").touch()
    daemon.signal(signal.SIGTERM)
    assert daemon.exit_code() == 0
    assert daemon.events()[-3:] == ["worker ended", "worker ended", "manager ended"]


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_word_cuts_the_drain_short(start, second):
    daemon = start("serve", "idle")
    (daemon.folder / "busy").touch()
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: "manager was told {'drain': True}" in daemon.events())
    daemon.signal(second)
    assert daemon.exit_code() == 0
    assert daemon.events()[-1] == "manager ended"


def test_a_worker_that_dies_in_the_drain_is_replaced(start):
    daemon = start("serve", "idle")
    (daemon.folder / "busy").touch()
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: "manager was told {'drain': True}" in daemon.events())
    os.kill(daemon.started("worker 1")[0], signal.SIGKILL)
    wait_until(lambda: len(daemon.started("worker 1")) == 2)
    (daemon.folder / "busy").unlink()
    assert daemon.exit_code() == 0


def test_a_manager_that_dies_in_the_drain_ends_it(start):
    daemon = start("serve", "idle")
    (daemon.folder / "busy").touch()
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: "manager was told {'drain': True}" in daemon.events())
    os.kill(daemon.started("manager")[0], signal.SIGKILL)
    assert daemon.exit_code() == 0
    assert len(daemon.started("manager")) == 1


def test_sigint_ends_at_once_without_a_drain(start):
    daemon = start("serve", "idle")
    (daemon.folder / "busy").touch()
    daemon.signal(signal.SIGINT)
    assert daemon.exit_code() == 0
    assert "manager was told {'drain': True}" not in daemon.events()
    ended = [event for event in daemon.events() if event.endswith(" ended")]
    assert ended[-3:] == ["worker ended", "worker ended", "manager ended"]


def test_what_does_not_end_is_killed(start):
    daemon = start("serve", "deaf")
    daemon.signal(signal.SIGINT)
    wait_until(lambda: Counter(daemon.events())["worker heard TERM"] == 2)
    daemon.signal(signal.SIGINT)
    assert daemon.exit_code() == 0
    assert all(is_gone(pid) for pid in daemon.started("worker 1") + daemon.started("worker 2"))
    assert daemon.events()[-1] == "manager ended"


def test_nothing_outlives_a_killed_supervisor(start):
    daemon = start("serve", "idle")
    pids = [pid for name in ("manager", "worker 1", "worker 2") for pid in daemon.started(name)]
    daemon.signal(signal.SIGKILL)
    wait_until(lambda: all(is_gone(pid) for pid in pids), within=5)


def test_a_manager_that_cannot_stay_alive_ends_the_daemon(start):
    daemon = start("crash", "idle", up=False)
    assert daemon.exit_code() == 1
    assert daemon.read("err").count("lmapsd: cannot keep the manager alive: it ended 5 times within 10 s") == 1
    assert daemon.read("err").count("manager runs, pid") == 5
    assert "Traceback" not in daemon.read("err")


def test_a_manager_may_end_its_line_before_itself(start):
    assert start("close_line", "idle", up=False).exit_code() == 1


@pytest.mark.parametrize("roles", [["2", "idle"], ["65", "idle"], ["75", "idle"], ["78", "idle"], ["serve", "78"]])
def test_a_child_that_cannot_boot_ends_the_daemon_with_its_code(start, roles):
    daemon = start(*roles, up=False)
    assert daemon.exit_code() == int(roles[-1] if roles[-1].isdecimal() else roles[0])
    told = [line for line in daemon.read("err").splitlines() if line.startswith("lmapsd: ")]
    assert set(told) == {"lmapsd: cannot be this child"}
    assert "Traceback" not in daemon.read("err")


def test_a_tool_dies_with_its_worker_before_the_slot_is_filled_again(start):
    daemon = start("serve", "busy")
    tool = int(daemon.read("tool"))
    assert "the tool lives: True" in daemon.events()
    os.kill(daemon.started("worker 1")[0], signal.SIGKILL)
    wait_until(lambda: "the tool lives: False" in daemon.events())
    assert is_gone(tool)
    assert not (daemon.folder / "jobs" / "1" / "7").exists()
    assert "job 7 was cut off: 1 process killed" in daemon.read("err")


def test_what_an_earlier_daemon_left_is_swept_before_any_child_starts(start, tmp_path):
    job = tmp_path / "jobs" / "9" / "3"
    job.mkdir(parents=True)
    tool = subprocess.Popen(["sleep", "60"], env={"LMAPS_JOB": str(job), **os.environ}, start_new_session=True)
    daemon = start("serve", "idle")
    assert tool.wait(5) == -signal.SIGKILL
    assert not job.exists()
    assert daemon.read("err").index("job 3 was cut off") < daemon.read("err").index("manager runs, pid")


def test_orphans_are_reaped_and_children_are_not_lost(start):
    daemon = start("serve", "orphan")
    tool = int(daemon.read("tool"))
    os.kill(daemon.started("worker 1")[0], signal.SIGKILL)
    wait_until(lambda: len(daemon.started("worker 1")) == 2)
    wait_until(lambda: state(tool)[0] == "X")
    assert len(daemon.children()) == 3
    os.kill(daemon.started("worker 1")[1], signal.SIGKILL)
    wait_until(lambda: len(daemon.started("worker 1")) == 3)


def test_of_daemons_on_one_state_one_lives_and_the_others_name_it(start):
    daemons = [start("serve", "idle", up=False) for _ in range(4)]
    wait_until(lambda: sum(daemon.process.poll() == 75 for daemon in daemons) == 3)
    [alive] = [daemon for daemon in daemons if daemon.process.poll() is None]
    assert alive.read("err").count(f"lmapsd: cannot start: another lmapsd (pid {alive.pid}) uses ") == 3
    wait_until(alive.is_up)
    alive.signal(signal.SIGINT)
    assert alive.exit_code() == 0


def test_a_killed_daemon_is_no_obstacle_for_the_next(start):
    start("serve", "idle").process.kill()
    daemon = start("serve", "idle", up=False)
    wait_until(lambda: len(daemon.started("worker 1")) == 2)
    assert (daemon.folder / "lmaps.db.lock").read_text() == f"{daemon.pid}\n"


def test_a_process_with_a_second_thread_does_not_fork(start):
    daemon = start("thread", "idle", up=False)
    assert daemon.exit_code() == 1
    assert "lmapsd: cannot fork manager: this process has 2 threads" in daemon.read("err")


def test_a_storm_of_signals_stops_nothing(start):
    daemon = start("serve", "idle")
    for number in (signal.SIGHUP, signal.SIGCHLD) * 1000:
        daemon.signal(number)
    daemon.signal(signal.SIGTERM)
    assert daemon.exit_code() == 0
    assert daemon.events()[-1] == "manager ended"


def test_a_manager_that_does_not_read_loses_no_order(start):
    daemon = start("serve", "idle")
    [manager] = daemon.started("manager")
    os.kill(manager, signal.SIGSTOP)
    for _ in range(500):  # more than the line has room for
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: not daemon.has_pending(signal.SIGHUP))
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: "no new jobs start" in daemon.read("err"))
    os.kill(manager, signal.SIGCONT)
    assert daemon.exit_code() == 0
    assert "manager was told {'drain': True}" in daemon.events()
    assert daemon.events()[-1] == "manager ended"


def test_who_hangs_is_killed_and_replaced(start):
    daemon = start("serve", "idle")
    names = ("manager", "worker 1")
    hung = {name: daemon.started(name)[0] for name in names}
    for name in names:
        (daemon.folder / f"{name.split()[0]} hangs").touch()
    for name, pid in hung.items():
        wait_until(
            lambda name=name, pid=pid: f"{name} (pid {pid}) has sent nothing for 10 s: killed" in daemon.read("err"),
            within=30,
        )
        (daemon.folder / f"{name.split()[0]} hangs").unlink()
    for name in names:
        wait_until(lambda name=name: len(daemon.started(name)) >= 2)
    assert all(is_gone(pid) for pid in hung.values())
    assert len(daemon.started("worker 2")) == 1


def test_the_manager_may_have_a_worker_replaced_and_hears_of_each_that_is_lost(start):
    daemon = start("serve", "idle")
    [first], [second] = daemon.started("worker 1"), daemon.started("worker 2")
    (daemon.folder / "replace").touch()
    wait_until(lambda: len(daemon.started("worker 1")) == 2)
    assert f"worker 1 (pid {first}) does not end its job: killed" in daemon.read("err")
    os.kill(second, signal.SIGKILL)
    wait_until(lambda: f"manager was told {{'lost': {second}}}" in daemon.events())
    assert f"manager was told {{'lost': {first}}}" in daemon.events()
    assert len(daemon.started("manager")) == 1


def test_who_is_stopped_is_killed_and_replaced_but_not_after_a_stop_of_all(start):
    daemon = start("serve", "idle")
    everybody = [daemon.pid, *daemon.children()]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() > begin + 11)
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    os.kill(daemon.started("worker 2")[0], signal.SIGSTOP)
    wait_until(lambda: len(daemon.started("worker 2")) == 2, within=30)
    assert [len(daemon.started(name)) for name in ("manager", "worker 1")] == [1, 1]


class Systemd:
    """The socket that systemd listens at."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(20)
        self.socket.bind(str(path))

    def hear(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")

    def hear_ready(self) -> None:
        """Wait until the daemon is ready; a slow one has told before that it lives."""
        while "READY=1" not in self.hear():
            pass


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(tmp_path / "n")
    yield made
    made.socket.close()


def test_systemd_hears_when_it_is_ready_and_when_it_stops(start, systemd, tmp_path):
    daemon = start("serve", "idle", NOTIFY_SOCKET=str(tmp_path / "n"))
    status = READY.removeprefix("lmapsd: ").rstrip()
    assert systemd.hear() == ["READY=1", f"STATUS={status}"]
    os.kill(daemon.started("manager")[0], signal.SIGKILL)
    assert systemd.hear() == ["READY=1", f"STATUS={status}"]
    daemon.signal(signal.SIGTERM)
    assert systemd.hear() == ["STOPPING=1", "STATUS=stopping"]
    assert daemon.exit_code() == 0


def test_systemd_hears_as_often_as_it_asks_for(start, systemd, tmp_path):
    start("serve", "idle", NOTIFY_SOCKET=str(tmp_path / "n"), WATCHDOG_USEC="600000")
    systemd.hear_ready()
    begin = time.monotonic()
    assert [systemd.hear() for _ in range(3)] == [["WATCHDOG=1"]] * 3
    assert time.monotonic() - begin > 0.55


def test_systemd_hears_nothing_while_the_supervisor_hangs(start, systemd, tmp_path):
    daemon = start("serve", "idle", NOTIFY_SOCKET=str(tmp_path / "n"), WATCHDOG_USEC="200000")
    systemd.hear_ready()
    assert systemd.hear() == ["WATCHDOG=1"]
    daemon.signal(signal.SIGSTOP)
    wait_until(lambda: state(daemon.pid)[0] == "T")
    systemd.socket.settimeout(0.5)
    with contextlib.suppress(TimeoutError):
        for _ in range(5):
            systemd.hear()
        pytest.fail("a stopped supervisor spoke")


def test_a_watchdog_of_another_process_is_not_fed(start, systemd, tmp_path):
    start("serve", "idle", NOTIFY_SOCKET=str(tmp_path / "n"), WATCHDOG_USEC="100000", WATCHDOG_PID="1")
    systemd.hear_ready()
    systemd.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        systemd.hear()
