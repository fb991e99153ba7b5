"""Messages of lmapsd on standard error."""

import contextlib
import sys

from lmaps.errors import Finding, LmapsError


def print_error(error: LmapsError) -> None:
    """Print an error, each of its findings with its place, and the hint."""
    print_lines(error.message, *map(describe, error.errors), *([error.hint] if error.hint else []))


def print_lines(message: str, *details: str) -> None:
    """Print ``message`` on standard error, and ``details`` indented below it."""
    with contextlib.suppress(OSError):  # a closed standard error must not end the daemon
        print(f"lmapsd: {message}", *(f"  {detail}" for detail in details), sep="\n", file=sys.stderr, flush=True)


def describe(finding: Finding) -> str:
    """Return a finding as one line: place, path, message."""
    path = finding.path if finding.at else ""
    return "  ".join(part for part in (finding.place, path, finding.message) if part)
