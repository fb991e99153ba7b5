"""Who may write, read and connect to what."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from lmaps.diagnostics.look import Found, Look
from lmaps.errors import ConfigError
from lmaps.model.policy import load_policy
from lmaps.store import read_key
from lmaps.transport.addresses import is_tcp
from lmaps.transport.curve import read_server_keys
from lmaps.util.ownership import foreign_hand, login_name
from lmaps.util.text import plural

SHOWN = 3
"""So many offenders are named."""


def configuration(look: Look) -> Found:
    """What root may be asked to do stands in files that nobody else may write."""
    return _kept(list(_instructions(look)), look.owner)


def _instructions(look: Look) -> Iterator[Path]:
    """Configuration, unit files and plugins, with the directories that they lie in."""
    if look.settings["file"]:
        yield Path(look.settings["file"])
    for directory in map(Path, (*look.settings["unit_dirs"], *look.settings["plugin_dirs"])):
        if directory.is_dir():
            yield directory
            yield from sorted(path for path in directory.iterdir() if path.suffix in (".yaml", ".yml", ".json", ".py"))


def policy(look: Look) -> Found:
    """The policy can be loaded, and is nobody else's to write."""
    file = look.settings["policy"]
    if file is None:
        return Found("ok", "the built-in lines: root, the daemon's user, the group lmaps")
    Path(file).open("rb").close()
    try:
        load_policy(file, look.owner)
    except ConfigError as error:
        place = f": {error.errors[0].place} {error.errors[0].message}" if error.errors else ""
        return Found("fault", f"{error.message}{place}", "mend it, then: lmaps reload")
    return _kept([Path(file)], look.owner)


def keys(look: Look) -> Found:
    """Keys can be used, and nobody else can read them."""
    told = look.settings
    remote = any(map(is_tcp, told["endpoints"]))
    used = [Path(file) for file in (told["state_key"], told["server_key"] if remote else None) if file]
    for file in used:
        file.open("rb").close()
    try:
        if told["state_key"]:
            read_key(told["state_key"])
        if remote:
            read_server_keys(told["server_key"], told["authorized_keys"])
    except ConfigError as error:
        return Found("fault", error.message, error.hint)
    return _kept(used, look.owner) if used else Found("ok", "none is used")


def sockets(look: Look) -> Found:
    """Where the daemon listens there are sockets, which not everybody can connect to."""
    paths = [*look.sockets, look.worker_socket]
    for path in paths:
        if path.exists() and not path.is_socket():
            return Found("fault", f"{path} is no socket: the daemon cannot listen there", "move it away")
    if not look.runs:
        stale = [path for path in paths if path.exists()]
        return Found("ok", f"{plural(len(stale), 'old socket')}, to be replaced" if stale else "no daemon listens")
    for path, allowed in [*((path, 0o660) for path in look.sockets), (look.worker_socket, 0o600)]:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & ~allowed:
            return Found("fault", f"{path} has mode {mode:04o}, {allowed:04o} is the most", f"chmod {allowed:o} {path}")
    return Found("ok", plural(len(paths), "socket"))


def state(look: Look) -> Found:
    """Nobody else can read the database, its log and its copies, or put others in their place."""
    if not look.db.parent.is_dir():
        return Found("ok", f"there is no {look.db.parent} yet")
    files = sorted(path for path in look.db.parent.glob(f"{look.db.name}*") if path.is_file())
    readable = [path for path in files if path.stat().st_mode & 0o077]
    if readable:
        return Found("fault", f"others can use {_listed(readable)}", f"chmod 600 {_listed(readable)}")
    return _kept([look.db.parent, *files], look.manager)


def _kept(paths: list[Path], owner: int) -> Found:
    """Whether root and ``owner`` alone may write ``paths``, and put others in their place."""
    for path in paths:
        path.stat()  # what this user may not look at is unknown, and no fault
    faults = list(dict.fromkeys(filter(None, (foreign_hand(path, owner) for path in paths))))
    if faults:
        words, _, todo = faults[0].partition("; ")
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        return Found("fault", f"{words}{more}", todo)
    writers = " and ".join(sorted({login_name(owner), login_name(0)}))
    return Found("ok", f"{plural(len(paths), 'path')}, to be written by {writers} alone")


def _listed(paths: Iterable[Path]) -> str:
    told = [os.fspath(path) for path in paths]
    more = len(told) - SHOWN
    return " ".join(told[:SHOWN]) + (f" and {more} more" if more > 0 else "")
