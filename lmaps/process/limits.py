"""What a program does not inherit from a daemon: limits, niceness, and a place where memory is not taken from."""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

OOM_SCORE = 500
"""How much rather than others a tool is killed when memory runs out (-1000 to 1000)."""
OPEN_FILES = 1024
"""Descriptors that a tool may have, unless it asks for more: what programs that use select(2) can bear."""

_OOM_FILE = Path("/proc/self/oom_score_adj")


@contextlib.contextmanager
def ordinary_limits() -> Iterator[None]:
    """Within the block this process stands as a program that it starts is to stand.

    That is: the first to go when memory runs out, without core files, and with ordinary limits and niceness.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_oom_score(OOM_SCORE))
        stack.enter_context(_soft_limit(resource.RLIMIT_CORE, 0))
        stack.enter_context(_soft_limit(resource.RLIMIT_NOFILE, OPEN_FILES))
        stack.enter_context(_niceness(0))
        yield


@contextlib.contextmanager
def _oom_score(score: int) -> Iterator[None]:
    before = int(_OOM_FILE.read_text())
    with contextlib.suppress(OSError):  # not everywhere may it be changed
        _OOM_FILE.write_text(str(max(before, score)))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            _OOM_FILE.write_text(str(before))


@contextlib.contextmanager
def _soft_limit(which: int, limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(which)
    lowered = limit if soft == resource.RLIM_INFINITY else min(soft, limit)
    resource.setrlimit(which, (lowered, hard))
    try:
        yield
    finally:
        resource.setrlimit(which, (soft, hard))


@contextlib.contextmanager
def _niceness(wanted: int) -> Iterator[None]:
    """Whoever may not be less nice again stays as it is."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    if before == wanted or os.geteuid() != 0:
        yield
        return
    os.setpriority(os.PRIO_PROCESS, 0, wanted)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
