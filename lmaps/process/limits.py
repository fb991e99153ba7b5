"""Limits and niceness that a program does not inherit from the daemon."""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

OOM_SCORE = 500
"""Of -1000 to 1000. When memory runs out the kernel kills a tool before the daemon, which can tell of it."""
MAX_OPEN_FILES = 1024
"""Soft limit: with the daemon's higher one programs that use select(2) would overrun their bit sets."""

_OOM_FILE = Path("/proc/self/oom_score_adj")


@contextlib.contextmanager
def ordinary_limits() -> Iterator[None]:
    """Give this process, within the block, the limits that a program started there is to inherit.

    These are: killed first when memory runs out, no core files, ordinary limits and niceness.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_oom_score(OOM_SCORE))
        stack.enter_context(_soft_limit(resource.RLIMIT_CORE, 0))  # a core file would hold the instances' secrets
        stack.enter_context(_soft_limit(resource.RLIMIT_NOFILE, MAX_OPEN_FILES))
        stack.enter_context(_niceness(0))
        yield


@contextlib.contextmanager
def _oom_score(score: int) -> Iterator[None]:
    before = int(_OOM_FILE.read_text())
    with contextlib.suppress(OSError):  # some containers forbid it
        _OOM_FILE.write_text(str(max(before, score)))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            _OOM_FILE.write_text(str(before))


@contextlib.contextmanager
def _soft_limit(resource_number: int, limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource_number)
    lowered = limit if soft == resource.RLIM_INFINITY else min(soft, limit)
    # The hard limit stays: a process that is not root could not raise it again afterwards.
    resource.setrlimit(resource_number, (lowered, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource_number, (soft, hard))


@contextlib.contextmanager
def _niceness(value: int) -> Iterator[None]:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    if before == value or os.geteuid() != 0:  # only root may lower its niceness again
        yield
        return
    os.setpriority(os.PRIO_PROCESS, 0, value)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
