"""One daemon per state and socket: file locks, which the kernel frees however their holder ends.

A lock file holds its holder's pid, for people; only the lock counts, so a stale file is no obstacle. Lock files are
never removed: another daemon may just be opening one.
"""

import contextlib
import fcntl
import os
import select
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from lmaps.config import Config
from lmaps.errors import AnotherDaemon, ConfigError
from lmaps.transport.addresses import ipc_path, is_tcp

NAMED_WITHIN = 1.0
"""Seconds within which a daemon that has just taken a lock has written its pid."""


def held_paths(config: Config, worker_endpoint: str) -> Iterator[Path]:
    """Yield what no other daemon may use: the state, the clients' sockets, the folder of the jobs that run."""
    yield Path(config["db"])
    yield from (ipc_path(uri) for uri in config["rpc"]["manager_bind"] if not is_tcp(uri))
    yield ipc_path(worker_endpoint).parent / "jobs"


@contextlib.contextmanager
def locked(paths: Iterable[Path]) -> Iterator[None]:
    """Hold, within the block, the lock beside each of ``paths`` (``PATH.lock``); their directories are made.

    Raises `AnotherDaemon` naming the pid of the daemon that holds one of them.
    """
    with contextlib.ExitStack() as held:
        for path in dict.fromkeys(paths):
            held.callback(os.close, _lock(path))
        yield


def make_directory(directory: Path) -> None:
    """Make ``directory`` and what is missing above it, each for this user alone."""
    try:
        for missing in reversed([path for path in (directory, *directory.parents) if not path.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the directory {directory}: {error.strerror}") from error


def _lock(path: Path) -> int:
    make_directory(path.parent)
    file = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot open the lock {file}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = _holder(file)
        os.close(descriptor)
        told = f"another lmapsd{f' (pid {holder})' if holder else ''} uses {path}"
        raise AnotherDaemon(f"cannot start: {told}", hint="stop it, or use another db and bind") from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def holder_of(path: Path) -> int | None:
    """The pid of the daemon that holds the lock beside ``path``; None if nobody does. It is not touched."""
    try:
        found = path.with_name(path.name + ".lock").stat()
    except FileNotFoundError:
        return None
    inode = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if words[1] == "FLOCK" and words[5] == inode:
            return int(words[4])
    return None


def _holder(file: Path) -> int | None:
    """The pid in a lock file that is held. For a moment after the lock was taken an older one may stand there."""
    deadline = time.monotonic() + NAMED_WITHIN
    while True:
        written = file.read_text().strip()
        if written.isdecimal() and Path(f"/proc/{written}").exists():
            return int(written)
        if time.monotonic() >= deadline:
            return None
        select.select([], [], [], 0.01)
