"""Warm runs of Ansible: cancelled, killed and stopped as hard as plain ones, and as little of them is left."""

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps.process import descendants
from lmaps.process.sweep import tagged_processes
from tests.ansible import install_ansible
from tests.daemons import BIN, RunningDaemon, is_alive, until
from tests.robustness.tree import seconds_until

Rounds = Callable[[int, int], int]
Figure = Callable[[str, str], None]

pytestmark = [
    pytest.mark.ansible,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not (BIN / "ansible-playbook").exists(), reason="ansible-playbook is not installed"),
]

UNIT = """\
meta: {{name: {name}, primary_key: id}}
handler: {{type: ansible_playbook, args: {{playbook: ../{name}.yml, program: ../venv/bin/ansible-playbook}}{more}}}
params: {{type: object, required: [id], properties: {{id: {{type: string}}}}}}
"""
BOOK = "- hosts: all\n  gather_facts: false\n  tasks:\n"
DETACH = BOOK + (
    "    - {name: later, command: {argv: [sleep, '600']}, async: 900, poll: 0}\n    - {name: act, act: {do: detach}}\n"
)
BOOKS = {
    "say": BOOK + "    - {name: act, act: {do: say}}\n",
    "wait": BOOK + "    - {name: act, act: {do: wait}}\n",
    "detach": DETACH,
    "brief": DETACH,
}
ACT = '''\
import os, signal, time
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    """Writes its pid and where its memory lies into the file `up`, at once, or when it has detached itself for good."""

    def run(self, tmp=None, task_vars=None):
        do = self._task.args["do"]
        if do != "detach":
            self.up()
            while do == "wait" and not os.path.exists(os.environ["HOME"] + "/gate"):
                time.sleep(0.01)
            return {"changed": False}
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                os.closerange(0, 1024)
                self.up()
                while True:
                    signal.pause()
            os._exit(0)
        while True:
            signal.pause()

    def up(self):
        up = os.environ["HOME"] + "/up"
        with open(up + ".new", "w") as file:
            file.write(str(os.getpid()) + " " + LAYOUT)
        os.rename(up + ".new", up)

with open("/proc/self/maps") as file:
    LAYOUT = next(line.split()[0] for line in file if line.endswith("[vdso]\\n"))
'''


class Site:
    """A daemon with one worker, whose playbooks do what a test needs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "action_plugins").mkdir()
        (directory / "action_plugins" / "act.py").write_text(ACT)
        for name, book in BOOKS.items():
            (directory / f"{name}.yml").write_text(book)
        install_ansible(directory / "venv")
        more = {"brief": ", timeout: 4s"}
        units = "---\n".join(UNIT.format(name=name, more=more.get(name, "")) for name in BOOKS)
        self.daemon = RunningDaemon(directory, units, workers=1)
        self.daemon.wait_ready()
        self.client = self.daemon.client(100)

    def worker(self) -> int:
        pid: int = until(lambda: self.daemon.pid_of("worker 1"))
        return pid

    def servers(self) -> list[int]:
        """The fork servers of the worker; one or none."""
        return [pid for pid in descendants(self.worker()) if _shown(pid) == b"lmapsd: warm ansible-playbook"]

    def begin(self, unit: str) -> tuple[int, int, bool]:
        """Have a job come so far that it is up: its number, who is up, and whether it was forked off the fork server."""
        for name in ("up", "gate"):
            (self.directory / name).unlink(missing_ok=True)
        job = self.client.call("apply", unit=unit).job
        assert job is not None
        pid, layout = until(self._up, within=60)
        return job, int(pid), layout in [_layout(server) for server in self.servers()]

    def _up(self) -> list[str]:
        path = self.directory / "up"
        return path.read_text().split() if path.exists() else []

    def end(self, job: int) -> str:
        """The state in which a job has ended."""
        state: str = self.client.call("job", job=job, wait_ms=90_000).extra["job"]["state"]
        return state

    def say(self) -> bool:
        """Run a playbook to its good end; whether it was forked off the fork server."""
        job, _, warm = self.begin("say")
        assert self.end(job) == "succeeded", self.daemon.lmaps("logs", str(job)).stdout
        return warm

    def warm_up(self) -> int:
        """Have a fork server that is ready: its pid."""
        until(self.say, within=60)
        [server] = self.servers()
        return server

    def begin_detached(self, unit: str = "detach") -> int:
        """A warm job that does all to get away, forks without exec among it: found by its tag though."""
        job, away, warm = self.begin(unit)
        assert warm
        assert away in self.left()
        return job

    def left(self) -> list[int]:
        """What carries the tag of any of our jobs."""
        return list(tagged_processes(self.directory))

    def loaded_anew(self) -> int:
        """How often the log has told of it."""
        return self.daemon.output().count("is loaded anew: ")


def _shown(pid: int) -> bytes:
    """Its command line; nothing if it has just ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0")
    return b""


