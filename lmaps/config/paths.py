"""Where the configuration is looked for, and where sockets and files lie unless it says otherwise."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from lmaps.errors import ConfigError

DIRECTORIES = (".", "~", "~/.config", "/etc", "/etc/lmaps")
NAMES = ("lmaps.yaml", ".lmaps", ".lmaps.yaml")
SYSTEM_POLICY = "/etc/lmaps/policy.yaml"
SYSTEM_ENDPOINT = "ipc:///run/lmaps/manager.sock"
CLIENT_KEY, SERVER_PUBLIC_KEY = "~/.config/lmaps/client.key", "~/.config/lmaps/server.pub"


class Paths(NamedTuple):
    """Where state and sockets lie unless the configuration says otherwise."""

    db: str
    manager_socket: str
    worker_socket: str


def find_config_file() -> str | None:
    """The configuration that holds here: the first of `NAMES` in the first of `DIRECTORIES` that has one, else None."""
    for directory in DIRECTORIES:
        for name in NAMES:
            path = normal(os.path.join(os.getcwd(), expanded(directory), name))
            if os.access(path, os.F_OK) and os.path.isfile(path):
                return path
    return None


def read(file: str) -> bytes:
    """What is in the configuration ``file``; `ConfigError` if it cannot be read."""
    try:
        with open(file, "rb") as opened:
            return opened.read()
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {file}: {error.strerror}") from error


def default_paths(uid: int, environ: Mapping[str, str]) -> Paths:
    """Root's lie in /var/lib and /run, everybody else's where the XDG directories are."""
    if uid == 0:
        return Paths("/var/lib/lmaps/lmaps.db", "/run/lmaps/manager.sock", "/run/lmaps/internal.sock")
    home = expanded(environ.get("HOME", "~"))
    state = os.path.join(environ.get("XDG_STATE_HOME") or os.path.join(home, ".local/state"), "lmaps")
    run = os.path.join(environ["XDG_RUNTIME_DIR"], "lmaps") if environ.get("XDG_RUNTIME_DIR") else state
    files = (os.path.join(state, "lmaps.db"), os.path.join(run, "manager.sock"), os.path.join(run, "internal.sock"))
    return Paths(*map(normal, files))


def default_policy(uid: int) -> str | None:
    """Root's policy, if it is there."""
    return SYSTEM_POLICY if uid == 0 and os.path.exists(SYSTEM_POLICY) else None


def default_endpoint(uid: int, environ: Mapping[str, str]) -> str:
    """This user's own daemon if its socket is there, else the system's."""
    own = default_paths(uid, environ).manager_socket
    return f"ipc://{own}" if os.path.exists(own) else SYSTEM_ENDPOINT


def directory(file: str | None) -> str:
    """What relative paths count from: the directory of ``file``, else the current one."""
    return os.path.dirname(normal(os.path.join(os.getcwd(), file))) if file else os.getcwd()


def absolute(name: str, base: str) -> str:
    """The path that ``name`` is below the directory ``base``."""
    return normal(os.path.join(base, expanded(name)))


def absolute_uri(uri: str, base: str) -> str:
    """``ipc://`` URIs with a relative path count from ``base``, too."""
    scheme, _, path = uri.partition("://")
    return f"ipc://{absolute(path, base)}" if scheme == "ipc" and path else uri


def expanded(name: str) -> str:
    """``name`` with the home directory in the place of ``~``; `ConfigError` if nobody has that home."""
    found = os.path.expanduser(normal(name))
    if found.startswith("~"):
        raise ConfigError(f"cannot find {name}: there is no such home directory; write out the path")
    return normal(found)


def normal(path: str) -> str:
    """``path`` as pathlib writes it."""
    root = "/" if path.startswith("/") else ""
    if path.startswith("//") and not path.startswith("///"):
        root = "//"
    return root + "/".join(part for part in path.split("/") if part not in ("", ".")) or "."
