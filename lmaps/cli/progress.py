"""The line at the bottom of a terminal that says how far a job is."""

from typing import Any

from lmaps.cli.session import Session
from lmaps.util.text import plural
from lmaps.util.times import age

CLEAR = "\r\x1b[2K"
EVERY_MS = 1000
"""How often the line is drawn anew while nothing happens."""


class Progress:
    """``task 3 of 7, 2 hosts, 12.3 s``: from a job's events, on a terminal alone."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.shown = bool(session.stderr.isatty()) and not session.quiet
        self._tasks = self._total = 0
        self._hosts: set[str] = set()
        self._drawn = False

    def hear(self, line: dict[str, Any]) -> None:
        """Take in a line of the job."""
        event = line.get("event") or {}
        if event.get("event") == "playbook_on_play_start":
            self._total += event.get("tasks") or 0
        if event.get("event") == "playbook_on_task_start":
            self._tasks += 1
        if event.get("host"):
            self._hosts.add(event["host"])

    def draw(self, job: dict[str, Any]) -> None:
        """Say how far it is."""
        if not self.shown or job["state"] != "running":
            return
        task = [f"task {self._tasks}" + (f" of {max(self._total, self._tasks)}" if self._total else "")]
        hosts = [plural(len(self._hosts), "host")]
        told = [*(task if self._tasks else []), *(hosts if self._hosts else []), age(job["started_at"])[: -len(" ago")]]
        self._session.stderr.write(f"{CLEAR}      {', '.join(told)}")
        self._session.stderr.flush()
        self._drawn = True

    def clear(self) -> None:
        """Make room for a line of the job."""
        if self._drawn:
            self._session.stderr.write(CLEAR)
            self._drawn = False