def _is_gone(*pids: int) -> None:
    """Or goes within two seconds."""
    until(lambda: not any(is_alive(pid) for pid in pids), within=2)


def _layout(pid: int) -> str:
    """Where the kernel has put its page: somewhere else at every exec, at the same place after a fork."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return next(line.split()[0] for line in lines if line.endswith("[vdso]"))


@pytest.fixture(scope="module")
def module_site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as name:
        site = Site(Path(name))
        yield site
        site.client.close()
        site.daemon.end()
        assert site.daemon.everything() == site.left() == []


@pytest.fixture
def site(module_site: Site) -> Iterator[Site]:
    """With a fork server that is ready."""
    module_site.warm_up()
    yield module_site
    for row in module_site.client.call("jobs").extra["jobs"]:
        if not row["over"]:
            module_site.client.call("cancel", job=row["job"])


def test_cancelled_runs_leave_nothing(site: Site, rounds: Rounds, figure: Figure) -> None:
    count, seconds, [server] = rounds(3, 100), [], site.servers()
    for _ in range(count):
        job = site.begin_detached()
        begin = time.monotonic()
        site.client.call("cancel", job=job)
        seconds.append(seconds_until(lambda: not site.left(), begin, within=2))
        assert site.end(job) == "cancelled"
    assert site.servers() == [server]
    figure(
        "12 cancels of warm runs (async, double forks without exec)",
        f"{count} cancels, 0 processes left after at most {max(seconds):.1f} s",
    )


def test_a_run_that_takes_too_long_leaves_nothing(site: Site, rounds: Rounds, figure: Figure) -> None:
    count = rounds(1, 10)
    for _ in range(count):
        job = site.begin_detached("brief")
        assert site.end(job) == "timed_out"
        until(lambda: not site.left(), within=2)
        assert site.say()
    figure("12 timeouts of warm runs", f"{count} timeouts, 0 processes left")


def test_a_killed_worker_leaves_nothing(site: Site, rounds: Rounds, figure: Figure) -> None:
    count = rounds(1, 50)
    for _ in range(count):
        site.warm_up()
        job, servers, worker = site.begin_detached(), site.servers(), site.worker()
        os.kill(worker, signal.SIGKILL)
        until(lambda: not site.left(), within=2)
        _is_gone(*servers, worker)
        assert site.end(job) == "interrupted"
        site.say()
    figure(
        "4 worker killed -9 in a warm run",
        f"{count} kills: 0 processes left after 2 s, no fork server, all jobs interrupted, the next run succeeded",
    )


def test_without_its_fork_server_a_run_is_plain(site: Site, rounds: Rounds, figure: Figure) -> None:
    """Killed before a run, and while one goes on, which does go on; each is told of once."""
    count = rounds(1, 25)
    for _ in range(count):
        for while_one_goes_on in (False, True):
            told, server = site.loaded_anew(), site.warm_up()
            if while_one_goes_on:
                job, _, warm = site.begin("wait")
                assert warm
            os.kill(server, signal.SIGKILL)
            _is_gone(server)
            if while_one_goes_on:
                (site.directory / "gate").touch()
                assert site.end(job) == "succeeded"
            assert not site.say()
            assert site.loaded_anew() == told + 1
    figure("4 fork server of warm runs killed -9", f"{2 * count} kills: every run succeeded, each reported once")


@pytest.mark.alone
def test_a_fork_server_does_not_grow(site: Site, rounds: Rounds, figure: Figure) -> None:
    count, [server] = rounds(10, 60), site.servers()
    assert site.say()
    before = _kilobytes(server)
    assert [site.say() for _ in range(count)] == [True] * count
    after = _kilobytes(server)
    assert after["RssAnon"] - before["RssAnon"] < 512, (before, after)
    assert len(list(Path(f"/proc/{server}/fd").iterdir())) < 10
    grown = after["RssAnon"] - before["RssAnon"]
    figure(
        "48 memory of a fork server of warm runs", f"{after['VmRSS'] // 1024} MB, {grown} KB more after {count} runs"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_daemon_that_ends_leaves_nothing(site: Site, rounds: Rounds, figure: Figure, number: signal.Signals) -> None:
    count = rounds(1, 20)
    for _ in range(count):
        site.warm_up()
        job, below = site.begin_detached(), [*site.servers(), *site.daemon.everything()]
        site.daemon.process.send_signal(number)
        site.daemon.process.wait(20)
        until(lambda: not site.left() and not site.daemon.everything(), within=2)
        _is_gone(*below)
        site.daemon.start()
        site.daemon.wait_ready()
        assert site.end(job) in ("interrupted", "cancelled")
    row = "5 supervisor killed -9 in a warm run" if number == signal.SIGKILL else "12 daemon stopped in a warm run"
    figure(row, f"{count} times, 0 processes left after 2 s, no fork server")


def _kilobytes(pid: int) -> dict[str, Any]:
    lines = [line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return {line[0].rstrip(":"): int(line[1]) for line in lines if line[-1] == "kB"}
