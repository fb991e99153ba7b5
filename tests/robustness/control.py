"""A client that is served while others do their worst, and what a process takes meanwhile."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lmaps import Client
from tests.daemons import RunningDaemon, until


@contextlib.contextmanager
def control(endpoint: str, pause: float = 0.01) -> Iterator[list[float]]:
    """Within the block a client asks one thing after the other: how long each answer took, in seconds."""
    waits: list[float] = []
    enough = threading.Event()

    def ask() -> None:
        with Client(endpoint) as client:
            while not enough.is_set():
                begin = time.monotonic()
                client.call("units")
                waits.append(time.monotonic() - begin)
                enough.wait(pause)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield waits
    finally:
        enough.set()
        thread.join()


class Taken(NamedTuple):
    """What a process takes: resident memory in MiB, descriptors, threads."""

    memory: float
    descriptors: int
    threads: int


def manager_of(daemon: RunningDaemon) -> int:
    """The manager's pid."""
    pid: int = until(lambda: daemon.pid_of("manager"))
    return pid


def taken_by(pid: int) -> Taken:
    """What a process takes now."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Taken(int(status["VmRSS"].split()[0]) / 1024, descriptors, int(status["Threads"]))


def settles_at(pid: int, before: Taken, spare: int = 2) -> Taken:
    """What a process takes as soon as it has no more descriptors than before, but ``spare`` of them."""
    until(lambda: taken_by(pid).descriptors <= before.descriptors + spare, 60)
    return taken_by(pid)
