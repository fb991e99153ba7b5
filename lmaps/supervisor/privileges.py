"""Privileges of the manager: the process that parses the bytes of clients need not be root.

A manager that root starts becomes another user as soon as its sockets are bound. Before that the supervisor gives the
state to this user, and the directory of the sockets to the group whose members may connect. Directories that contain
anything else are left alone.
"""

import contextlib
import ctypes
import grp
import logging
import os
import pwd
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from lmaps.config.paths import DEFAULT_USER
from lmaps.config.settings import Config
from lmaps.errors import ConfigError
from lmaps.store import load_migrations
from lmaps.supervisor.children import end_with
from lmaps.transport.addresses import ipc_path, is_tcp

log = logging.getLogger(__name__)

PR_SET_NO_NEW_PRIVS = 38  # of linux/prctl.h

_libc = ctypes.CDLL(None, use_errno=True)


class Account(NamedTuple):
    """A user of the host, with the primary group."""

    name: str
    uid: int
    gid: int


def manager_account(config: Config) -> Account | None:
    """Return the account that the manager changes to, None if it keeps the daemon's user.

    Raises `ConfigError` if the host lacks the configured user.
    """
    if config.uid != 0:
        return None
    try:
        login = pwd.getpwnam(config.user or DEFAULT_USER)
    except KeyError:
        if config.user is None:
            return None
        raise ConfigError(f"cannot run the manager as {config.user}: this host has no such user") from None
    return Account(login.pw_name, login.pw_uid, login.pw_gid) if login.pw_uid else None


def socket_group(config: Config) -> int | None:
    """Return the gid of the group whose members may connect, None if root alone may.

    Raises `ConfigError` if the host lacks the configured group.
    """
    if config.uid != 0 or (config.group is None and manager_account(config) is None):
        return None
    try:
        return grp.getgrnam(config.group or DEFAULT_USER).gr_gid
    except KeyError:
        if config.group is None:
            return None
        raise ConfigError(f"cannot serve the group {config.group}: this host has no such group") from None


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """Create files for this user alone within the block, unless a mode is given."""
    mask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(mask)


def chown_state(config: Config) -> None:
    """Give the state to the manager's user, and the directory of the clients' sockets to their group."""
    account, group = manager_account(config), socket_group(config)
    if account is not None:
        _chown_database(Path(config.db), account)
    elif config.uid == 0 and config.user is None:
        log.warning("the manager stays root: this host has no user %s", DEFAULT_USER)
    if group is not None:
        _share_sockets(config, group)


def drop_privileges(config: Config, *, state_opened: bool) -> None:
    """Become the manager's user, for good.

    ``state_opened`` says that a manager of this daemon has opened the state, so that it needs no migration.
    Raises `ConfigError` if this user cannot read the code or write the state.
    """
    account = manager_account(config)
    if account is None:
        return
    if not state_opened and Path(config.db).exists():
        load_migrations()  # as root: a package that root installed with a strict umask is unreadable afterwards
    supervisor = os.getppid()
    os.setgroups([])  # first, as only root may do it; without it the process would keep root's groups
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    end_with(supervisor)  # the change of user has cleared it
    state, code = Path(config.db).parent, Path(__file__).parents[1]
    if not os.access(state, os.R_OK | os.W_OK | os.X_OK):
        hint = (
            f"give it a directory of its own that the user can reach: chown {account.name}: {state}; or set user: root"
        )
        raise ConfigError(f"cannot keep the state in {state} as {account.name}", hint=hint)
    if not os.access(code, os.R_OK | os.X_OK):
        raise ConfigError(
            f"cannot run the manager as {account.name}, who cannot read {code}",
            hint="make it readable, or set user: root",
        )


def _chown_database(db: Path, account: Account) -> None:
    if _contains_only(db.parent, [db.name]):
        os.chown(db.parent, account.uid, account.gid)
        db.parent.chmod(0o700)
    for entry in db.parent.iterdir():
        # The user can put links into this directory: following one, or giving away a file with a second name elsewhere,
        # would give away any file of root's.
        status = entry.lstat()
        is_state = entry.name.startswith(db.name) and entry.suffix != ".lock"
        if is_state and status.st_uid == 0 and stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            os.chown(entry, account.uid, account.gid, follow_symlinks=False)


def _share_sockets(config: Config, group: int) -> None:
    sockets = [ipc_path(uri) for uri in config.rpc.manager_bind if not is_tcp(uri)]
    names = [*(path.name for path in sockets), ipc_path(config.rpc.worker_bind).name, "jobs"]
    for directory in {path.parent for path in sockets}:
        if _contains_only(directory, names):
            os.chown(directory, 0, group)
            directory.chmod(0o750)


def _contains_only(directory: Path, names: Collection[str]) -> bool:
    """Return whether a directory is root's, and contains only entries whose names begin with ``names``."""
    return directory.stat().st_uid == 0 and all(entry.name.startswith(tuple(names)) for entry in directory.iterdir())
