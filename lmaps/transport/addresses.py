"""URIs of endpoints: ``ipc://PATH`` and ``tcp://HOST:PORT``."""

import os
from typing import TYPE_CHECKING

from lmaps.errors import ConfigError
from lmaps.util.lazy import LazyModule

if TYPE_CHECKING:
    import pathlib
else:
    pathlib = LazyModule("pathlib")  # 2 ms that a client does without

IPC = "ipc://"
TCP = "tcp://"
MAX_IPC_PATH_BYTES = 107
"""The kernel's limit for the address of a unix socket, less its final NUL."""


def is_tcp(uri: str) -> bool:
    """Return whether ``uri`` is a tcp endpoint."""
    return uri.startswith(TCP)


def check_endpoint(uri: str) -> None:
    """Raise `ConfigError` if ``uri`` cannot be an endpoint."""
    if is_tcp(uri):
        tcp_address(uri)
    else:
        ipc_file(uri)


def ipc_path(uri: str) -> "pathlib.Path":
    """Return the file of an ``ipc://`` URI; raise `ConfigError` for any other URI and for a path that is too long."""
    return pathlib.Path(ipc_file(uri))


def ipc_file(uri: str) -> str:
    """Return the file of an ``ipc://`` URI as text; raise `ConfigError` as `ipc_path` does."""
    # Absolute only: abstract sockets ("@name") have no file, and so no mode that keeps other users out.
    if not uri.startswith(IPC) or not uri.removeprefix(IPC).startswith("/"):
        raise ConfigError(f"cannot use {uri!r} as an endpoint: expected ipc:// and an absolute path")
    path = uri.removeprefix(IPC)
    length = len(os.fsencode(path))
    if length > MAX_IPC_PATH_BYTES:
        raise ConfigError(f"cannot use {uri}: its path has {length} bytes, {MAX_IPC_PATH_BYTES} is the most")
    return path


def tcp_address(uri: str) -> tuple[str, int]:
    """Return host and port of a ``tcp://`` URI, an IPv6 address without its brackets.

    Raises `ConfigError` if one of them is missing, and for the host ``*``: all interfaces are served only if somebody
    writes 0.0.0.0 or [::].
    """
    host, _, port = uri.removeprefix(TCP).rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not is_tcp(uri) or not host or host == "*" or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ConfigError(f"cannot use {uri!r} as an endpoint: expected tcp://HOST:PORT, such as tcp://127.0.0.1:7733")
    return host, int(port)
