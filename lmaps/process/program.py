"""`Program`: what to run, as a handler says it."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

EVENT_FD = "LMAPS_EVENT_FD"
"""The variable that tells a program which descriptor takes its events, a JSON object a line."""
JOB_TAG = "LMAPS_JOB"
"""The variable that marks every process of a job, so that it is found whatever it does to detach."""

BASE_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}


def call(argv: Sequence[str]) -> int:
    """Run a program to its end, within a program of ours that is swept itself; its exit code, 127 if there is none."""
    environment = {**BASE_ENVIRONMENT, **{name: os.environ[name] for name in ("HOME", JOB_TAG) if name in os.environ}}
    sys.stdout.flush()
    try:
        return subprocess.run(list(argv), env=environment, stdin=subprocess.DEVNULL, check=False).returncode  # noqa: S603 (a list, never a shell)
    except OSError as error:
        print(f"cannot start {argv[0]}: {error.strerror}")
        return 127


@dataclass(frozen=True, slots=True)
class Warm:
    """How a program that is written in Python starts warm: forked off a helper that has it loaded.

    ``preparation`` is a file that the helper runs, in the program's own interpreter; `forker` says what has to be in
    it. ``varies`` are the variables of the environment that it can set anew for each run.
    """

    preparation: Path
    varies: frozenset[str]


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run.

    ``argv`` is never read by a shell. ``files`` (name to content) are written into the job's folder first, mode 0600.
    ``environment`` is added to a fixed one (PATH, LANG, HOME), nothing is inherited. ``cwd`` is the job's folder
    unless set. ``success`` are the exit codes that mean success, ``changed`` those of them that mean a change.
    ``events`` asks for an event pipe. ``warm`` says how to start it faster, if that can be.
    """

    argv: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    cwd: str | None = None
    success: frozenset[int] = frozenset({0})
    changed: frozenset[int] = frozenset()
    events: bool = False
    warm: Warm | None = None
