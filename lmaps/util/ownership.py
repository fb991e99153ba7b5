"""Ownership: files that tell the daemon what to do must be writable by root and its own user alone."""

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from functools import lru_cache

from lmaps.errors import ConfigError

MAX_LINKS = 40
"""Symbolic links on the way to a file; a path with more is taken for a loop, as the kernel does."""


def check_owned(path: str | os.PathLike[str], owner: int, what: str) -> None:
    """Raise `ConfigError` if anybody besides root and ``owner`` may write ``path``; ``what`` says what it is."""
    fault = ownership_fault(path, owner)
    if fault is not None:
        raise ConfigError(f"cannot use {what} {path}: {fault}")


def ownership_fault(path: str | os.PathLike[str], owner: int) -> str | None:
    """Return a message about who besides root and ``owner`` may write ``path`` or replace it; None if nobody may.

    Every directory and link on the way to it is checked. A file that is gone is a fault: its writer may take it away
    for the moment of the check. So callers that have a better message for a missing file read it first.
    """
    try:
        return next(filter(None, (_fault(*step, owner) for step in _steps(os.fspath(path)))), None)
    except FileNotFoundError:
        return "it is gone"
    except OSError as error:
        return f"it cannot be looked at: {error.strerror}"


def follow(path: str | os.PathLike[str], user: int) -> tuple[str, str | None]:
    """Return ``path`` with its links followed, and the first link of others in a directory such as /tmp, or None.

    The kernel follows none of these (fs.protected_symlinks), where it is told so. Both come from one look at each step:
    a link that is made later is in the result as a name, and is not followed.
    """
    end, foreign = "/", None
    for step, status in _steps(os.fspath(path)):
        if status is None or not stat.S_ISLNK(status.st_mode):
            end = step
        elif foreign is None and status.st_uid not in (0, user):
            directory = os.stat(os.path.dirname(step))
            if directory.st_mode & stat.S_ISVTX and directory.st_mode & stat.S_IWOTH:
                foreign = step
    return end, foreign


def _steps(path: str) -> Iterator[tuple[str, os.stat_result | None]]:
    """Yield every directory and link on the way to ``path``, and the file itself; with None what is not there."""
    here, ahead, links = "", _parts(os.path.join(os.getcwd(), path)), 0
    yield "/", os.lstat("/")
    while ahead:
        name = ahead.pop()
        if name == "..":
            here = here.rpartition("/")[0]
            yield here or "/", _status(here or "/")
            continue
        step = f"{here}/{name}"
        status = _status(step)
        yield step, status
        if status is None or not stat.S_ISLNK(status.st_mode):
            here = step
            continue
        links += 1
        if links > MAX_LINKS:
            raise FileNotFoundError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(step)
        here = "" if target.startswith("/") else here
        ahead += _parts(target)


def _status(step: str) -> os.stat_result | None:
    try:
        return os.lstat(step)
    except FileNotFoundError:
        return None


def _parts(path: str) -> list[str]:
    """Return the names in a path, the last one first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _fault(step: str, status: os.stat_result | None, owner: int) -> str | None:
    """Return what is wrong with one step of a path."""
    if status is None:
        raise FileNotFoundError(step)
    if status.st_uid not in (0, owner):
        return f"{step} belongs to {login_name(status.st_uid)}; chown {login_name(owner)} {step}"
    # a link has no mode of its own; in a sticky directory, such as /tmp, users can replace only their own files
    if stat.S_ISLNK(status.st_mode) or (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX):
        return None
    if status.st_mode & stat.S_IWOTH:
        return f"everybody may write {step}; chmod o-w {step}"
    if status.st_mode & stat.S_IWGRP and not _is_private(status):
        return f"a group may write {step}; chmod g-w {step}"
    return None


def _is_private(status: os.stat_result) -> bool:
    """Return whether the group is the owner's own, as many systems make one per user, and has no other member."""
    try:
        user, group = pwd.getpwuid(status.st_uid), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return group.gr_name == user.pw_name and user.pw_gid == group.gr_gid and set(group.gr_mem) <= {user.pw_name}


@lru_cache(maxsize=256)
def login_name(uid: int | None) -> str:
    """Return a user's login name, the number if there is none, or ``unknown`` for None."""
    if uid is None:
        return "unknown"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
