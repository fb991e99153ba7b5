"""What changes around a running daemon: the clock jumps, and its own package is replaced."""

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lmaps import Client
from lmaps.protocol import Request
from tests.acceptance.test_jobs import unit
from tests.daemons import WEB, RunningDaemon, until
from tests.robustness.tree import Tree

Rounds = Callable[[int, int], int]
Figure = Callable[[str, str], None]

ROOT = Path(__file__).parents[2]
CLOCK = """
import datetime, os
class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        with open(os.environ["CLOCK"]) as file:
            return datetime.datetime.now(tz) + datetime.timedelta(days=float(file.read() or 0))
from lmaps.util import times
from lmaps.manager import retention
times.datetime = retention.datetime = Shifted
from lmaps.cli.lmapsd import start
raise SystemExit(start())
"""
"""lmapsd with a wall clock that is as many days off as the file says that CLOCK names."""
DAYS = (3650, -3650, 1 / 24, -1 / 24, -20_000, 7.5, 0)
"""Ten years, the hour of summer time, the seventies, and back."""


class Elsewhen(RunningDaemon):
    """A daemon whose wall clock a test can set."""

    def start(self, *options: str) -> None:
        """Start the daemon; the clock is right."""
        self.clock = self.directory / "clock"
        self.set_clock(0)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", CLOCK, "--config", self.config_file, *options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self.environment | {"CLOCK": str(self.clock)},
                cwd=self.directory,
            )

    def set_clock(self, days: float) -> None:
        aside = self.clock.with_suffix(".new")
        aside.write_text(str(days))
        aside.rename(self.clock)


def test_the_clock_is_for_display_alone(short_path: Path, rounds: Rounds, seed: int, figure: Figure) -> None:
    slow = unit("slow", "sleep 60", timeout="1s")
    daemon = Elsewhen(short_path, f"{WEB}---\n{slow}")
    rng, jumps = random.Random(seed), rounds(7, 200)
    try:
        daemon.wait_ready()
        with daemon.client() as client:
            first = Request("create", {"unit": "web", "instances": [{"host": "first"}]}, key="first")
            told = client.ask(first)
            for number in range(1, jumps + 1):
                daemon.set_clock(DAYS[number - 1] if number <= len(DAYS) else rng.uniform(-7000, 7000))
                made = client.call("create", unit="web", instances=[{"host": f"h{number}"}])
                assert made.revision == number + 1
                assert client.ask(first).revision == told.revision == 1, "the key is known as before"
                job = client.call("apply", unit="web").job
                assert client.call("job", job=job, wait_ms=20_000).extra["job"]["state"] == "succeeded"
            job = client.call("apply", unit="slow").job
            until(lambda: client.call("job", job=job).extra["job"]["state"] == "running")
            daemon.set_clock(3650)
            assert client.call("job", job=job).extra["job"]["state"] == "running", "no limit is over by the wall clock"
            until(lambda: client.call("job", job=job).extra["job"]["state"] == "timed_out")
            history = client.call("history", unit="web", limit=1000).extra["changesets"]
            assert [row["revision"] for row in history] == list(range(jumps + 1, 0, -1))
            assert len({row["at"][:4] for row in history}) > 3, "the clock did jump"
            assert client.call("rollback", unit="web").extra["target"] == jumps + 1
        assert daemon.end(signal.SIGTERM) == 0
        assert "Traceback" not in daemon.output()
    finally:
        daemon.end()
    figure("29 the clock jumps", f"{jumps} jumps of up to 50 years: order, keys and time limits as without")


def everything(client: Client, number: int) -> None:
    """Every verb that a person would need, successfully."""
    host = f"h{number}"
    client.call("create", unit="web", instances=[{"host": host}])
    client.call("set", unit="web", id=host, instance={"host": host, "port": 81})
    client.call("rollback", unit="web")
    client.call("redo", unit="web")
    for verb in ("show", "history", "explain", "blame", "diff", "plan"):
        client.call(verb, unit="web")
    told = client.call("export", units=["web"]).extra["units"]
    client.call("import", units=[{"unit": "web", "instances": told[0]["instances"]}])
    client.call("unit_check", files=[{"name": "web.yaml", "text": WEB}])
    for verb in ("units", "status", "handlers", "audit", "jobs", "backup", "reload"):
        client.call(verb)
    for name in ("web", "tool"):
        job = client.call("apply", unit=name).job
        assert client.call("job", job=job, wait_ms=30_000).extra["job"]["state"] == "succeeded"


def test_a_daemon_goes_on_with_its_code_when_the_package_is_replaced(short_path: Path, figure: Figure) -> None:
    source = short_path / "source"
    source.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "lmaps", source / "lmaps", ignore=ignored)
    shutil.copytree(ROOT / "migrations", source / "migrations", ignore=ignored)
    tree = Tree(short_path, f"{WEB}---\n{unit('tool', 'cat')}", source=source)
    try:
        tree.wait_ready()
        with tree.client() as client:
            for module in (source / "lmaps").rglob("*.py"):
                module.write_text("raise ImportError('this is another version')\n")
            shutil.rmtree(source / "migrations")
            for cache in source.rglob("__pycache__"):
                shutil.rmtree(cache)
            again = subprocess.run(
                [sys.executable, "-c", "import lmaps"],
                env=tree.environment | {"PYTHONPATH": str(source)},
                capture_output=True,
                text=True,
                check=False,
            )
            assert "another version" in again.stderr, "this is what the daemon was started from"
            everything(client, 1)
            for name in ("worker 1", "worker 2", "manager"):
                pid = tree.kill(name)
                until(lambda name=name, pid=pid: tree.pid_of(name) not in (pid, None))
            everything(client, 2)
        assert tree.process.poll() is None
        assert "another version" not in tree.logs()
        assert "Traceback" not in tree.logs()
    finally:
        tree.end()
    figure(
        "57 the package is replaced under a running daemon",
        "every verb, applies, killed children: the old code goes on",
    )
