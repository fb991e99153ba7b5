"""`Slot`: a place that a child fills, one after the other."""

import logging
import random
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lmaps.config import Log
from lmaps.process import sweep_tag
from lmaps.supervisor.children import Child, fork
from lmaps.supervisor.locks import make_directory
from lmaps.util.text import plural

log = logging.getLogger(__name__)

FIRST = 0.1
LONGEST = 30.0
"""Seconds of the first wait and of the longest; each is about twice the one before."""
HEALTHY = 60.0
"""Seconds of life after which earlier deaths are forgotten."""
EARLY = 10.0
"""A child that dies within so many seconds of its start died early."""


class Backoff:
    """Counts the deaths of one slot's children. ``early`` is how many in a row died early."""

    def __init__(self) -> None:
        self.early = 0
        self._deaths = 0

    def after(self, lived: float) -> float:
        """Seconds to wait, now that a child has died which lived for ``lived`` seconds: none the first time."""
        self.early = self.early + 1 if lived < EARLY else 0
        if lived >= HEALTHY:
            self._deaths = 0
        self._deaths += 1
        if self._deaths == 1:
            return 0.0
        doubled = FIRST * float(2 ** min(self._deaths - 2, 16))
        return min(LONGEST, doubled * random.uniform(0.8, 1.2))  # noqa: S311 (no secret)


@dataclass(slots=True)
class Slot:
    """A place that is to be filled: number 0 is the manager's, the others are workers'.

    ``child`` is who fills it, ``due`` when (monotonic) the next one may.
    """

    number: int
    child: Child | None = None
    due: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)

    @property
    def name(self) -> str:
        """What the child here is called, in ``ps`` too."""
        return f"worker {self.number}" if self.number else "manager"

    def fill(self, role: Callable[[socket.socket], None], settings: Log) -> None:
        """Start a child here if there is none and it is time; one that cannot be forked is tried again later."""
        if self.child is not None or time.monotonic() < self.due:
            return
        try:
            self.child = fork(self.name, role, settings)
        except OSError as error:
            self._wait_after(0.0)
            log.error("cannot fork %s: %s", self.name, error.strerror)
            return
        log.debug("%s runs, pid %d", self.name, self.child.pid)

    def clear(self, child: Child) -> int:
        """``child``, which was here, has ended: its exit code. The next one may have to wait."""
        code = child.reap()
        self.child = None
        self._wait_after(time.monotonic() - child.started)
        return code

    def signal(self, number: int) -> None:
        """Send a signal to the child here, if there is one."""
        if self.child is not None:
            self.child.signal(number)

    def _wait_after(self, lived: float) -> None:
        self.due = time.monotonic() + self.backoff.after(lived)


def sweep_slots(jobs: Path) -> None:
    """End the tools of every job that was cut off, whichever slot it ran in."""
    make_directory(jobs)
    for slot in jobs.iterdir():
        sweep_slot(slot)


def sweep_slot(slot: Path) -> None:
    """End the tools of the jobs that were cut off in this slot, and remove what lies in their folders."""
    for folder in slot.iterdir() if slot.is_dir() else ():
        killed = sweep_tag(folder)
        if killed:
            log.warning("job %s was cut off: %s killed", folder.name, plural(killed, "process", "processes"))
        shutil.rmtree(folder, ignore_errors=True)
