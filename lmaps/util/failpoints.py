"""Failpoints: named places in the code where a test can make a process die, stop, wait or fail.

They are off unless ``LMAPS_FAILPOINTS`` is set when the daemon (or ``lmaps``) starts: a list of ``NAME=ACTION``,
separated by ``;``. The actions are ``kill``, ``stop``, ``segv`` (send that signal to the process), ``raise(28)`` (raise
`OSError` with that number) and ``sleep(2000)`` (milliseconds). An action happens once, when the point is first reached;
``3*ACTION`` happens the third time, ``each*ACTION`` every time. All processes of a daemon share the counts, so that the
process which replaces a killed one goes on.

``LMAPS_FAILPOINTS=@FILE`` reads the list from FILE at each point; the file may appear while the daemon runs. Counting
starts then, and the process that acts removes the file first. The names of all points that were reached are appended
to the file ``LMAPS_FAILPOINT_HITS``, one per line.
"""

import mmap
import os
import re
import select
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lmaps.errors import UsageError

POINTS = {
    "start": "the manager has opened its state, and does not listen yet",
    "recv": "a request was taken from the socket",
    "valid": "the arguments of a request are valid",
    "batch.begin": "the transaction of a group is open",
    "batch.again": "a group has failed, and its requests run again one by one",
    "batch.before_commit": "all requests of a group have run",
    "batch.after_commit": "a group is committed, and no request of it is answered",
    "batch.mid_reply": "some requests of a group are answered",
    "change.mid": "a changeset is written, the changes in it are not",
    "rollback.before": "a rollback, redo or revert begins",
    "rollback.after": "a rollback, redo or revert is written",
    "import.mid": "one unit of an import is written",
    "export.mid": "one unit of an export is read",
    "backup.mid": "the copy of the state is written",
    "job.before_enqueue": "a job is about to be written",
    "job.after_enqueue": "a job is written",
    "job.coalesce": "a job is covered by one that waits",
    "dispatch.before": "a job is marked as running, and this is not committed",
    "dispatch.after": "a job is committed as running, and not sent to its worker",
    "dispatch.sent": "a job was sent to its worker",
    "result.recv": "the result of a job was received",
    "result.before_commit": "the result of a job is written",
    "result.after_commit": "the result of a job is committed, and its worker does not know",
    "adopt": "a restarted manager has found a job that still runs",
    "confirm.armed": "a job that is to be confirmed is marked as running",
    "confirm.probe": "a probe is about to be run",
    "confirm.due": "a job was not confirmed in time, and is about to be undone",
    "confirm.undone": "the outcome of an undo is written",
    "reload.before_swap": "new units have been loaded and checked",
    "reload.after_swap": "new units are in use",
    "migrate.backup": "a database that is about to be upgraded was copied",
    "migrate.step": "a step of an upgrade is done, or the tables of a new database are made",
    "worker.got": "a worker was given a task",
    "worker.before_spawn": "a tool is about to be started",
    "worker.after_spawn": "a tool was started",
    "worker.mid_run": "a tool has written a line",
    "worker.after_exit": "a tool has exited",
    "worker.before_send": "the result of a task is about to be sent",
    "worker.after_send": "the result of a task was sent",
    "supervisor.before_fork": "a child is about to be forked",
    "supervisor.after_fork": "a child was forked",
    "supervisor.reaped": "a child that has exited was reaped",
    "supervisor.before_sweep": "processes that a worker has left are about to be killed",
    "supervisor.stopping": "the daemon is to stop",
    "export.before_rename": "an export of the command line is written to a temporary file",
    "export.after_rename": "an export of the command line has its final name",
}
"""Every failpoint, and the state of the process when it is reached."""

_ENTRY = re.compile(r"\s*([\w.]+)=(?:(\d+|each)\*)?(?:(kill|stop|segv)|(raise|sleep)\((\d+)\))\s*\Z")
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "segv": signal.SIGSEGV}


@dataclass(frozen=True, slots=True)
class Action:
    """What a failpoint does; ``at`` is the number of the hit at which it does so, 0 for each."""

    at: int
    kind: str
    number: int

    def do(self) -> None:
        """Do it in this process."""
        match self.kind:
            case "raise":
                raise OSError(self.number, os.strerror(self.number))
            case "sleep":
                select.select([], [], [], self.number / 1000)
            case kind:
                os.kill(os.getpid(), _SIGNALS[kind])


def parse(text: str) -> dict[str, Action]:
    """Return the actions of a list by the names of their points; raise `UsageError` for an unknown one."""
    actions = {}
    for entry in filter(str.strip, text.split(";")):
        match = _ENTRY.match(entry)
        if match is None or match[1] not in POINTS:
            raise UsageError(
                f"cannot understand the failpoint {entry.strip()!r}", hint=f"the failpoints are {', '.join(POINTS)}"
            )
        at = 0 if match[2] == "each" else int(match[2] or 1)
        actions[match[1]] = Action(at, match[3] or match[4], int(match[5] or 0))
    return actions


class Failpoints:
    """The failpoints of this process and of all processes forked from it."""

    def __init__(self, text: str, hits: str | None) -> None:
        self._file = Path(text[1:]) if text.startswith("@") else None
        self._actions = {} if self._file else parse(text)
        self._hits = hits
        self._counts = memoryview(mmap.mmap(-1, 8 * len(POINTS))).cast("Q")  # shared with forked processes

    def hit(self, name: str) -> None:
        """Count a hit of the point ``name``, and act if it is planned."""
        if self._hits is not None:
            with Path(self._hits).open("a") as file:
                file.write(f"{name}\n")
        action = self._planned().get(name)
        if action is None:
            return
        index = list(POINTS).index(name)
        self._counts[index] += 1
        if action.at not in (0, self._counts[index]):
            return
        if self._file is not None and action.at:
            self._counts[index] = 0  # the next file counts anew
            if not _removed(self._file):
                return
        action.do()

    def _planned(self) -> dict[str, Action]:
        if self._file is None:
            return self._actions
        try:
            return parse(self._file.read_text())
        except FileNotFoundError:
            return {}


def _removed(file: Path) -> bool:
    """Remove the file; return False if another process has removed it first."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True


_failpoints: Failpoints | None = None


def set_up_failpoints(environment: Mapping[str, str]) -> None:
    """Set the failpoints of this process and of those forked from it from the environment."""
    global _failpoints
    text = environment.get("LMAPS_FAILPOINTS")
    _failpoints = Failpoints(text, environment.get("LMAPS_FAILPOINT_HITS")) if text else None


def failpoint(name: str) -> None:
    """Mark a place where a test can make the process die, stop, wait or fail."""
    if _failpoints is not None:
        _failpoints.hit(name)
