"""Failpoints: named places in the code where a test has a process die, stop, wait or fail.

They are off unless ``LMAPS_FAILPOINTS`` is set when the daemon (or ``lmaps``) starts: a list of ``NAME=ACTION``, with
``;`` between. The actions are ``kill``, ``stop``, ``segv`` (the process gets that signal), ``raise(28)`` (an `OSError`
of that number) and ``sleep(2000)`` (milliseconds). An action happens once, when the point is reached first; as
``3*ACTION`` the third time, as ``each*ACTION`` every time. All processes of one daemon count together, so what took the
place of the one that died goes on.

``LMAPS_FAILPOINTS=@FILE`` has the list in FILE, which may come and go while the daemon runs: it counts from when it is
there, and whoever acts removes it first. The names of all points that were reached are appended to the file
``LMAPS_FAILPOINT_HITS``, one a line.
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
    "valid": "the arguments of a request fit",
    "batch.begin": "the transaction of a group is open",
    "batch.again": "a group has failed, and is run again one by one",
    "batch.before_commit": "all of a group has been done",
    "batch.after_commit": "a group is durable, and nobody has been answered",
    "batch.mid_reply": "some of a group have been answered",
    "change.mid": "a changeset is written, the changes in it are not",
    "rollback.before": "a rollback, redo or revert begins",
    "rollback.after": "a rollback, redo or revert is written",
    "import.mid": "one unit of an import is written",
    "export.mid": "one unit of an export is read",
    "backup.mid": "the copy of the state is written",
    "job.before_enqueue": "a job is about to be written",
    "job.after_enqueue": "a job is written",
    "job.coalesce": "a job is covered by one that waits",
    "dispatch.before": "a job is marked as running, and that is not durable",
    "dispatch.after": "a job is durably running, and its worker has not heard of it",
    "dispatch.sent": "a job was sent to its worker",
    "result.recv": "the end of a job was heard of",
    "result.before_commit": "the end of a job is written",
    "result.after_commit": "the end of a job is durable, and its worker does not know",
    "adopt": "a restarted manager has found a job that still runs",
    "confirm.armed": "a job that is to be confirmed is marked as running",
    "confirm.probe": "a probe is about to be run",
    "confirm.due": "a job was not confirmed in time, and is about to be undone",
    "confirm.undone": "what became of an undo is written",
    "reload.before_swap": "new units have been loaded and checked",
    "reload.after_swap": "new units are in use",
    "migrate.backup": "a database that is about to be upgraded was copied",
    "migrate.step": "a step of an upgrade is done, or the tables of a new database are made",
    "worker.got": "a worker was given a task",
    "worker.before_spawn": "a tool is about to be started",
    "worker.after_spawn": "a tool was started",
    "worker.mid_run": "a tool has said something",
    "worker.after_exit": "a tool has ended",
    "worker.before_send": "the end of a task is about to be told",
    "worker.after_send": "the end of a task was told",
    "supervisor.before_fork": "a child is about to be forked",
    "supervisor.after_fork": "a child was forked",
    "supervisor.reaped": "a child that has ended was reaped",
    "supervisor.before_sweep": "what a worker has left running is about to be ended",
    "supervisor.stopping": "the daemon was told to end",
    "export.before_rename": "a file of the command line is written aside",
    "export.after_rename": "a file of the command line has its name",
}
"""Every failpoint, and where it stands."""

_ENTRY = re.compile(r"\s*([\w.]+)=(?:(\d+|each)\*)?(?:(kill|stop|segv)|(raise|sleep)\((\d+)\))\s*\Z")
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "segv": signal.SIGSEGV}


@dataclass(frozen=True, slots=True)
class Action:
    """What a failpoint does, and at which of its hits (0: each)."""

    at: int
    kind: str
    number: int

    def do(self) -> None:
        """Do it, in this process."""
        match self.kind:
            case "raise":
                raise OSError(self.number, os.strerror(self.number))
            case "sleep":
                select.select([], [], [], self.number / 1000)
            case kind:
                os.kill(os.getpid(), _SIGNALS[kind])


def parse(text: str) -> dict[str, Action]:
    """The actions of a list, by the names of their points; `UsageError` for what is none."""
    actions = {}
    for entry in filter(str.strip, text.split(";")):
        found = _ENTRY.match(entry)
        if found is None or found[1] not in POINTS:
            raise UsageError(
                f"cannot understand the failpoint {entry.strip()!r}", hint=f"there are {', '.join(POINTS)}"
            )
        at = 0 if found[2] == "each" else int(found[2] or 1)
        actions[found[1]] = Action(at, found[3] or found[4], int(found[5] or 0))
    return actions


class Failpoints:
    """The failpoints of this process and of all that are forked from it."""

    def __init__(self, text: str, hits: str | None) -> None:
        self._file = Path(text[1:]) if text.startswith("@") else None
        self._actions = {} if self._file else parse(text)
        self._hits = hits
        self._counts = memoryview(mmap.mmap(-1, 8 * len(POINTS))).cast("Q")  # shared with what is forked

    def hit(self, name: str) -> None:
        """A process has come to the point ``name``."""
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
            self._counts[index] = 0
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
    """Whether this process, and no other one, has removed the file."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True


_failpoints: Failpoints | None = None


def set_up_failpoints(environment: Mapping[str, str]) -> None:
    """Do what the environment says, in this process and in those that are forked from it."""
    global _failpoints
    text = environment.get("LMAPS_FAILPOINTS")
    _failpoints = Failpoints(text, environment.get("LMAPS_FAILPOINT_HITS")) if text else None


def failpoint(name: str) -> None:
    """Here a test may have the process die, stop, wait or fail."""
    if _failpoints is not None:
        _failpoints.hit(name)
