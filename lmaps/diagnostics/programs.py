"""The daemon, what it is made of, what it runs."""

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lmaps.diagnostics.look import Found, Look
from lmaps.supervisor.locks import holder_of
from lmaps.transport.selfcheck import MIN_LIBZMQ, libzmq_version
from lmaps.util.ownership import login_name
from lmaps.util.text import plural
from lmaps.util.times import format_duration
from lmaps.version import __version__

OLDEST_PYTHON = (3, 11)


def daemon(look: Look) -> Found:
    """It answers, and is of this client's version."""
    if not look.runs:
        return _silent(look)
    theirs, ours = look.told["version"], __version__
    up = format_duration(look.told["uptime"])
    words = f"lMaPS {theirs}, pid {look.told['pid']}, up {up}, as {login_name(look.manager)}"
    if theirs != ours:
        return Found("warning", f"{words}; this client is {ours}", "restart the daemon after an upgrade")
    if look.manager == 0 and look.settings["user"] is None:
        return Found("warning", f"{words}, who reads what clients send", "make the user lmaps: packaging/sysusers.d")
    return Found("ok", words)


def _silent(look: Look) -> Found:
    holder = holder_of(look.db)
    if holder is None:
        return Found("fault", f"no daemon answers at {look.endpoint}", "start it: lmapsd --workers 4")
    words = f"lmapsd (pid {holder}) has the state, and does not answer at {look.endpoint}"
    return Found("fault", words, "is that its socket (rpc.manager_bind)? if it is, its log tells more")


def workers(look: Look) -> Found:
    """Each slot has its worker."""
    if not look.runs:
        return Found("unknown", "no daemon runs")
    gone = [str(each["slot"]) for each in look.told["workers"] if each["state"] == "gone"]
    if gone:
        return Found("warning", f"slot {', '.join(gone)} waits for a worker", "the daemon's log tells why")
    return Found("ok", plural(len(look.told["workers"]), "worker"))


def python(look: Look) -> Found:
    """Python is one that lMaPS supports."""
    told = look.told["versions"]["python"]
    if _numbers(told)[:2] < OLDEST_PYTHON:
        return Found("fault", f"Python {told} is too old", f"run it with {_dotted(OLDEST_PYTHON)} or newer")
    return Found("ok", f"Python {told}")


def sqlite(look: Look) -> Found:
    """The version, and whether it has the WAL-reset bug: that takes two connections, and lMaPS has one."""
    told = look.told["versions"]["sqlite"]
    if has_wal_reset_bug(_numbers(told)):
        return Found("ok", f"SQLite {told}; its WAL-reset bug cannot happen here: the database has one connection")
    return Found("ok", f"SQLite {told}")


def has_wal_reset_bug(number: tuple[int, ...]) -> bool:
    """Whether this SQLite can lose a transaction when a checkpoint of another connection resets the log."""
    repaired = number >= (3, 51, 3) or (3, 50, 7) <= number < (3, 51) or (3, 44, 6) <= number < (3, 45)
    return number >= (3, 7) and not repaired


def libzmq(look: Look) -> Found:
    """The library has the repairs that lMaPS relies on; the daemon refuses to start with an older one."""
    told = look.told["versions"]["libzmq"]
    if _numbers(told) < MIN_LIBZMQ:
        return Found("fault", f"libzmq {told} is too old", f"install {_dotted(MIN_LIBZMQ)} or newer")
    ours = libzmq_version()
    return Found("ok", f"libzmq {told}" + (f", this client {ours}" if ours != told else ""))


def ansible(look: Look) -> Found:
    """ansible-playbook is there, if a unit uses it."""
    users = [row["unit"] for row in look.told["units"] if row["handler"] == "ansible_playbook"]
    if not users:
        return Found("ok", "no unit uses it")
    beside = Path(sys.executable).with_name("ansible-playbook")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("ansible-playbook")
    if found is None:
        words = f"there is no ansible-playbook, and {', '.join(users)} {'uses' if len(users) == 1 else 'use'} it"
        return Found("fault", words, "pip install 'lmaps[ansible]'")
    return Found("ok", f"{_core()}{found}")


def _core() -> str:
    try:
        return f"ansible-core {version('ansible-core')}, "
    except PackageNotFoundError:
        return ""


def _numbers(told: str) -> tuple[int, ...]:
    """``3.12.0rc1`` as numbers; what is none ends them."""
    parts = []
    for part in told.split("."):
        if not part.isdecimal():
            break
        parts.append(int(part))
    return tuple(parts)


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
