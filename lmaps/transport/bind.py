"""Sockets that are bound to their addresses and do not listen yet: made by a process that still has root's rights.

A stale unix socket is replaced, anything else at a path is refused. libzmq's own ``bind`` unlinks whatever it finds: it
would delete a regular file, and take the socket of another daemon that is running.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from lmaps.errors import AnotherDaemon, ConfigError
from lmaps.transport.addresses import ipc_path, is_tcp, tcp_address


class BoundSocket(NamedTuple):
    """A socket that is bound to ``uri``."""

    uri: str
    socket: socket.socket


def bind_sockets(uris: Sequence[str], group: int | None = None) -> list[BoundSocket]:
    """Return a bound socket for each of ``uris``. The files have mode 0600; with a ``group`` (gid) 0660 and that group.

    Raises `ConfigError` for an address that cannot be used, `AnotherDaemon` if another process listens there.
    """
    sockets: list[BoundSocket] = []
    try:
        for uri in uris:
            sockets.append(BoundSocket(uri, _bind_tcp(uri) if is_tcp(uri) else _bind_unix(ipc_path(uri), group)))
    except BaseException:
        for bound in sockets:
            bound.socket.close()
        raise
    return sockets


def remove(uris: Iterable[str]) -> None:
    """Remove the socket files of ``uris``, which have to be this process's own."""
    for uri in uris:
        if not is_tcp(uri):
            # A manager without root's rights may not delete in /run/lmaps: the supervisor does it then.
            with contextlib.suppress(FileNotFoundError, PermissionError):
                ipc_path(uri).unlink()


def remove_stale(uris: Iterable[str]) -> None:
    """Remove the socket files of ``uris`` at which no process listens any more."""
    for uri in uris:
        if not is_tcp(uri) and ipc_path(uri).is_socket() and not _is_served(ipc_path(uri)):
            ipc_path(uri).unlink()


def _bind_unix(path: Path, group: int | None) -> socket.socket:
    _remove_stale_file(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    # The umask, not a chmod afterwards: between bind and chmod any user could connect.
    mask = os.umask(0o177)
    try:
        bound.bind(str(path))
        if group is not None:
            os.chown(path, -1, group, follow_symlinks=False)  # before the mode: else the old group gets the rights
            path.chmod(0o660)
    except OSError as error:
        bound.close()
        raise ConfigError(f"cannot listen at {path}: {error.strerror}") from error
    finally:
        os.umask(mask)
    return bound


def _remove_stale_file(path: Path) -> None:
    """Remove a socket at which no process listens; raise if anything else is at ``path``."""
    try:
        mode = path.lstat().st_mode  # lstat: a link to a socket is no socket of ours
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"cannot listen at {path}: {error.strerror}") from error
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"cannot listen at {path}: the file is no socket; move it away, or set rpc.manager_bind")
    if _is_served(path):
        raise AnotherDaemon(f"cannot listen at {path}: another program listens there")
    path.unlink()


def _is_served(path: Path) -> bool:
    """Return whether a process listens at the unix socket ``path``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _bind_tcp(uri: str) -> socket.socket:
    host, port = tcp_address(uri)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol)
    except OSError as error:
        raise ConfigError(f"cannot listen at {uri}: {error.strerror}") from error
    try:
        # Without it a restarted daemon could not bind for a minute, while old connections are in TIME_WAIT.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise ConfigError(f"cannot listen at {uri}: {error.strerror}") from error
    return bound
