"""Real daemons for tests: started, talked to, killed, and swept away."""

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from lmaps.testing import POLL_S, TemporaryDaemon

BIN = Path(sys.executable).parent

WEB = """\
meta: {name: web, data_type: YamlKeyList, store_key: vhosts, primary_key: host, strict: true}
handler: {type: noop}
params:
  type: object
  required: [host]
  properties:
    host: {type: string, format: hostname}
    port: {type: integer, minimum: 1, maximum: 65535, default: 80}
    tls: {type: boolean, default: false}
"""


def until(condition: Callable[[], Any], within: float = 20.0) -> Any:
    """What ``condition`` gives as soon as it is true; fails after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, "what was waited for has not come"
        select.select([], [], [], POLL_S)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


class RunningDaemon(TemporaryDaemon):
    """A daemon whose processes can be looked at, and killed."""

    def __init__(self, directory: Path, units: str = "", *options: str, workers: int = 2, **config: Any) -> None:
        super().__init__(directory, units or WEB, *options, workers=workers, **config)

    def pid_of(self, name: str) -> int | None:
        """The pid of ``manager`` or ``worker N`` as ``ps`` shows it."""
        wanted = f"lmapsd: {name}".encode()
        for pid in self.children():
            try:
                if Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0") == wanted:
                    return pid
            except OSError:
                continue
        return None

    def children(self) -> list[int]:
        """The pids of the daemon's children that run."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split() if is_alive(int(pid))] if path.exists() else []

    def everything(self) -> list[int]:
        """Every process that was started by this daemon or by its jobs, found by where it works or by its home."""
        home = f"HOME={self.directory}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and (
                    (entry / "cwd").readlink() == self.directory  # a process title covers the environment
                    or home in (entry / "environ").read_bytes().split(b"\0")
                ):
                    found.append(int(entry.name))
        return [pid for pid in found if is_alive(pid)]

    def end(self, number: int = signal.SIGINT) -> int:
        """End the daemon, and whatever a test has made it leave behind; its exit code."""
        try:
            return super().end(number)
        finally:
            for pid in self.everything():
                os.kill(pid, signal.SIGKILL)


class Raw:
    """A client that sends what it likes."""

    def __init__(self, endpoint: str) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(endpoint)

    def ask(self, *frames: bytes) -> dict[str, Any]:
        self.socket.send_multipart([b"", *frames])
        assert self.socket.poll(10_000), "no answer"
        answer: dict[str, Any] = json.loads(self.socket.recv_multipart()[1])
        return answer

    def close(self) -> None:
        self.context.destroy(0)
