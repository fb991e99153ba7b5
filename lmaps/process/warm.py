"""Warm starts: a program that is written in Python is not started anew for each run, but forked off a helper.

A helper (`forker`) runs in the program's own interpreter and has loaded it; lMaPS imports nothing of the program. It is
started at the first run of a program, which is a plain one, as is every run for which no helper is ready.
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

from lmaps.process.launch import UMASK, Launch, ended_with_us
from lmaps.process.limits import ordinary_limits
from lmaps.process.program import JOB_TAG, Warm

FORKER = Path(__file__).with_name("forker.py")
ANSWER_WITHIN = 5.0
"""Seconds that a helper may take to fork."""
ROOM = "." * 8192

log = logging.getLogger(__name__)


class Forked:
    """A child that a helper has forked for us: as much of `subprocess.Popen` as a `Process` needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | Any = None

    def poll(self) -> int | Any:
        """The exit code (negative: the signal) when it has ended."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


class WarmStarts:
    """The helpers of a worker, one for each program that was asked for; their owner closes them."""

    def __init__(self) -> None:
        self._helpers: dict[str, Helper] = {}

    def helper(self, program: str, environment: dict[str, str], warm: Warm) -> "Helper | None":
        """The helper for a program, if there is one that is ready; else one is started for the runs to come."""
        kind = _kind(program, environment, warm)
        known = self._helpers.get(program)
        if known is not None and (known.kind != kind or known.ended()):
            self._helpers.pop(program).give_up("its helper was killed" if known.ended() else "it has changed")
            known = None
        if known is None and kind is not None:
            self._helpers[program] = Helper(kind)
        return known if known is not None and known.ready() else None

    def helpers(self) -> "list[Helper]":
        """Those that are there."""
        return list(self._helpers.values())

    def close(self) -> None:
        """End all helpers."""
        while self._helpers:
            self._helpers.popitem()[1].close()


@dataclass(frozen=True, slots=True)
class Kind:
    """What a helper can run: a program as it is on disk now, in one environment but for what varies from run to run."""

    program: str
    modified: int
    interpreter: tuple[str, ...]
    warm: Warm
    environment: dict[str, str]


def _kind(program: str, environment: dict[str, str], warm: Warm) -> Kind | None:
    """None if the program is not Python's."""
    try:
        with Path(program).open("rb") as file:
            line = file.readline(1024)
            modified = os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return None
    interpreter = tuple(os.fsdecode(line[2:]).split(maxsplit=1)) if line.startswith(b"#!/") else ()
    if not interpreter or not Path(interpreter[0]).name.startswith("python"):
        return None
    fixed = {name: text for name, text in environment.items() if name not in warm.varies}
    return Kind(program, modified, interpreter, warm, fixed)


class Helper:
    """A helper process, from its start to its end."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._ready = False
        self._broken = False
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._said, saying = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._said, False)
        arguments = [kind.program, str(kind.warm.preparation), str(theirs.fileno()), ROOM]
        with theirs, ordinary_limits():
            self._popen = subprocess.Popen(  # noqa: S603 (a list, never a shell)
                [*ended_with_us("KILL"), *kind.interpreter, str(FORKER), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=saying,
                stderr=saying,
                cwd="/",
                env=kind.environment | {"ROOM": ROOM},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                umask=UMASK,
            )
        os.close(saying)

    def ended(self) -> bool:
        """Whether it was of use once, and is no more: it left since the program has changed on disk, or was killed."""
        return self._ready and self._popen.poll() is not None

    def ready(self) -> bool:
        """Whether it has loaded its program. What cannot be loaded, or says anything while it is, is told of once."""
        if self._broken or self._ready:
            return self._ready
        if select.select([self._link], [], [], 0)[0]:
            heard = self._link.recv(16)
            said = self._take_said()
            self._ready = bool(heard) and not said
            self._broken = not self._ready
        if self._broken:
            log.warning("%s is not started warm: %s", self.kind.program, _last(said, "it ended without a word"))
        return self._ready

    def _take_said(self) -> str:
        try:
            return os.read(self._said, 65536).decode(errors="replace")
        except BlockingIOError:
            return ""

    def start(self, launch: Launch) -> Forked | None:
        """Have it fork a child for a run; None if it does not, and then nothing of the run has begun.

        A child begins when it is told so, which is when it is known to be ours.
        """
        waiting, begin = os.pipe2(os.O_CLOEXEC)
        try:
            pid = self._fork(launch, waiting)
            if pid is None:
                self.give_up("its helper has not answered")
                return None
            os.write(begin, b".")
            return Forked(pid)
        finally:
            os.close(waiting)
            os.close(begin)

    def _fork(self, launch: Launch, waiting: int) -> int | None:
        run = {
            "argv": launch.argv,
            "shown": [*self.kind.interpreter, *launch.argv],
            "environment": {JOB_TAG: launch.environment[JOB_TAG], **launch.environment},
            "cwd": launch.cwd,
            "fds": [0, 1, 2, *launch.passed],
            "parent": os.getpid(),
        }
        fds = [waiting, launch.stdin, launch.output, launch.output, *launch.passed]
        try:
            socket.send_fds(self._link, [json.dumps(run).encode()], fds)
            if not select.select([self._link], [], [], ANSWER_WITHIN)[0]:
                return None
            answer = self._link.recv(64)
        except OSError:
            return None
        return int(json.loads(answer)["pid"]) if answer else None

    def give_up(self, why: str) -> None:
        """End it, and tell once why: what it has said itself, else this."""
        if self._said >= 0:
            log.info("%s is loaded anew: %s", self.kind.program, _last(self._take_said(), why))
            self.close()

    def close(self) -> None:
        """End it. What it has forked goes on."""
        self._popen.kill()
        self._popen.wait()
        self._link.close()
        if self._said >= 0:
            os.close(self._said)
            self._said = -1


def _last(said: str, otherwise: str) -> str:
    """The last line of what was said."""
    return (said.strip().splitlines() or [otherwise])[-1]
