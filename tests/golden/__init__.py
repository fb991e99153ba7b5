"""Golden states: databases and exports of past versions, which every later version opens and takes in equal.

Each directory with a number, that of its tables, has what the version of that time has written, and the commands that
it was asked for. `tests.golden.make` makes the one of this version; those of past versions are kept as they are.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from lmaps.store import open_store
from lmaps.testing import TemporaryDaemon

HERE = Path(__file__).parent
HANDLERS = str(HERE / "handlers")
STATE, UNFINISHED = "state.db", "unfinished.db"
"""Databases: one whose jobs are over, and one with jobs that run, wait, are to be confirmed and are taken back."""


class Golden:
    """What one version has written: a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def units(self) -> str:
        """The texts of the units as they are now."""
        return (self.directory / "units.yaml").read_text()

    @property
    def commands(self) -> dict[str, list[str]]:
        """The commands whose output is kept, by the name of its file; the output of ``--tree`` is a directory."""
        commands: dict[str, list[str]] = json.loads((self.directory / "commands.json").read_text())
        return commands

    def text(self, name: str) -> str:
        """What is kept under this name, byte for byte."""
        return (self.directory / name).read_bytes().decode()

    def answer(self, name: str) -> Any:
        """The JSON that is kept under this name."""
        return json.loads(self.text(name))


def all_golden() -> list[Golden]:
    """What all versions have written, oldest first."""
    return [Golden(path) for path in sorted(HERE.glob("[0-9]*")) if path.is_dir()]


def output(daemon: TemporaryDaemon, arguments: list[str]) -> str:
    """What a command writes on stdout. Exit code 1 says that something differs."""
    done = daemon.lmaps(*arguments, timeout=300)
    assert done.returncode in (0, 1) and not done.stderr.startswith("cannot"), done.stderr
    return done.stdout


def tree(directory: Path) -> dict[str, list[str]]:
    """The files of an exported tree by their directory, in their order: their names are times."""
    folders: dict[str, list[str]] = {}
    for file in sorted(directory.glob("*/*/*.yaml")):
        folders.setdefault(str(file.parent.relative_to(directory)), []).append(file.read_text())
    return folders


def beside(path: Path) -> dict[str, Any]:
    """What a database has beside the history, read by the store: jobs, their lines, answers, the audit."""
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as driver:
        keys = [key for (key,) in driver.execute("SELECT key FROM request ORDER BY key")]
    with open_store(str(path)) as store, store.transaction() as tx:
        jobs = tx.jobs.search()
        return {
            "jobs": [job._asdict() for job in jobs],
            "lines": [line._asdict() for job in jobs for line in tx.jobs.lines(job.id)],
            "requests": [request._asdict() for key in keys if (request := tx.requests.find(key))],
            "audit": [row._asdict() for row in tx.audit.search(limit=10_000)],
        }
