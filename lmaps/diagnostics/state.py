"""Checks of database, disk, clock, interrupted jobs, backups, secrets and units."""

import os
import shutil
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from lmaps.diagnostics.context import CheckContext, CheckResult
from lmaps.errors import AnotherDaemon, LmapsError
from lmaps.process import tagged_processes
from lmaps.store.backup import verify
from lmaps.supervisor.locks import locked
from lmaps.util.text import plural
from lmaps.util.times import age, in_seconds, parse_time

MIB = 2**20
WARNING_BYTES = 1024 * MIB
"""Less free space than this gives a warning."""
FAULT_BYTES = 64 * MIB
SLOW_WRITE_S = 0.1
"""A disk that takes longer to write and sync 4 KiB is slow."""
SYNC_BYTES = 4096
SYNC_ROUNDS = 5
MAX_CLOCK_STEP_S = 1.0
"""A time may lie so far in the future: clocks are corrected in small steps."""
MAX_BACKUP_AGE_S = 7 * 86400.0
UNWELL_CONDITIONS = frozenset({"dirty", "blocked", "broken", "invalid", "orphaned"})
"""Conditions of a unit that a person has to look at."""


def space(context: CheckContext) -> CheckResult:
    """The disk of the state has room."""
    directory = next(parent for parent in context.db.parents if parent.is_dir())
    free = shutil.disk_usage(directory).free
    message = f"{free / MIB:,.0f} MiB free at {directory}"
    if free >= WARNING_BYTES:
        return CheckResult("ok", message)
    return CheckResult(
        "fault" if free < FAULT_BYTES else "warning", message, "make room: without it nothing is changed"
    )


def disk(context: CheckContext) -> CheckResult:
    """The disk of the state can be written, and fast enough."""
    status = context.status
    if status is not None and status.degraded:
        advice = "look at the disk; the daemon tries it again every second"
        return CheckResult("fault", status.degraded, advice)
    directory = context.db.parent
    if not directory.is_dir():
        return CheckResult("ok", f"there is no {directory} yet")
    if os.access(directory, os.W_OK):
        # The median: a single slow write says nothing about the disk.
        seconds = statistics.median(_sync_seconds(directory))
    elif status is not None and status.commit_seconds:
        seconds = status.commit_seconds
    else:
        return CheckResult("unknown", f"this user may not write in {directory}, and there was no change yet")
    message = f"{seconds * 1000:.1f} ms to keep a change"
    if seconds > SLOW_WRITE_S:
        return CheckResult("warning", message, "each change waits for it")
    return CheckResult("ok", message)


def _sync_seconds(directory: Path) -> list[float]:
    """Return how long the disk took to write and sync a little, several times; the state's own files stay untouched."""
    durations = []
    with tempfile.TemporaryFile(dir=directory) as file:  # beside the state: another directory may be on another disk
        for _ in range(SYNC_ROUNDS):
            begin = time.monotonic()
            os.write(file.fileno(), b"\0" * SYNC_BYTES)
            os.fdatasync(file.fileno())
            durations.append(time.monotonic() - begin)
    return durations


def clock(context: CheckContext) -> CheckResult:
    """The newest change does not lie in the future. Order never depends on the clock, but the times shown do."""
    newest = _newest_change(context)
    current = datetime.now(UTC)
    if newest is not None and (newest - current).total_seconds() > MAX_CLOCK_STEP_S:
        message = f"it is {_to_text(current)}, and the newest change is of {_to_text(newest)}"
        return CheckResult("warning", message, "set the clock; order and time limits do not depend on it")
    return CheckResult("ok", f"it is {_to_text(current)}")


def _newest_change(context: CheckContext) -> datetime | None:
    """Return the time of the newest change: the daemon's answer, else the database's modification time."""
    if context.status is not None:
        changed_at = context.status.changed_at
        return parse_time(changed_at) if changed_at else None
    return datetime.fromtimestamp(context.db.stat().st_mtime, UTC) if context.db.exists() else None


def _to_text(moment: datetime) -> str:
    return in_seconds(moment.isoformat())


def leftovers(context: CheckContext) -> CheckResult:
    """No interrupted job has left processes. A daemon that runs ends them itself."""
    if context.status is not None:
        return CheckResult("ok", "the daemon ends what jobs leave running")
    jobs = context.worker_socket.parent / "jobs"
    cut_off = sorted(jobs.glob("*/*"), key=lambda folder: int(folder.name) if folder.name.isdecimal() else 0)
    if not cut_off:
        return CheckResult("ok", "no job was cut off")
    count = sum(1 for folder in cut_off for _ in tagged_processes(folder))
    numbers = ", ".join(folder.name for folder in cut_off)
    message = f"job {numbers} was cut off, {plural(count, 'process', 'processes')} still running"
    return CheckResult("warning", message, "the next start of lmapsd ends them")


def backups(context: CheckContext) -> CheckResult:
    """The newest backup is not old."""
    rows = context.audit() if context.audit is not None else []
    newest = next((row.at for row in rows if row.verb == "backup" and row.outcome == "ok"), None)
    if newest is None:
        return CheckResult("ok", "none was made lately", "lmaps backup FILE makes one, while the daemon runs")
    message = f"the newest was made {age(newest)}"
    if (datetime.now(UTC) - parse_time(newest)).total_seconds() > MAX_BACKUP_AGE_S:
        return CheckResult("warning", message, "lmaps backup FILE")
    return CheckResult("ok", message)


def secrets(context: CheckContext) -> CheckResult:
    """The values that units mark as secret are encrypted in the database."""
    marking = [unit.unit for unit in context.units if unit.secrets]
    if not marking:
        return CheckResult("ok", "no unit marks any")
    names = ", ".join(marking)
    if context.settings.state_key is None:
        return CheckResult("warning", f"those of {names} are not sealed: a backup shows them", "set state_key")
    return CheckResult("ok", f"those of {names} are sealed")


def units(context: CheckContext) -> CheckResult:
    """Every unit file can be used, and no unit needs manual repair."""
    errors, loaded = context.errors, context.unit_set
    unwell = [f"{unit.unit} is {unit.condition}" for unit in context.units if unit.condition in UNWELL_CONDITIONS]
    if errors:
        message, advice = f"{plural(len(errors), 'error')} in unit files", "lmaps units --errors, or lmapsd --check"
        return CheckResult("fault", message, advice, loaded.errors, loaded.warnings)
    if unwell:
        return CheckResult("warning", ", ".join(unwell), "lmaps jobs UNIT tells what happened")
    return CheckResult("ok", plural(len(context.units), "unit"), warnings=loaded.warnings)


def database(context: CheckContext) -> CheckResult:
    """The database is whole. One that a daemon holds is not read: that daemon has verified it at its start."""
    if not context.db.exists() and not context.db.with_name(f"{context.db.name}.lineage").exists():
        return CheckResult("ok", "there is none yet")
    try:
        # The lock keeps a daemon from starting meanwhile, which would change the files during the check.
        with locked([context.db]):
            verify(str(context.db))
    except AnotherDaemon as error:
        reason = error.message.removeprefix("cannot start: ")
        return CheckResult("unknown", f"the database was not looked at: {reason}")
    except LmapsError as error:
        return CheckResult("fault", error.message, error.hint, (error,))
    return CheckResult("ok", "the database is whole")
