"""Sockets bound to their addresses, and not yet listening: made by a process that still has its rights.

A stale unix socket is replaced, anything else at a path is refused: ``ipc`` of libzmq alone would unlink whatever it
finds.
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
    """A socket for each of ``uris``. The files are of mode 0600; with a ``group`` (gid) 0660 and that group's.

    Raises `ConfigError` for what cannot be used, `AnotherDaemon` if somebody listens there.
    """
    made: list[BoundSocket] = []
    try:
        for uri in uris:
            made.append(BoundSocket(uri, _bind_tcp(uri) if is_tcp(uri) else _bind_unix(ipc_path(uri), group)))
    except BaseException:
        for bound in made:
            bound.socket.close()
        raise
    return made


def remove(uris: Iterable[str]) -> None:
    """Remove the files of ``uris``, which are this process's own."""
    for uri in uris:
        if not is_tcp(uri):
            with contextlib.suppress(FileNotFoundError, PermissionError):  # the supervisor does what we may not
                ipc_path(uri).unlink()


def remove_stale(uris: Iterable[str]) -> None:
    """Remove the sockets at ``uris`` that nobody serves any more."""
    for uri in uris:
        if not is_tcp(uri) and ipc_path(uri).is_socket() and not _is_served(ipc_path(uri)):
            ipc_path(uri).unlink()


def _bind_unix(path: Path, group: int | None) -> socket.socket:
    _clear(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    mask = os.umask(0o177)
    try:
        bound.bind(str(path))
        if group is not None:
            os.chown(path, -1, group, follow_symlinks=False)
            path.chmod(0o660)
    except OSError as error:
        bound.close()
        raise ConfigError(f"cannot listen at {path}: {error.strerror}") from error
    finally:
        os.umask(mask)
    return bound


def _clear(path: Path) -> None:
    """Make way at ``path`` if what is there is a socket that nobody serves."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"cannot listen at {path}: {error.strerror}") from error
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"cannot listen at {path}: it is no socket; move it away, or set rpc.manager_bind")
    if _is_served(path):
        raise AnotherDaemon(f"cannot listen at {path}: another program does")
    path.unlink()


def _is_served(path: Path) -> bool:
    """Whether a process listens at the unix socket ``path``."""
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
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise ConfigError(f"cannot listen at {uri}: {error.strerror}") from error
    return bound
