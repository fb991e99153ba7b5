"""`Launch`: everything a start of a program needs, and the plain way to start it."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lmaps.process.limits import ordinary_limits

UMASK = 0o022
"""The daemon's own is 0077: with that every file that a playbook creates would be private to root."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One start of a program.

    ``stdin`` and ``output`` are descriptors of ours; ``passed`` are those that it inherits under the same numbers.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: str
    stdin: int
    output: int
    passed: tuple[int, ...]

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the program in a session of its own. The kernel sends it SIGTERM when this process dies."""
        with ordinary_limits():
            return subprocess.Popen(  # noqa: S603 (a list, never a shell)
                [*with_parent_death_signal("TERM"), *self.argv],
                stdin=self.stdin,
                stdout=self.output,
                stderr=self.output,
                cwd=self.cwd,
                env=self.environment,
                pass_fds=self.passed,
                start_new_session=True,  # process_group=0 would leave it /dev/tty, where it could ask for a password
                umask=UMASK,
            )


@contextlib.contextmanager
def standard_input(data: bytes) -> Iterator[int]:
    """Yield a descriptor from which ``data`` can be read: a memory file.

    A pipe would have to be fed while the program runs, and would block on one that never reads.
    """
    with os.fdopen(os.memfd_create("stdin", os.MFD_CLOEXEC), "r+b") as file:
        file.write(data)
        file.seek(0)
        yield file.fileno()


def with_parent_death_signal(signal_name: str) -> list[str]:
    """Return the command prefix by which the kernel sends a program this signal when its parent dies.

    A ``preexec_fn`` would run Python between fork and exec, which can deadlock in a process with libzmq's threads.
    Empty where setpriv is not installed: the sweep then finds what is left.
    """
    return ["setpriv", "--pdeathsig", signal_name, "--"] if shutil.which("setpriv") else []
