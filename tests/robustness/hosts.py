"""A daemon on a host whose power is cut: nothing more reaches its disk, nothing of it lives on, and it boots again."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.daemons import is_alive, until
from tests.robustness.disks import DiskHealth, disk
from tests.robustness.tree import Tree


class Cut(NamedTuple):
    """When power was cut (monotonic), and when nothing lived any more: what was answered between counts for nothing."""

    begin: float
    end: float


class Host(Tree):
    """A daemon whose state is on a disk of its own. It starts when there is power, each time anew."""

    def __init__(self, directory: Path, its: DiskHealth, units: str, *, state: str = "state", **config: Any) -> None:
        self.disk = its
        self.database = its.place / state / "lmaps.db"
        self._power = threading.Event()
        self._power.set()
        super().__init__(directory, units, db=str(self.database), **config)

    def start(self, *options: str) -> None:
        """Start the daemon as soon as there is power."""
        self._power.wait()
        if not self._ending.is_set():
            super().start(*options)

    def end(self, number: int = signal.SIGINT) -> int:
        """End the daemon for good; its exit code."""
        self._ending.set()
        self._power.set()
        return super().end(number)

    def cut_power(self, *, stopped: bool) -> Cut:
        """Cut power and boot; ``stopped`` has the manager do nothing more when the disk goes.

        Otherwise an fsync that is under way may come back without having reached the disk.
        """
        self._power.clear()
        if stopped:
            until(self.is_stopped)
        begin = time.monotonic()
        self.disk.cut_power()
        killed: set[int] = set()
        until(lambda: self._is_dark(killed))
        end = time.monotonic()
        self.disk.unmount()
        self.disk.mount()
        self._power.set()
        return Cut(begin, end)

    def _is_dark(self, killed: set[int]) -> bool:
        """Kill whatever lives; whether nothing does, nor did when it was looked at last."""
        living = self.everything()
        for pid in living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed.update(living)
        return not living and not any(map(is_alive, killed))

    def is_stopped(self) -> bool:
        """Stop the manager; whether it has stopped. One that has just been forked is waited for."""
        pid = self.pid_of("manager")
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        return state_of(pid) == "T"


def state_of(pid: int) -> str:
    """How a process does, by a letter: ``T`` when it is stopped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


@contextlib.contextmanager
def host(directory: Path, units: str, **config: Any) -> Iterator[Host]:
    """A host of its own; nothing of it is left afterwards."""
    with disk(directory) as its:
        made = Host(directory, its, units, **config)
        try:
            yield made
        finally:
            made.end()
