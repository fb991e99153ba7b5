"""Paths: the places of the configuration, and the default places of sockets and files."""

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from lmaps.errors import ConfigError

DIRECTORIES = (".", "~", "~/.config", "/etc", "/etc/lmaps")
NAMES = ("lmaps.yaml", ".lmaps", ".lmaps.yaml")
DEFAULT_USER = "lmaps"
"""Whom root's manager becomes, and its sockets' group, where the configuration says nothing and the host has them."""
SYSTEM_POLICY = "/etc/lmaps/policy.yaml"
SYSTEM_ENDPOINT = "ipc:///run/lmaps/manager.sock"
CLIENT_KEY, SERVER_PUBLIC_KEY = "~/.config/lmaps/client.key", "~/.config/lmaps/server.pub"


class Paths(NamedTuple):
    """The default places of the database and the sockets."""

    db: str
    manager_socket: str
    worker_socket: str


def config_files() -> Iterator[str]:
    """Yield each of `NAMES` that is there in each of `DIRECTORIES`."""
    for directory in DIRECTORIES:
        for name in NAMES:
            path = normal(os.path.join(os.getcwd(), expanded(directory), name))
            if os.access(path, os.F_OK) and os.path.isfile(path):
                yield path


def find_config_file() -> str | None:
    """Return the first of `config_files`, or None. The daemon checks then who may write it."""
    return next(config_files(), None)


def read(file: str) -> bytes:
    """Return the content of the configuration ``file``; raise `ConfigError` if it cannot be read."""
    try:
        with open(file, "rb") as opened:
            return opened.read()
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {file}: {error.strerror}") from error


def default_paths(uid: int, environ: Mapping[str, str]) -> Paths:
    """Return root's paths in /var/lib and /run, and everybody else's in the XDG directories."""
    if uid == 0:
        return Paths("/var/lib/lmaps/lmaps.db", "/run/lmaps/manager.sock", "/run/lmaps/internal.sock")
    home = expanded(environ.get("HOME", "~"))
    state = os.path.join(environ.get("XDG_STATE_HOME") or os.path.join(home, ".local/state"), "lmaps")
    run = os.path.join(environ["XDG_RUNTIME_DIR"], "lmaps") if environ.get("XDG_RUNTIME_DIR") else state
    files = (os.path.join(state, "lmaps.db"), os.path.join(run, "manager.sock"), os.path.join(run, "internal.sock"))
    return Paths(*map(normal, files))


def default_policy(uid: int) -> str | None:
    """Return the path of root's policy if the file exists, else None."""
    return SYSTEM_POLICY if uid == 0 and os.path.exists(SYSTEM_POLICY) else None


def default_endpoint(uid: int, environ: Mapping[str, str]) -> str:
    """Return the endpoint of the user's own daemon if its socket exists, else the system's."""
    own = default_paths(uid, environ).manager_socket
    return f"ipc://{own}" if os.path.exists(own) else SYSTEM_ENDPOINT


def directory(file: str | None) -> str:
    """Return the directory that relative paths start from: that of ``file``, without one the current directory."""
    return os.path.dirname(normal(os.path.join(os.getcwd(), file))) if file else os.getcwd()


def absolute(name: str, base: str) -> str:
    """Return ``name`` as an absolute path; a relative one starts from the directory ``base``."""
    return normal(os.path.join(base, expanded(name)))


def absolute_uri(uri: str, base: str) -> str:
    """Return ``uri``; the path of an ``ipc://`` URI is made absolute, from the directory ``base``."""
    scheme, _, path = uri.partition("://")
    return f"ipc://{absolute(path, base)}" if scheme == "ipc" and path else uri


def expanded(name: str) -> str:
    """Return ``name`` with the home directory instead of ``~``; raise `ConfigError` if there is no such home."""
    path = os.path.expanduser(normal(name))
    if path.startswith("~"):
        raise ConfigError(f"cannot find {name}: there is no such home directory; write out the path")
    return normal(path)


def normal(path: str) -> str:
    """Return ``path`` as pathlib writes it; importing pathlib would cost the command line 5 ms."""
    root = "/" if path.startswith("/") else ""
    if path.startswith("//") and not path.startswith("///"):
        root = "//"
    return root + "/".join(part for part in path.split("/") if part not in ("", ".")) or "."
