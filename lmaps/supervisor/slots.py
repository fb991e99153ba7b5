"""`Slot`: the place of a child, filled by one child after the other."""

import logging
import random
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lmaps.config.settings import Log
from lmaps.process import sweep_tag
from lmaps.supervisor.children import Child, fork
from lmaps.supervisor.locks import make_directory
from lmaps.util.text import plural

log = logging.getLogger(__name__)

FIRST_DELAY_S = 0.1
"""The wait after the second of several short-lived children in a row; each further wait is about twice as long."""
MAX_DELAY_S = 30.0
MAX_DOUBLINGS = 16
HEALTHY_S = 60.0
"""After a child has lived this long, earlier deaths no longer count."""
EARLY_S = 10.0
"""A child that dies within this time of its start died early."""


class Backoff:
    """Counts the deaths of one slot's children. ``early`` is how many in a row died early."""

    def __init__(self) -> None:
        self.early = 0
        self._deaths = 0

    def record_death(self, lived_s: float) -> float:
        """Count the death of a child that lived for ``lived_s`` seconds, and return the seconds until the next start.

        The first death is followed by a start at once.
        """
        self.early = self.early + 1 if lived_s < EARLY_S else 0
        if lived_s >= HEALTHY_S:
            self._deaths = 0
        self._deaths += 1
        if self._deaths == 1:
            return 0.0
        doubled = FIRST_DELAY_S * float(2 ** min(self._deaths - 2, MAX_DOUBLINGS))
        # Spread at random, or slots that died together would start together, again and again.
        return min(MAX_DELAY_S, doubled * random.uniform(0.8, 1.2))  # noqa: S311 (no secret)


@dataclass(slots=True)
class Slot:
    """The place of a child: number 0 is the manager's, the others are workers'.

    ``child`` is the one that runs now. ``start_at`` (monotonic) is when the next one may start.
    """

    number: int
    child: Child | None = None
    start_at: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)

    @property
    def name(self) -> str:
        """The name of the child, in ``ps`` too."""
        return f"worker {self.number}" if self.number else "manager"

    def start_child(self, role: Callable[[socket.socket], None], settings: Log) -> None:
        """Start a child if none runs and the wait is over; if the fork fails, it is tried again later."""
        if self.child is not None or time.monotonic() < self.start_at:
            return
        try:
            self.child = fork(self.name, role, settings)
        except OSError as error:
            self._delay_start(lived_s=0.0)
            log.error("cannot fork %s: %s", self.name, error.strerror)
            return
        log.debug("%s runs, pid %d", self.name, self.child.pid)

    def reap_child(self, child: Child) -> int:
        """Reap ``child``, which ran here and has ended; return its exit code."""
        code = child.reap()
        self.child = None
        self._delay_start(time.monotonic() - child.started)
        return code

    def signal(self, number: int) -> None:
        """Send a signal to the child, if one runs."""
        if self.child is not None:
            self.child.signal(number)

    def _delay_start(self, lived_s: float) -> None:
        self.start_at = time.monotonic() + self.backoff.record_death(lived_s)


def sweep_slots(jobs: Path) -> None:
    """End the processes of every job that was cut off, in all slots below the folder ``jobs``."""
    make_directory(jobs)
    for slot in jobs.iterdir():
        sweep_slot(slot)


def sweep_slot(slot: Path) -> None:
    """End the processes of the jobs that were cut off in this slot, and remove their folders."""
    for folder in slot.iterdir() if slot.is_dir() else ():
        killed = sweep_tag(folder)
        if killed:
            log.warning("job %s was cut off: %s killed", folder.name, plural(killed, "process", "processes"))
        shutil.rmtree(folder, ignore_errors=True)
