"""What root hands over, and gives up: the process that reads the bytes of clients need not be root.

Root's manager becomes another user as soon as its sockets are bound. Before that the supervisor hands the state over to
him, and the sockets' directory to the group whose members may connect; directories that hold anything else are left
alone.
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

from lmaps.config import Config
from lmaps.errors import ConfigError
from lmaps.store import load_migrations
from lmaps.supervisor.children import end_with
from lmaps.transport.addresses import ipc_path, is_tcp

log = logging.getLogger(__name__)

ACCOUNT = "lmaps"
"""The user and the group that are taken if the host has them."""
PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)


class Account(NamedTuple):
    """A user of the host and his group."""

    name: str
    uid: int
    gid: int


def manager_account(config: Config) -> Account | None:
    """Whom the manager becomes; None where it stays who it is. `ConfigError` if the host has no such user."""
    if config["uid"] != 0:
        return None
    try:
        login = pwd.getpwnam(config["user"] or ACCOUNT)
    except KeyError:
        if config["user"] is None:
            return None
        raise ConfigError(f"cannot run the manager as {config['user']}: this host has no such user") from None
    return Account(login.pw_name, login.pw_uid, login.pw_gid) if login.pw_uid else None


def socket_group(config: Config) -> int | None:
    """The group whose members may connect, beside root; None where there is none. `ConfigError` as above."""
    if config["uid"] != 0 or (config["group"] is None and manager_account(config) is None):
        return None
    try:
        return grp.getgrnam(config["group"] or ACCOUNT).gr_gid
    except KeyError:
        if config["group"] is None:
            return None
        raise ConfigError(f"cannot serve the group {config['group']}: this host has no such group") from None


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """Within the block what is made is for this user alone, unless it is said otherwise."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def chown_state(config: Config) -> None:
    """Give the state to the manager's user, and the clients' sockets' directory to their group."""
    account, group = manager_account(config), socket_group(config)
    if account is not None:
        _give_state(Path(config["db"]), account)
    elif config["uid"] == 0 and config["user"] is None:
        log.warning("the manager stays root: this host has no user %s", ACCOUNT)
    if group is not None:
        _share_sockets(config, group)


def drop_privileges(config: Config, *, known: bool) -> None:
    """Become the manager's user, for good. A state that is ``known``, or is not there, needs no upgrade.

    Raises `ConfigError` if that user cannot do the manager's work where it is.
    """
    account = manager_account(config)
    if account is None:
        return
    if not known and Path(config["db"]).exists():
        load_migrations()  # later this may be out of reach: who installs as root may forget who else has to read it
    supervisor = os.getppid()
    os.setgroups([])
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    end_with(supervisor)
    state, code = Path(config["db"]).parent, Path(__file__).parents[1]
    if not os.access(state, os.R_OK | os.W_OK | os.X_OK):
        hint = f"it takes a directory of its own, which can be reached: chown {account.name}: {state}; or user: root"
        raise ConfigError(f"cannot keep the state in {state} as {account.name}", hint=hint)
    if not os.access(code, os.R_OK | os.X_OK):
        raise ConfigError(f"cannot run the manager as {account.name}, who cannot read {code}", hint="or user: root")


def _give_state(db: Path, account: Account) -> None:
    """The user may put links into his directory, so none is followed, and nothing with two names is given away."""
    if _is_roots(db.parent, [db.name]):
        os.chown(db.parent, account.uid, account.gid)
        db.parent.chmod(0o700)
    for entry in db.parent.iterdir():
        status = entry.lstat()
        ours = entry.name.startswith(db.name) and entry.suffix != ".lock"
        if ours and status.st_uid == 0 and stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            os.chown(entry, account.uid, account.gid, follow_symlinks=False)


def _share_sockets(config: Config, group: int) -> None:
    sockets = [ipc_path(uri) for uri in config["rpc"]["manager_bind"] if not is_tcp(uri)]
    names = [*(path.name for path in sockets), ipc_path(config["rpc"]["worker_bind"]).name, "jobs"]
    for directory in {path.parent for path in sockets}:
        if _is_roots(directory, names):
            os.chown(directory, 0, group)
            directory.chmod(0o750)


def _is_roots(directory: Path, names: Collection[str]) -> bool:
    """Whether a directory is root's, and holds only what begins with these names."""
    return directory.stat().st_uid == 0 and all(entry.name.startswith(tuple(names)) for entry in directory.iterdir())
