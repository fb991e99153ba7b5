"""`Slot`: a place that a child fills, one after the other."""

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lmaps.config import Log
from lmaps.supervisor.backoff import Backoff
from lmaps.supervisor.children import Child, fork

log = logging.getLogger(__name__)


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
        code = child.bury()
        self.child = None
        self._wait_after(time.monotonic() - child.started)
        return code

    def signal(self, number: int) -> None:
        """Send a signal to the child here, if there is one."""
        if self.child is not None:
            self.child.signal(number)

    def _wait_after(self, lived: float) -> None:
        self.due = time.monotonic() + self.backoff.after(lived)
