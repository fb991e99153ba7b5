"""Finding and ending what a program left behind, whatever it did to detach.

A worker is a sub-reaper: what its tool orphans comes back to it, and is found by descent. When the worker itself was
killed the supervisor finds the tool's processes by the tag in their environment. Zombies count as gone.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from lmaps.process.program import JOB_TAG

PR_SET_CHILD_SUBREAPER = 36
ROUNDS_WITHIN = 2.0
"""Seconds that a sweep may take; what cannot be killed by then is in the kernel's hands."""


def set_subreaper() -> None:
    """Have orphans of this process's descendants come back to it."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _processes() -> Iterator[tuple[int, int, str]]:
    """Pid, parent and state of every process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
                yield int(entry.name), int(after_name[1]), after_name[0]


def descendants(pid: int, spare: Collection[int] = ()) -> list[int]:
    """The living processes below ``pid``, but for those to ``spare`` and what is below them."""
    children: dict[int, list[int]] = defaultdict(list)
    alive = set()
    for child, parent, state in _processes():
        children[parent].append(child)
        if state not in ("Z", "X"):
            alive.add(child)
    found: list[int] = []
    level = [pid]
    while level:
        level = [below for each in level for below in children[each] if below not in spare]
        found += level
    return [child for child in found if child in alive]


def sweep_descendants(*, spare: Collection[int] = ()) -> int:
    """Kill everything below this process but ``spare`` and what is below them; how many processes were killed."""
    return _until_none(lambda: descendants(os.getpid(), spare))


def sweep_tag(folder: Path) -> int:
    """Kill every process that carries the tag of ``folder`` or of a folder in it; how many were killed."""
    return _until_none(lambda: list(tagged(folder)))


def tagged(folder: Path) -> Iterator[int]:
    """The living processes that carry the tag of ``folder`` or of a folder in it."""
    exact = f"{JOB_TAG}={folder}".encode()
    for pid, _, state in _processes():
        if state in ("Z", "X") or pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if any(entry == exact or entry.startswith(exact + b"/") for entry in environment):
                yield pid


def _until_none(find: Callable[[], list[int]]) -> int:
    """Kill what ``find`` finds, round by round, until two rounds find nothing.

    A process may fork while it is looked for, and one that is just being executed shows no environment yet.
    """
    killed: set[int] = set()
    deadline = time.monotonic() + ROUNDS_WITHIN
    empty = 0
    while empty < 2 and time.monotonic() < deadline:
        found = find()
        empty = 0 if found else empty + 1
        for pid in found:
            kill(pid)
        killed.update(found)
        os.sched_yield()
    return len(killed)


def reap_orphans(own: Collection[int]) -> None:
    """Reap zombies that came back to this process; ``own`` are children that somebody else waits for."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in own:
            return
        with contextlib.suppress(ChildProcessError):
            os.waitpid(ended.si_pid, 0)


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
