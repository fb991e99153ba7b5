"""Checks of the daemon, its libraries and the programs that it runs."""

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lmaps.diagnostics.context import CheckContext, CheckResult
from lmaps.supervisor.locks import lock_holder
from lmaps.transport.selfcheck import MIN_LIBZMQ, libzmq_version
from lmaps.util.ownership import login_name
from lmaps.util.text import plural
from lmaps.util.times import format_duration
from lmaps.version import __version__

OLDEST_PYTHON = (3, 11)


def daemon(context: CheckContext) -> CheckResult:
    """The daemon answers, and has this client's version."""
    if context.status is None:
        return _no_answer(context)
    theirs, ours = context.status.version, __version__
    uptime = format_duration(context.status.uptime)
    message = f"lMaPS {theirs}, pid {context.status.pid}, up {uptime}, as {login_name(context.manager)}"
    if theirs != ours:
        return CheckResult("warning", f"{message}; this client is {ours}", "restart the daemon after an upgrade")
    if context.manager == 0 and context.settings.user is None:
        return CheckResult(
            "warning", f"{message}, who reads what clients send", "make the user lmaps: packaging/sysusers.d"
        )
    return CheckResult("ok", message)


def _no_answer(context: CheckContext) -> CheckResult:
    holder = lock_holder(context.db)
    if holder is None:
        return CheckResult("fault", f"no daemon answers at {context.endpoint}", "start it: lmapsd --workers 4")
    message = f"lmapsd (pid {holder}) has the state, and does not answer at {context.endpoint}"
    return CheckResult("fault", message, "is that its socket (rpc.manager_bind)? if it is, its log tells more")


def workers(context: CheckContext) -> CheckResult:
    """Each slot has its worker."""
    rows = context.status.workers if context.status is not None else []
    empty = [str(row.slot) for row in rows if row.state == "gone"]
    if empty:
        return CheckResult("warning", f"slot {', '.join(empty)} waits for a worker", "the daemon's log tells why")
    return CheckResult("ok", plural(len(rows), "worker"))


def python(context: CheckContext) -> CheckResult:
    """lMaPS supports this Python."""
    release = context.versions.python
    if _numbers(release)[:2] < OLDEST_PYTHON:
        return CheckResult("fault", f"Python {release} is too old", f"run it with {_dotted(OLDEST_PYTHON)} or newer")
    return CheckResult("ok", f"Python {release}")


def sqlite(context: CheckContext) -> CheckResult:
    """The SQLite version. Its WAL-reset bug takes two connections, and lMaPS opens one."""
    release = context.versions.sqlite
    if has_wal_reset_bug(_numbers(release)):
        return CheckResult(
            "ok", f"SQLite {release}; its WAL-reset bug cannot happen here: the database has one connection"
        )
    return CheckResult("ok", f"SQLite {release}")


def has_wal_reset_bug(release: tuple[int, ...]) -> bool:
    """Return whether this release can lose a transaction when a checkpoint of another connection resets the log."""
    repaired = release >= (3, 51, 3) or (3, 50, 7) <= release < (3, 51) or (3, 44, 6) <= release < (3, 45)
    return release >= (3, 7) and not repaired


def libzmq(context: CheckContext) -> CheckResult:
    """The library has the fixes that lMaPS relies on; the daemon refuses to start with an older one."""
    release = context.versions.libzmq
    if _numbers(release) < MIN_LIBZMQ:
        return CheckResult("fault", f"libzmq {release} is too old", f"install {_dotted(MIN_LIBZMQ)} or newer")
    ours = libzmq_version()
    return CheckResult("ok", f"libzmq {release}" + (f", this client {ours}" if ours != release else ""))


def ansible(context: CheckContext) -> CheckResult:
    """ansible-playbook is installed, if a unit uses it."""
    users = [unit.unit for unit in context.units if unit.handler == "ansible_playbook"]
    if not users:
        return CheckResult("ok", "no unit uses it")
    # As the handler does: the environment of lMaPS comes before the PATH of this user.
    beside = Path(sys.executable).with_name("ansible-playbook")
    program = str(beside) if os.access(beside, os.X_OK) else shutil.which("ansible-playbook")
    if program is None:
        message = f"there is no ansible-playbook, and {', '.join(users)} {'uses' if len(users) == 1 else 'use'} it"
        return CheckResult("fault", message, "pip install 'lmaps[ansible]'")
    return CheckResult("ok", f"{_core_version()}{program}")


def _core_version() -> str:
    try:
        return f"ansible-core {version('ansible-core')}, "
    except PackageNotFoundError:
        return ""


def _numbers(release: str) -> tuple[int, ...]:
    """Return ``3.12.0rc1`` as (3, 12): the leading parts that are numbers."""
    parts = []
    for part in release.split("."):
        if not part.isdecimal():
            break
        parts.append(int(part))
    return tuple(parts)


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
