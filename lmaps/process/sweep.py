"""Finding and killing what a program left behind, whatever it did to detach.

Killing the process group is not enough: Ansible's task workers call setsid and go on as root. A worker is a
sub-reaper: orphans of its tool become its own children and are found by descent. When the worker itself was killed the
supervisor finds the tool's processes by the tag in their environment. Zombies count as gone: some containers' process 1
never reaps them.
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
SWEEP_TIMEOUT_S = 2.0
"""A process that cannot be killed within this time hangs in the kernel, and waiting longer would not help."""
QUIET_ROUNDS = 2
"""Rounds in which nothing is found before a sweep ends: one may miss a process that forks just then."""
DEAD_STATES = ("Z", "X")


def set_subreaper() -> None:
    """Have the kernel hand orphans of this process's descendants to this process."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _processes() -> Iterator[tuple[int, int, str]]:
    """Yield pid, parent and state of every process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it may end while it is read
                # A program can give itself a name with ") R 1" in it, or of bytes that are no text: count from the
                # last bracket.
                after_name = (entry / "stat").read_bytes().rpartition(b")")[2].decode().split()
                yield int(entry.name), int(after_name[1]), after_name[0]


def descendants(pid: int, spare: Collection[int] = ()) -> list[int]:
    """Return the living processes below ``pid``, except those in ``spare`` and what is below them."""
    children: dict[int, list[int]] = defaultdict(list)
    alive = set()
    for child, parent, state in _processes():
        children[parent].append(child)
        if state not in DEAD_STATES:
            alive.add(child)
    below: list[int] = []
    level = [pid]
    while level:  # dead ones are walked through too: a zombie leader may still have living children
        level = [child for parent in level for child in children[parent] if child not in spare]
        below += level
    return [child for child in below if child in alive]


def sweep_descendants(*, spare: Collection[int] = ()) -> int:
    """Kill everything below this process except ``spare`` and what is below them; return how many were killed."""
    return _kill_until_none(lambda: descendants(os.getpid(), spare))


def sweep_tag(folder: Path) -> int:
    """Kill every process that carries the tag of ``folder`` or of a folder in it; return how many were killed."""
    return _kill_until_none(lambda: list(tagged_processes(folder)))


def tagged_processes(folder: Path) -> Iterator[int]:
    """Yield the living processes that carry the tag of ``folder`` or of a folder in it."""
    tag = f"{JOB_TAG}={folder}".encode()
    for pid, _, state in _processes():
        if state in DEAD_STATES or pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            # The slash keeps job 12 alive when job 1 is swept.
            if any(entry == tag or entry.startswith(tag + b"/") for entry in environment):
                yield pid


def _kill_until_none(find: Callable[[], list[int]]) -> int:
    """Kill the processes that ``find`` returns, round by round, until `QUIET_ROUNDS` rounds find none.

    A process may fork while it is looked for, and one that is just being executed shows no environment yet.
    """
    killed: set[int] = set()
    deadline = time.monotonic() + SWEEP_TIMEOUT_S
    quiet = 0
    while quiet < QUIET_ROUNDS and time.monotonic() < deadline:
        pids = find()
        quiet = 0 if pids else quiet + 1
        for pid in pids:
            kill(pid)
        killed.update(pids)
        os.sched_yield()
    return len(killed)


def reap_orphans(own: Collection[int]) -> None:
    """Reap the zombies that the kernel handed to this process; ``own`` are children that somebody else waits for."""
    while True:
        try:
            # WNOWAIT only looks: a plain waitpid(-1) would take the exit codes of ``own`` from those who wait for them.
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in own:
            return
        with contextlib.suppress(ChildProcessError):
            os.waitpid(ended.si_pid, 0)


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone, or have become another user's (by sudo)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
