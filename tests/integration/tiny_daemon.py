"""A real supervisor with tiny children, for the tests: ``tiny_daemon.py FOLDER MANAGER WORKER [GRACE]``.

The children write what happens to them into FOLDER/events, a line each.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from lmaps.config.settings import Config
from lmaps.errors import AnotherDaemon, ConfigError, LmapsError, StateUnusable, UsageError
from lmaps.process import JOB_TAG
from lmaps.supervisor.report import print_error
from lmaps.supervisor.roles import Boot, Roles
from lmaps.supervisor.supervisor import Daemon
from lmaps.util.heartbeat import SupervisorChannel
from lmaps.util.logs import set_up_logging

FOLDER = Path(sys.argv[1])


def event(text: str) -> None:
    with (FOLDER / "events").open("a") as events:
        events.write(text + "\n")


def on_term(name: str) -> None:
    def leave(*_: object) -> NoReturn:
        event(f"{name} ended")
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)


def serve(_config: Config, boot: Boot, line: socket.socket) -> None:
    """A manager that is idle unless there is a file called busy."""
    on_term("manager")
    event(f"manager {os.getpid()} {len(boot.id)}")
    channel = SupervisorChannel(line)
    channel.report({"ready": {"units": 1, "revision": 0, "endpoints": ["ipc:///m.sock"]}})
    draining = False
    while not (FOLDER / "manager hangs").exists():
        channel.beat()
        if select.select(channel.fds(), [], [], 0.05)[0]:
            order = channel.receive() or {}
            event(f"manager was told {order}")
            draining = draining or "drain" in order
        if (FOLDER / "replace").exists():
            (FOLDER / "replace").unlink()
            channel.report({"replace": 1})
        if draining and not (FOLDER / "busy").exists():
            channel.report({"drained": True})
    hang()


def hang() -> NoReturn:
    """Do something for ever."""
    while True:
        os.getppid()


def crash(*_: object) -> None:
    os._exit(3)


def close_line(_config: Config, _boot: Boot, line: socket.socket) -> None:
    """A manager that ends its line before it ends itself."""
    line.close()
    os._exit(3)


def refuse(error: type[Exception], *_: object) -> None:
    raise error("cannot be this child")


def start_thread(*_: object) -> None:
    """Never runs: the supervisor has a thread and so does not fork."""


def idle(_config: Config, _boot: Boot, slot: int, line: socket.socket) -> None:
    """A worker that leaves when it is told to, or when the supervisor is gone."""
    on_term("worker")
    event(f"worker {slot} {os.getpid()}")
    channel = SupervisorChannel(line)
    while not select.select(channel.fds(), [], [], 0.2)[0]:
        channel.beat()
        if slot == 1 and (FOLDER / "worker hangs").exists():
            hang()
    event("worker is alone")


def deaf(_config: Config, _boot: Boot, slot: int, _line: socket.socket) -> None:
    """A worker that only SIGKILL ends."""
    signal.signal(signal.SIGTERM, lambda *_: event("worker heard TERM"))
    event(f"worker {slot} {os.getpid()}")
    while True:
        signal.pause()


def busy(config: Config, boot: Boot, slot: int, line: socket.socket) -> None:
    """Worker 1 starts, once, a tool that detaches itself; its successors see whether it lives."""
    if slot == 1 and not (FOLDER / "tool").exists():
        job = FOLDER / "jobs" / "1" / "7"
        job.mkdir(parents=True)
        start_tool("60", **{JOB_TAG: str(job)})
    if slot == 1:
        event(f"the tool lives: {is_alive(int((FOLDER / 'tool').read_text()))}")
    idle(config, boot, slot, line)


def orphan(config: Config, boot: Boot, slot: int, line: socket.socket) -> None:
    """Worker 1 leaves, once, a short program behind when it is killed."""
    if slot == 1 and not (FOLDER / "tool").exists():
        start_tool("0.5")
    idle(config, boot, slot, line)


def start_tool(seconds: str, **environment: str) -> None:
    tool = subprocess.Popen(["sleep", seconds], env=os.environ | environment, start_new_session=True)
    (FOLDER / "tool").write_text(str(tool.pid))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


ROLES: dict[str, Callable[..., None]] = {
    "serve": serve,
    "crash": crash,
    "close_line": close_line,
    "thread": start_thread,
    "2": partial(refuse, UsageError),
    "65": partial(refuse, StateUnusable),
    "75": partial(refuse, AnotherDaemon),
    "78": partial(refuse, ConfigError),
    "idle": idle,
    "deaf": deaf,
    "busy": busy,
    "orphan": orphan,
}


def configuration() -> Config:
    values: dict[str, Any] = {
        "file": None,
        "uid": os.getuid(),
        "document": None,
        "rpc": {
            "manager_bind": [f"ipc://{FOLDER}/m.sock"],
            "worker_bind": f"ipc://{FOLDER}/i.sock",
            "timeout": 30.0,
        },
        "workers": 2,
        "db": str(FOLDER / "lmaps.db"),
        "state_key": None,
        "user": "root",
        "group": None,
        "policy": None,
        "units": [],
        "unit_dirs": [],
        "plugin_dirs": [],
        "limits": {"connections": 64},
        "log": {"level": "debug", "format": "text"},
    }
    return Config.of(values)


def main(manager: str, worker: str, grace: str = "60") -> int:
    if manager == "thread":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    set_up_logging("supervisor", "debug")
    try:
        return Daemon(configuration(), float(grace), Roles(ROLES[manager], ROLES[worker])).run()
    except LmapsError as error:
        print_error(error)
        return error.daemon_level


if __name__ == "__main__":
    sys.exit(main(*sys.argv[2:]))
