"""Where the configuration is looked for, and where sockets and files lie unless it says otherwise."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from lmaps.config.values import expanded, normal
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
