"""What lmapsd says: errors to people, its state to systemd."""

import contextlib
import os
import socket
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


def notify(state: str) -> None:
    """Tell systemd ``state`` (``READY=1``), if this is a service that it waits for."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sending,
    ):
        sending.connect("\0" + address[1:] if address.startswith("@") else address)
        sending.sendall(state.encode())
