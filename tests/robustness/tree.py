"""A daemon that is killed again and again: what systemd does for it, failpoints at any moment, and who lives."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmaps import Client
from lmaps.errors import LmapsError
from tests.daemons import RunningDaemon, is_alive, until

LAUNCH = """
import os, sys
from lmaps.cli.lmapsd import start
from lmaps.supervisor import slots
def sqlite_alone(event, args):
    if event == "open" and str(args[0]).endswith(("lmaps.db", "lmaps.db-wal", "lmaps.db-shm")):
        print("cannot go on: our own code has opened", args[0], file=sys.stderr, flush=True)
        os._exit(99)
sys.addaudithook(sqlite_alone)
slots.EARLY_S = slots.HEALTHY_S = 0.0
raise SystemExit(start())
"""
"""lmapsd, to which no death is one of a crash loop: here it is others who kill.

SQLite alone opens the database: whoever else did would, by closing it, give up all locks of the process on it.
"""


class Tree(RunningDaemon):
    """A daemon whose supervisor is started again when it ends, as systemd does it, until `end`."""

    def __init__(
        self, directory: Path, units: str = "", *options: str, source: Path | None = None, **config: Any
    ) -> None:
        self.armed = directory / "failpoints"
        self.starts = 0
        self._source = source
        self._ending = threading.Event()
        super().__init__(directory, units, *options, **config)
        self._keeper = threading.Thread(target=self._keep, args=options, daemon=True)
        self._keeper.start()

    def start(self, *options: str) -> None:
        """Start the daemon, each time with a log of its own."""
        self.starts += 1
        self.log = self.directory / f"log.{self.starts}"
        environment = self.environment | {"LMAPS_FAILPOINTS": f"@{self.armed}"}
        if self._source is not None:
            environment["PYTHONPATH"] = str(self._source)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, "--config", self.config_file, *options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=environment,
                cwd=self.directory,
            )

    def _keep(self, *options: str) -> None:
        while True:
            self.process.wait()
            if self._ending.is_set():
                return
            self.start(*options)

    def end(self, number: int = signal.SIGINT) -> int:
        """End the daemon for good; its exit code."""
        self._ending.set()
        return super().end(number)

    def arm(self, name: str, action: str = "kill") -> None:
        """Have the next process that comes to the failpoint act."""
        aside = self.armed.with_suffix(".new")
        aside.write_text(f"{name}={action}")
        aside.rename(self.armed)

    def has_acted(self) -> bool:
        """Whether a process has come to the failpoint."""
        return not self.armed.exists()

    def disarm(self) -> bool:
        """Have nobody act any more; whether nobody has."""
        with contextlib.suppress(FileNotFoundError):
            self.armed.unlink()
            return True
        return False

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to ``supervisor``, ``manager`` or ``worker N``, which has to be there; its pid."""
        pid: int = until(lambda: self.process.pid if name == "supervisor" else self.pid_of(name))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    def kill_all(self) -> list[int]:
        """Kill everything of the daemon and its jobs at once; what was there."""
        pids = [self.process.pid, *self.everything()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pids

    def tools(self) -> list[int]:
        """The processes of jobs, found by their tag."""
        tag = f"LMAPS_JOB={self.directory}/".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and any(
                    each.startswith(tag) for each in (entry / "environ").read_bytes().split(b"\0")
                ):
                    found.append(int(entry.name))
        return [pid for pid in found if is_alive(pid)]

    def logs(self) -> str:
        """What it has said since its first start."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.directory.glob("log.*")))


def seconds_until(condition: Callable[[], Any], begin: float, within: float = 20.0) -> float:
    """How long after ``begin`` (monotonic) the condition was true."""
    until(condition, within)
    return time.monotonic() - begin


def answers(client: Client, verb: str = "status", **args: Any) -> Any:
    """The answer's data, None if there is none now."""
    with contextlib.suppress(LmapsError):
        return client.call(verb, **args).extra
    return None


def percentiles(seconds: list[float]) -> str:
    """``p50 12, p99 30, max 31 ms`` of at least one measurement."""
    ordered = sorted(seconds)
    picked = [ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99, 1.0)]
    return "p50 {:.0f}, p99 {:.0f}, max {:.0f} ms".format(*(each * 1000 for each in picked))
