"""`Process`: a running program, driven by the loop of whoever started it; nothing here blocks."""

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
from lmaps.process.warm import Forked, WarmStarts

CHUNK = 64 * 1024
DRAIN_WITHIN = 1.0
"""Seconds that pipes are read on after the program has ended, while something it left holds them open."""
GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended: ``rc`` its exit code (negative: the signal), ``left`` what it left running."""

    rc: int
    left: tuple[int, ...] = ()
    stopped: bool = False

    @property
    def words(self) -> str:
        """``exit code 2`` or ``signal SIGSEGV``."""
        if self.rc >= 0:
            return f"exit code {self.rc}"
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-self.rc).name}"
        return f"signal {-self.rc}"


class Process:
    """Runs ``program`` in ``folder``, handing each line to ``sink``.

    The owner polls `fds` and calls `turn` when one is readable or `deadline` (monotonic) has passed, until `outcome`
    is there. ``child`` leads what was started; ``started`` and ``heard`` (monotonic) are when it began and when it last
    said something. The owner must be a sub-reaper; processes that it has already, left by earlier programs or helpers
    of ``warm_starts``, are spared. Each line of output goes through ``hide`` before it is cut.
    """

    def __init__(
        self,
        program: Program,
        folder: Path,
        sink: Sink,
        warm_starts: WarmStarts | None = None,
        hide: Callable[[str], str] = str,
    ) -> None:
        self.outcome: Outcome | None = None
        self.deadline: float | None = None
        self.heard = self.started = time.monotonic()
        self._sink = sink
        self._hide = hide
        self._readers: dict[int, Output | Events] = {}
        self._kill_at: float | None = None
        self._stopped = False
        self._ended_at: float | None = None
        self._pidfd = -1
        environment = _environment(program, folder)
        self._helper = None
        if warm_starts is not None and program.warm is not None:
            self._helper = warm_starts.helper(program.argv[0], environment, program.warm)
        self._spared = frozenset(descendants(os.getpid()))
        _write_files(program, folder)
        self.child = self._start(program, environment, folder)
        self._pidfd = os.pidfd_open(self.child.pid)

    def fds(self) -> list[int]:
        """The descriptors to wait for."""
        ended = [] if self._ended_at is not None else [self._pidfd]
        return [*self._readers, *ended] if self.outcome is None else []

    def _start(self, program: Program, environment: dict[str, str], folder: Path) -> "subprocess.Popen[bytes] | Forked":
        if shutil.which(program.argv[0], path=environment["PATH"]) is None:
            raise HandlerFailed(f"cannot start {program.argv[0]}: there is no such program")
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(writing, True)
        given = [writing]
        self._readers[reading] = Output(self._sink, self._hide)
        if program.events:
            event_reading, event_writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            os.set_blocking(event_writing, True)
            self._readers[event_reading] = Events(self._sink)
            environment[EVENT_FD] = str(event_writing)
            given.append(event_writing)
        try:
            with standard_input(program.stdin) as stdin:
                cwd = program.cwd or str(folder)
                launch = Launch(program.argv, environment, cwd, stdin, writing, passed=tuple(given[1:]))
                return (self._helper and self._helper.start(launch)) or launch.start()
        except OSError as error:
            self._close()
            raise HandlerFailed(f"cannot start {program.argv[0]}: {error.strerror}") from error
        finally:
            for fd in given:
                os.close(fd)

    def turn(self) -> None:
        """Read what has come, and see to deadlines."""
        for fd in list(self._readers):
            self._read(fd)
        if self._ended_at is None and self.child.poll() is not None:
            self._ended_at = time.monotonic()
            self.deadline = self._ended_at + DRAIN_WITHIN
        if self._ended_at is not None:
            if not self._readers or time.monotonic() >= self._ended_at + DRAIN_WITHIN or self._stopped:
                self._finish()
        elif self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill_at = self.deadline = None
            sweep_descendants(spare=self._spared)

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return
        if data:
            self.heard = time.monotonic()
            self._readers[fd].feed(data)
        else:
            self._readers.pop(fd).end()
            os.close(fd)

    def stop(self, grace: float = GRACE) -> None:
        """Have the program end: SIGTERM to its leader, after ``grace`` seconds SIGKILL to all that descends from it.

        One that has ended already has not been stopped.
        """
        if self._ended_at is not None or self.child.poll() is not None:
            return
        self._stopped = True
        kill(self.child.pid, signal.SIGTERM)
        self._kill_at = self.deadline = time.monotonic() + grace

    def _finish(self) -> None:
        """Hand on the rest of the output; after a stop nothing of the program is left, after success it is named."""
        self._close()
        if self._stopped or self.child.returncode != 0:
            sweep_descendants(spare=self._spared)
        reap_orphans(own=())
        left = tuple(descendants(os.getpid(), self._spared))
        if left:
            self._sink(note(f"left running: {', '.join(f'{_name(pid)} ({pid})' for pid in left)}"))
        self.deadline = None
        self.outcome = Outcome(self.child.returncode, left, self._stopped)

    def _close(self) -> None:
        for fd, reader in self._readers.items():
            reader.end()
            os.close(fd)
        self._readers = {}
        if self._pidfd >= 0:
            os.close(self._pidfd)


def _write_files(program: Program, folder: Path) -> None:
    for name, content in program.files.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def _environment(program: Program, folder: Path) -> dict[str, str]:
    home = os.environ.get("HOME", "/")
    return {**BASE_ENVIRONMENT, "HOME": home, **program.environment, JOB_TAG: str(folder)}


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "?"
