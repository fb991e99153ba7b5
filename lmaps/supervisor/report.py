"""What lmapsd says to people."""

import contextlib
import sys

from lmaps.errors import Finding, LmapsError


def tell(error: LmapsError) -> None:
    """Say on standard error what cannot be done, each finding with its place, and the next step."""
    say(error.message, *(describe(finding) for finding in error.errors), *([error.hint] if error.hint else []))


def say(sentence: str, *details: str) -> None:
    """Say ``sentence`` on standard error, and ``details`` indented below it."""
    with contextlib.suppress(OSError):
        print(f"lmapsd: {sentence}", *(f"  {detail}" for detail in details), sep="\n", file=sys.stderr, flush=True)


def describe(finding: Finding) -> str:
    """A finding on a line: place, path, message."""
    path = finding.path if finding.at else ""
    return "  ".join(part for part in (finding.place, path, finding.message) if part)
