"""Messages of lmapsd for people. All of them pass here, where what commands a terminal is escaped."""

import contextlib
import sys

from lmaps.errors import Finding, LmapsError
from lmaps.util.terminal import visible


def print_error(error: LmapsError) -> None:
    """Print an error, each of its findings with its place, and the hint."""
    print_lines(error.message, *map(describe, error.errors), *([error.hint] if error.hint else []))


def print_lines(message: str, *details: str) -> None:
    """Print ``message`` on standard error, and ``details`` indented below it."""
    with contextlib.suppress(OSError):  # a closed standard error must not end the daemon
        lines = [f"lmapsd: {visible(message)}", *(f"  {visible(detail)}" for detail in details)]
        print(*lines, sep="\n", file=sys.stderr, flush=True)


def print_state(message: str) -> None:
    """Print on standard output that lmapsd is ready, or that its check has ended."""
    with contextlib.suppress(OSError):
        print(f"lmapsd: {visible(message)}", flush=True)


def describe(finding: Finding) -> str:
    """Return a finding as one line: place, path, message."""
    path = finding.path if finding.at else ""
    return "  ".join(part for part in (finding.place, path, finding.message) if part)
