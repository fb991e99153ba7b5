"""One daemon per state and socket: file locks, which the kernel frees however their holder ends.

A lock file contains its holder's pid, for people; only the lock counts, so a stale file is no obstacle. Lock files are
never removed: another daemon could have opened the file just before, and would lock a file that nobody else sees.
"""

import contextlib
import fcntl
import os
import select
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from lmaps.config.settings import Config
from lmaps.errors import AnotherDaemon, ConfigError
from lmaps.transport.addresses import ipc_path, is_tcp

PID_TIMEOUT_S = 1.0
"""A daemon that has just taken a lock has written its pid within this time."""
PID_INTERVAL_S = 0.01


def exclusive_paths(config: Config, worker_endpoint: str) -> Iterator[Path]:
    """Yield the paths that one daemon alone may use: the state, the clients' sockets, the folder of running jobs."""
    yield Path(config.db)
    yield from (ipc_path(uri) for uri in config.rpc.manager_bind if not is_tcp(uri))
    yield ipc_path(worker_endpoint).parent / "jobs"


@contextlib.contextmanager
def locked(paths: Iterable[Path]) -> Iterator[None]:
    """Hold the locks beside ``paths`` (``PATH.lock``) within the block; missing directories are created.

    Raises `AnotherDaemon`, with the pid of the holder, if another process holds one of them.
    """
    with contextlib.ExitStack() as locks:
        for path in dict.fromkeys(paths):
            locks.callback(os.close, _lock(path))
        yield


def make_directory(directory: Path) -> None:
    """Create ``directory`` and its missing parents, each accessible to this user alone.

    Raises `ConfigError` if one of them cannot be created.
    """
    try:
        # Path.mkdir(parents=True) would give the parents the default mode.
        for missing in reversed([path for path in (directory, *directory.parents) if not path.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the directory {directory}: {error.strerror}") from error


def _lock(path: Path) -> int:
    make_directory(path.parent)
    file = _lock_file(path)
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot open the lock {file}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        pid = _written_pid(file)
        os.close(descriptor)
        message = f"cannot start: another lmapsd{f' (pid {pid})' if pid else ''} uses {path}"
        raise AnotherDaemon(message, hint="stop it, or use another db and bind") from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def lock_holder(path: Path) -> int | None:
    """Return the pid of the process that holds the lock beside ``path``, None if no process does.

    The kernel is asked: a lock file need not be readable for this user, and taking the lock would disturb a start.
    """
    try:
        status = _lock_file(path).stat()
    except FileNotFoundError:
        return None
    inode = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if fields[1] == "FLOCK" and fields[5] == inode:
            return int(fields[4])
    return None


def _lock_file(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _written_pid(file: Path) -> int | None:
    """Return the pid in a lock file that is held; right after the lock was taken the pid may still be an older one."""
    deadline = time.monotonic() + PID_TIMEOUT_S
    while True:
        text = file.read_text().strip()
        if text.isdecimal() and Path(f"/proc/{text}").exists():
            return int(text)
        if time.monotonic() >= deadline:
            return None
        select.select([], [], [], PID_INTERVAL_S)
