"""`Program`: what to run, as a handler describes it."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

EVENT_FD = "LMAPS_EVENT_FD"
"""Environment variable with the number of the descriptor that takes a program's events, one JSON object a line."""
JOB_TAG = "LMAPS_JOB"
"""Environment variable that marks every process of a job: they are found by it, whatever they do to detach."""

BASE_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",  # without it Python programs would print ASCII only
}

NOT_STARTED = 127
"""Exit code of a command that cannot be started, as shells have it."""


def run_command(argv: Sequence[str]) -> int:
    """Run a command to its end and return its exit code, `NOT_STARTED` with a printed reason if it cannot be started.

    For pure-Python handlers, which run in a process of their own: nothing here limits or sweeps the command.
    """
    # JOB_TAG has to be passed on: without it a sweep after the worker's death would miss what the command started.
    environment = {**BASE_ENVIRONMENT, **{name: os.environ[name] for name in ("HOME", JOB_TAG) if name in os.environ}}
    sys.stdout.flush()  # else what the handler has printed so far would come after the command's output
    try:
        return subprocess.run(list(argv), env=environment, stdin=subprocess.DEVNULL, check=False).returncode  # noqa: S603 (a list, never a shell)
    except OSError as error:
        print(f"cannot start {argv[0]}: {error.strerror}")
        return NOT_STARTED


@dataclass(frozen=True, slots=True)
class WarmStart:
    """How a program written in Python is started warm: forked from a process that has it loaded.

    ``preparation`` is a Python file that this process runs in the program's own interpreter; `lmaps.process.forker`
    says what it has to define. ``per_run_variables`` are the environment variables it can set anew for each run.
    """

    preparation: Path
    per_run_variables: frozenset[str]


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run.

    argv         the program and its arguments; never read by a shell
    files        name to content: written into the job's folder before the start, mode 0600
    environment  added to a fixed one (PATH, LANG, HOME); nothing of the daemon's is inherited
    stdin        what the program reads from its standard input
    cwd          working directory; default: the job's folder
    success      exit codes that mean success
    changed      those of them that mean that something changed
    events       whether the program gets an event pipe, see `EVENT_FD`
    warm         how to start it faster, where that is possible
    """

    argv: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    cwd: str | None = None
    success: frozenset[int] = frozenset({0})
    changed: frozenset[int] = frozenset()
    events: bool = False
    warm: WarmStart | None = None
