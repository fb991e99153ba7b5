"""URIs of endpoints: ``ipc://PATH`` and ``tcp://HOST:PORT``."""

import os
from typing import TYPE_CHECKING

from lmaps.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

IPC = "ipc://"
TCP = "tcp://"
MAX_IPC_PATH = 107
"""Bytes that the address of a unix socket may have."""


def is_tcp(uri: str) -> bool:
    """Whether ``uri`` is one of tcp."""
    return uri.startswith(TCP)


def check_endpoint(uri: str) -> None:
    """Raise `ConfigError` if ``uri`` cannot be an endpoint."""
    if is_tcp(uri):
        tcp_address(uri)
    else:
        ipc_file(uri)


def ipc_path(uri: str) -> "Path":
    """The file of an ``ipc://`` URI; `ConfigError` for any other transport and for a path that is too long."""
    from pathlib import Path  # noqa: PLC0415 (2 ms that a client need not pay)

    return Path(ipc_file(uri))


def ipc_file(uri: str) -> str:
    """The same as text."""
    if not uri.startswith(IPC) or not uri.removeprefix(IPC).startswith("/"):
        raise ConfigError(f"cannot use {uri!r} as an endpoint: expected ipc:// and an absolute path")
    path = uri.removeprefix(IPC)
    if len(os.fsencode(path)) > MAX_IPC_PATH:
        raise ConfigError(f"cannot use {uri}: its path has {len(os.fsencode(path))} bytes, {MAX_IPC_PATH} is the most")
    return path


def tcp_address(uri: str) -> tuple[str, int]:
    """Host and port of a ``tcp://`` URI, an IPv6 address without its brackets; `ConfigError` if it has not both."""
    host, _, port = uri.removeprefix(TCP).rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not is_tcp(uri) or not host or host == "*" or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ConfigError(f"cannot use {uri!r} as an endpoint: expected tcp://HOST:PORT, such as tcp://127.0.0.1:7733")
    return host, int(port)
