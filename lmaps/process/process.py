"""`Process`: a running program, driven by the loop of its owner; nothing here blocks."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lmaps.errors import HandlerFailed
from lmaps.process.launch import Launch, standard_input
from lmaps.process.output import Events, Output, Sink, note
from lmaps.process.program import BASE_ENVIRONMENT, EVENT_FD, JOB_TAG, Program
from lmaps.process.sweep import descendants, kill, reap_orphans, sweep_descendants
from lmaps.process.warm import ForkedChild, ForkServers

READ_BYTES = 64 * 1024
DRAIN_TIMEOUT_S = 1.0
"""How long pipes are read on after the program has ended, while something that it left running holds them open."""
STOP_GRACE_S = 10.0
"""Time between SIGTERM and SIGKILL."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended.

    ``rc`` is its exit code (negative: the signal), ``left_running`` are the processes that it left, ``stopped`` is
    whether `Process.stop` ended it.
    """

    rc: int
    left_running: tuple[int, ...] = ()
    stopped: bool = False

    @property
    def message(self) -> str:
        """``exit code 2`` or ``signal SIGSEGV``."""
        if self.rc >= 0:
            return f"exit code {self.rc}"
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-self.rc).name}"
        return f"signal {-self.rc}"


class Process:
    """Runs ``program`` in ``folder`` and hands each line of its output to ``sink``.

    The owner polls `fds` and calls `run_once` when one is readable or `deadline` (monotonic) has passed, until
    `outcome` is set. ``child`` is the started program; ``started_at`` and ``last_output_at`` are monotonic times. The
    owner must be a sub-reaper; processes that it already has (left by earlier programs, ``fork_servers``) are spared.
    Each line of output goes through ``hide`` before it is cut. Raises `HandlerFailed` if the program cannot be started.
    """

    def __init__(
        self,
        program: Program,
        folder: Path,
        sink: Sink,
        fork_servers: ForkServers | None = None,
        hide: Callable[[str], str] = str,
    ) -> None:
        self.outcome: Outcome | None = None
        self.deadline: float | None = None
        self.last_output_at = self.started_at = time.monotonic()
        self._sink = sink
        self._hide = hide
        self._readers: dict[int, Output | Events] = {}
        self._kill_at: float | None = None
        self._stopped = False
        self._ended_at: float | None = None
        self._pidfd = -1
        environment = _environment(program, folder)
        self._fork_server = None
        if fork_servers is not None and program.warm is not None:
            self._fork_server = fork_servers.ready_server(program.argv[0], environment, program.warm)
        # Listed before the start and after a fork server was: a sweep of this program must not kill either.
        self._spared = frozenset(descendants(os.getpid()))
        _write_files(program, folder)
        self.child = self._start(program, environment, folder)
        # A pidfd becomes readable when the program itself ends. Its pipes end only when the last of those that
        # inherited them does, and a pid could be used again.
        self._pidfd = os.pidfd_open(self.child.pid)

    def fds(self) -> list[int]:
        """Return the descriptors to wait for."""
        ended = [] if self._ended_at is not None else [self._pidfd]
        return [*self._readers, *ended] if self.outcome is None else []

    def _start(
        self, program: Program, environment: dict[str, str], folder: Path
    ) -> "subprocess.Popen[bytes] | ForkedChild":
        # setpriv starts it: without this check a missing program would be setpriv's failure, with exit code 127.
        if shutil.which(program.argv[0], path=environment["PATH"]) is None:
            raise HandlerFailed(f"cannot start {program.argv[0]}: there is no such program")
        writing_ends = [self._open_pipe(Output(self._sink, self._hide))]
        if program.events:
            writing_ends.append(self._open_pipe(Events(self._sink)))
            environment[EVENT_FD] = str(writing_ends[1])
        output, *passed = writing_ends
        try:
            with standard_input(program.stdin) as stdin:
                launch = Launch(program.argv, environment, program.cwd or str(folder), stdin, output, tuple(passed))
                return (self._fork_server and self._fork_server.start(launch)) or launch.start()
        except OSError as error:
            self._close()
            raise HandlerFailed(f"cannot start {program.argv[0]}: {error.strerror}") from error
        finally:
            for fd in writing_ends:  # while we hold one the pipe never ends
                os.close(fd)

    def _open_pipe(self, reader: Output | Events) -> int:
        """Return the writing end of a pipe whose reading end feeds ``reader``."""
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(writing, True)  # few programs expect EAGAIN from their output
        self._readers[reading] = reader
        return writing

    def run_once(self) -> None:
        """Read the output that has come, and act on deadlines that have passed."""
        for fd in list(self._readers):
            self._read(fd)
        if self._ended_at is None and self.child.poll() is not None:
            self._ended_at = time.monotonic()
            self.deadline = self._ended_at + DRAIN_TIMEOUT_S
        if self._ended_at is not None:
            if not self._readers or time.monotonic() >= self._ended_at + DRAIN_TIMEOUT_S or self._stopped:
                self._finish()
        elif self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill_at = self.deadline = None
            sweep_descendants(spare=self._spared)

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self.last_output_at = time.monotonic()
            self._readers[fd].feed(data)
        else:
            self._readers.pop(fd).end()
            os.close(fd)

    def stop(self, grace: float = STOP_GRACE_S) -> None:
        """End the program: SIGTERM to its leader, after ``grace`` seconds SIGKILL to all that descends from it.

        A program that has ended already does not count as stopped.
        """
        if self._ended_at is not None or self.child.poll() is not None:
            return
        self._stopped = True
        kill(self.child.pid, signal.SIGTERM)  # the leader only: ansible-playbook then ends its task workers itself
        self._kill_at = self.deadline = time.monotonic() + grace

    def _finish(self) -> None:
        """Hand on the rest of the output and set the outcome.

        After a stop or a failure nothing of the program is left running; what a success leaves may be a service that
        it was to start, so it is named and spared.
        """
        self._close()
        if self._stopped or self.child.returncode != 0:
            sweep_descendants(spare=self._spared)
        reap_orphans(own=())
        left_running = tuple(descendants(os.getpid(), self._spared))
        if left_running:
            self._sink(note(f"left running: {', '.join(f'{_name(pid)} ({pid})' for pid in left_running)}"))
        self.deadline = None
        self.outcome = Outcome(self.child.returncode, left_running, self._stopped)

    def _close(self) -> None:
        for fd, reader in self._readers.items():
            reader.end()
            os.close(fd)
        self._readers = {}
        if self._pidfd >= 0:
            os.close(self._pidfd)


def _write_files(program: Program, folder: Path) -> None:
    for name, content in program.files.items():
        # O_EXCL and O_NOFOLLOW: a link that somebody put there must not make root write elsewhere.
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def _environment(program: Program, folder: Path) -> dict[str, str]:
    home = os.environ.get("HOME", "/")
    return {**BASE_ENVIRONMENT, "HOME": home, **program.environment, JOB_TAG: str(folder)}


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_bytes().decode(errors="replace").strip()
    return "?"
