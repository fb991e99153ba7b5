"""Ownership: what the daemon is told to do stands in files that nobody but root and its own user may write."""

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from lmaps.errors import ConfigError

LINKS = 40
"""A path that leads over more links than this leads nowhere."""


def check_owned(path: str | Path, owner: int, what: str) -> None:
    """Raise `ConfigError` if somebody else than root and ``owner`` may write ``path``, which is ``what``."""
    fault = foreign_hand(path, owner)
    if fault is not None:
        raise ConfigError(f"cannot use {what} {path}: {fault}")


def foreign_hand(path: str | Path, owner: int) -> str | None:
    """Who else than root and ``owner`` may write ``path``, or put another file in its place, in words; None if nobody.

    Every directory and link on the way to it counts. What is not there is nobody's.
    """
    try:
        return next(filter(None, (_fault(*step, owner) for step in _steps(Path(path)))), None)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"it cannot be looked at: {error.strerror}"


def _steps(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every directory and link on the way to ``path``, and itself."""
    here, ahead, links = "", list(reversed(path.absolute().parts[1:])), 0
    yield "/", os.lstat("/")
    while ahead:
        name = ahead.pop()
        if name == "..":
            here = here.rpartition("/")[0]
            continue
        step = f"{here}/{name}"
        status = os.lstat(step)
        yield step, status
        if not stat.S_ISLNK(status.st_mode):
            here = step
            continue
        links += 1
        if links > LINKS:
            raise FileNotFoundError(path)
        target = Path(step).readlink()
        here = "" if target.is_absolute() else here
        ahead += reversed(target.parts[1:] if target.is_absolute() else target.parts)


def _fault(step: str, status: os.stat_result, owner: int) -> str | None:
    """What is wrong with one of the steps. In a sticky directory, such as /tmp, each may touch only what is his."""
    if status.st_uid not in (0, owner):
        return f"{step} belongs to {login_name(status.st_uid)}; chown {login_name(owner)} {step}"
    if stat.S_ISLNK(status.st_mode) or (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX):
        return None
    if status.st_mode & stat.S_IWOTH:
        return f"everybody may write {step}; chmod o-w {step}"
    if status.st_mode & stat.S_IWGRP and not _is_private(status):
        return f"a group may write {step}; chmod g-w {step}"
    return None


def _is_private(status: os.stat_result) -> bool:
    """Whether the group is the owner's own, as many systems make one for each user, and has no other member."""
    try:
        user, group = pwd.getpwuid(status.st_uid), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return group.gr_name == user.pw_name and user.pw_gid == group.gr_gid and set(group.gr_mem) <= {user.pw_name}


@lru_cache(maxsize=256)
def login_name(uid: int | None) -> str:
    """A user's login name, else the number; ``unknown`` where none is told."""
    if uid is None:
        return "unknown"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
