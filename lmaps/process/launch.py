"""`Launch`: a program at its start, and the plain way to start it."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lmaps.process.limits import ordinary_limits

UMASK = 0o022


@dataclass(frozen=True, slots=True)
class Launch:
    """A program at its start; ``stdin`` and ``output`` are our descriptors, ``passed`` those it gets as they are."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: str
    stdin: int
    output: int
    passed: tuple[int, ...]

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it plainly, in a session of its own, to be ended by the kernel when its worker is."""
        with ordinary_limits():
            return subprocess.Popen(  # noqa: S603 (a list, never a shell)
                [*ended_with_us("TERM"), *self.argv],
                stdin=self.stdin,
                stdout=self.output,
                stderr=self.output,
                cwd=self.cwd,
                env=self.environment,
                pass_fds=self.passed,
                start_new_session=True,
                umask=UMASK,
            )


@contextlib.contextmanager
def standard_input(data: bytes) -> Iterator[int]:
    """What the program reads: a memory file, so that nobody has to feed a pipe."""
    with os.fdopen(os.memfd_create("stdin", os.MFD_CLOEXEC), "r+b") as file:
        file.write(data)
        file.seek(0)
        yield file.fileno()


def ended_with_us(name: str) -> list[str]:
    """What stands before a command so that the kernel signals it when we end, without Python between fork and exec."""
    return ["setpriv", "--pdeathsig", name, "--"] if shutil.which("setpriv") else []
