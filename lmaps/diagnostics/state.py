"""Disk, clock, what was left behind, backups, secrets, units."""

import os
import shutil
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from lmaps.diagnostics.look import Found, Look
from lmaps.process import tagged_processes
from lmaps.util.text import plural
from lmaps.util.times import age, in_seconds, parse_time

MIB = 2**20
LITTLE, TOO_LITTLE = 1024 * MIB, 64 * MIB
"""Bytes free of which is told, and that are too few."""
SLOW = 0.1
"""Seconds that a slow disk takes to keep 4 KiB."""
TRIES = 5
AHEAD = 1.0
"""Seconds that a time may lie in the future: clocks are corrected in small steps."""
OLD = 7 * 86400.0
"""Seconds after which a backup is old."""
UNWELL = frozenset({"dirty", "blocked", "broken", "invalid", "orphaned"})
"""Conditions of a unit that want a person."""


def space(look: Look) -> Found:
    """The disk of the state has room."""
    place = _place(look.db)
    free = shutil.disk_usage(place).free
    words = f"{free / MIB:,.0f} MiB free at {place}"
    if free < LITTLE:
        return Found("fault" if free < TOO_LITTLE else "warning", words, "make room: without it nothing is changed")
    return Found("ok", words)


def disk(look: Look) -> Found:
    """The disk of the state keeps what it is given, and soon."""
    if look.told.get("degraded"):
        return Found("fault", look.told["degraded"], "look at the disk; the daemon tries it again every second")
    place = look.db.parent
    if not place.is_dir():
        return Found("ok", f"there is no {place} yet")
    if os.access(place, os.W_OK):
        seconds = statistics.median(_seconds_to_keep(place))
    elif look.told.get("commit_seconds"):
        seconds = look.told["commit_seconds"]
    else:
        return Found("unknown", f"this user may not write in {place}, and there was no change yet")
    words = f"{seconds * 1000:.1f} ms to keep a change"
    return Found("warning", words, "each change waits for it") if seconds > SLOW else Found("ok", words)


def _seconds_to_keep(place: Path) -> list[float]:
    """How long the disk takes to keep a little, some times; the state's own files are not touched."""
    taken = []
    with tempfile.TemporaryFile(dir=place) as file:
        for _ in range(TRIES):
            begin = time.monotonic()
            os.write(file.fileno(), b"\0" * 4096)
            os.fdatasync(file.fileno())
            taken.append(time.monotonic() - begin)
    return taken


def clock(look: Look) -> Found:
    """The newest change does not lie in the future. Order never depends on the clock, but what is shown does."""
    newest = _newest(look)
    current = datetime.now(UTC)
    if newest is not None and (newest - current).total_seconds() > AHEAD:
        words = f"it is {_shown(current)}, and the newest change is of {_shown(newest)}"
        return Found("warning", words, "set the clock; order and time limits do not depend on it")
    return Found("ok", f"it is {_shown(current)}")


def _newest(look: Look) -> datetime | None:
    """When the newest change was made: as the daemon tells, else as the file does."""
    if look.runs:
        told = look.told.get("changed_at")
        return parse_time(told) if told else None
    return datetime.fromtimestamp(look.db.stat().st_mtime, UTC) if look.db.exists() else None


def _shown(moment: datetime) -> str:
    return in_seconds(moment.isoformat())


def leftovers(look: Look) -> Found:
    """No job was cut off that nobody has seen to. A daemon that runs sees to it itself."""
    if look.runs:
        return Found("ok", "the daemon ends what jobs leave running")
    jobs = look.worker_socket.parent / "jobs"
    cut_off = sorted(jobs.glob("*/*"), key=lambda folder: int(folder.name) if folder.name.isdecimal() else 0)
    if not cut_off:
        return Found("ok", "no job was cut off")
    running = sum(1 for folder in cut_off for _ in tagged_processes(folder))
    words = f"job {', '.join(folder.name for folder in cut_off)} was cut off, {plural(running, 'process', 'processes')}"
    return Found("warning", f"{words} still running", "the next start of lmapsd ends them")


def backups(look: Look) -> Found:
    """The newest backup is not old."""
    if look.audit is None:
        return Found("unknown", "only a daemon knows when the last one was made")
    made = next((row["at"] for row in look.audit() if row["verb"] == "backup" and row["outcome"] == "ok"), None)
    if made is None:
        return Found("ok", "none was made lately", "lmaps backup FILE makes one, while the daemon runs")
    old = (datetime.now(UTC) - parse_time(made)).total_seconds() > OLD
    return Found("warning" if old else "ok", f"the newest was made {age(made)}", "lmaps backup FILE" if old else None)


def secrets(look: Look) -> Found:
    """What units mark as secret is sealed in the database."""
    keeping = [row["unit"] for row in look.told["units"] if row["secrets"]]
    if not keeping:
        return Found("ok", "no unit marks any")
    names = ", ".join(keeping)
    if look.settings["state_key"] is None:
        return Found("warning", f"those of {names} are not sealed: a backup shows them", "set state_key")
    return Found("ok", f"those of {names} are sealed")


def units(look: Look) -> Found:
    """Every unit file is in use, and no unit wants a person."""
    if look.told["errors"]:
        told = f"{plural(len(look.told['errors']), 'error')} in unit files"
        return Found("fault", told, "lmaps units --errors, or lmapsd --check")
    unwell = [f"{row['unit']} is {row['condition']}" for row in look.told["units"] if row.get("condition") in UNWELL]
    if unwell:
        return Found("warning", ", ".join(unwell), "lmaps jobs UNIT tells what happened")
    return Found("ok", plural(len(look.told["units"]), "unit"))


def _place(path: Path) -> Path:
    """The nearest directory that is there."""
    return next(each for each in path.parents if each.is_dir())
