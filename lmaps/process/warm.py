"""Warm starts: a Python program is not started anew for each run, but forked from a process that has it loaded.

That process, a fork server, runs `lmaps.process.forker` in the program's own interpreter; lMaPS imports nothing of the
program. The first run of a program starts its fork server and is itself a plain start, as is every run for which no
fork server is ready.
"""

import json
import logging
import os
import select
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmaps.process.launch import UMASK, Launch, with_parent_death_signal
from lmaps.process.limits import ordinary_limits
from lmaps.process.program import JOB_TAG, WarmStart

FORKER = Path(__file__).with_name("forker.py")
FORK_TIMEOUT_S = 5.0
PADDING = "." * 8192
"""Passed to the fork server as an argument and in its environment: a process cannot enlarge what /proc shows of both,
and its children have to show their own there."""
MAX_REPLY_BYTES = 64

log = logging.getLogger(__name__)


class ForkedChild:
    """A child that a fork server forked for us: as much of `subprocess.Popen` as a `Process` needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | Any = None

    def poll(self) -> int | Any:
        """Return the exit code (negative: the signal), None while the child runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


class ForkServers:
    """The fork servers of a worker, one for each program that had a warm run asked for; their owner closes them."""

    def __init__(self) -> None:
        self._servers: dict[str, ForkServer] = {}

    def ready_server(self, program: str, environment: dict[str, str], warm: WarmStart) -> "ForkServer | None":
        """Return the fork server of a program if it is ready. If there is none, start it for the runs to come."""
        spec = _read_spec(program, environment, warm)
        server = self._servers.get(program)
        if server is not None and (server.spec != spec or server.has_ended()):
            self._servers.pop(program).give_up("its fork server was killed" if server.has_ended() else "it has changed")
            server = None
        if server is None and spec is not None:
            self._servers[program] = ForkServer(spec)
        return server if server is not None and server.is_ready() else None

    def servers(self) -> "list[ForkServer]":
        """Return the fork servers, ready or not."""
        return list(self._servers.values())

    def close(self) -> None:
        """End all fork servers."""
        while self._servers:
            self._servers.popitem()[1].close()


@dataclass(frozen=True, slots=True)
class ForkServerSpec:
    """What a fork server can run: a program as it is on disk now, in one environment.

    ``modified_ns`` is the program's time of modification, ``interpreter`` its ``#!`` line; ``environment`` lacks the
    variables that vary from run to run.
    """

    program: str
    modified_ns: int
    interpreter: tuple[str, ...]
    warm: WarmStart
    environment: dict[str, str]


def _read_spec(program: str, environment: dict[str, str], warm: WarmStart) -> ForkServerSpec | None:
    """Return what a fork server of ``program`` would run, None if the program is not a Python script."""
    try:
        with Path(program).open("rb") as file:
            line = file.readline(1024)
            modified_ns = os.fstat(file.fileno()).st_mtime_ns  # of the file that was read, not of a newer one
    except OSError:
        return None
    interpreter = tuple(os.fsdecode(line[2:]).split(maxsplit=1)) if line.startswith(b"#!/") else ()
    if not interpreter or not Path(interpreter[0]).name.startswith("python"):
        return None
    fixed = {name: text for name, text in environment.items() if name not in warm.per_run_variables}
    return ForkServerSpec(program, modified_ns, interpreter, warm, fixed)


class ForkServer:
    """A fork server process, from its start to its end."""

    def __init__(self, spec: ForkServerSpec) -> None:
        self.spec = spec
        self._ready = False
        self._broken = False
        # SEQPACKET keeps messages apart and carries descriptors; its end says that the other process is gone.
        self._channel, their_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._output, their_output = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._output, False)
        arguments = [spec.program, str(spec.warm.preparation), str(their_end.fileno()), PADDING]
        with their_end, ordinary_limits():
            self._popen = subprocess.Popen(  # noqa: S603 (a list, never a shell)
                # KILL: it has nothing to clean up, and the program that it loads may have a handler for TERM.
                [*with_parent_death_signal("KILL"), *spec.interpreter, str(FORKER), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=their_output,
                stderr=their_output,
                cwd="/",
                env=spec.environment | {"PADDING": PADDING},
                pass_fds=[their_end.fileno()],
                start_new_session=True,
                umask=UMASK,
            )
        os.close(their_output)

    def has_ended(self) -> bool:
        """Return whether it was ready once and is gone: it was killed, or left because a file had changed on disk."""
        return self._ready and self._popen.poll() is not None

    def is_ready(self) -> bool:
        """Return whether it has loaded its program.

        A program that cannot be loaded, or prints anything while it is, is logged once and never started warm: what it
        printed would be missing from the output of every later run.
        """
        if self._broken or self._ready:
            return self._ready
        if select.select([self._channel], [], [], 0)[0]:
            message = self._channel.recv(MAX_REPLY_BYTES)
            output = self._read_output()
            self._ready = bool(message) and not output
            self._broken = not self._ready
            if self._broken:
                reason = _last_line(output, "its fork server ended and printed nothing")
                log.warning("%s is not started warm: %s", self.spec.program, reason)
        return self._ready

    def _read_output(self) -> str:
        try:
            return os.read(self._output, 65536).decode(errors="replace")
        except BlockingIOError:
            return ""

    def start(self, launch: Launch) -> ForkedChild | None:
        """Have a child forked for a run and return it; None if there is none, and then nothing of the run has begun.

        The child waits for a byte, which it gets when its pid is known here: a child whose pid was lost on the way
        would otherwise run beside the plain start that takes its place.
        """
        waiting, begin = os.pipe2(os.O_CLOEXEC)
        try:
            pid = self._fork(launch, waiting)
            if pid is None:
                self.give_up("its fork server has not answered")
                return None
            os.write(begin, b".")
            return ForkedChild(pid)
        finally:
            os.close(waiting)
            os.close(begin)

    def _fork(self, launch: Launch, waiting: int) -> int | None:
        order = {
            "argv": launch.argv,
            "shown": [*self.spec.interpreter, *launch.argv],
            # The tag comes first: /proc has room for a limited number of variables, and the sweep needs this one.
            "environment": {JOB_TAG: launch.environment[JOB_TAG], **launch.environment},
            "cwd": launch.cwd,
            "fds": [0, 1, 2, *launch.passed],
            "parent": os.getpid(),
        }
        fds = [waiting, launch.stdin, launch.output, launch.output, *launch.passed]
        try:
            socket.send_fds(self._channel, [json.dumps(order).encode()], fds)
            if not select.select([self._channel], [], [], FORK_TIMEOUT_S)[0]:
                return None
            reply = self._channel.recv(MAX_REPLY_BYTES)
        except OSError:
            return None
        return int(json.loads(reply)["pid"]) if reply else None

    def give_up(self, reason: str) -> None:
        """End it, and log once why: the last line that it printed, else ``reason``."""
        if self._output >= 0:
            log.info("%s is loaded anew: %s", self.spec.program, _last_line(self._read_output(), reason))
            self.close()

    def close(self) -> None:
        """End it. The children that it has forked go on."""
        self._popen.kill()
        self._popen.wait()
        self._channel.close()
        if self._output >= 0:
            os.close(self._output)
            self._output = -1


def _last_line(text: str, default: str) -> str:
    return (text.strip().splitlines() or [default])[-1]
