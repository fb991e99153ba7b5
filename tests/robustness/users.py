"""Processes of other users: a child of the test becomes one, does something, and tells what came of it."""

import json
import os
from collections.abc import Callable
from typing import Any

from tests.daemons import RunningDaemon
from tests.robustness.conftest import cannot

NOBODY = 65534


def as_user(function: Callable[[], Any], uid: int = NOBODY, gid: int = NOBODY) -> Any:
    """What ``function`` gives, as JSON, when a process of this user and group calls it."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            os.write(theirs, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answers:
        told = answers.read()
    os.waitpid(child, 0)
    assert told, "the other user's process failed"
    return json.loads(told)


def let_in(daemon: RunningDaemon) -> None:
    """Let every user come to the daemon's socket; only root can try."""
    if os.getuid() != 0:
        cannot("only root can become other users")
    for path, mode in (
        (daemon.directory.parent, 0o711),
        (daemon.directory, 0o711),
        (daemon.directory / "m.sock", 0o666),
    ):
        path.chmod(mode)
