"""What every test has: a home of its own, no way to touch the machine, and real daemons that leave nothing behind."""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.daemons import RunningDaemon

FORBIDDEN = ("/etc/", "/run/", "/var/lib/", "/var/run/", "/var/log/")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def forbid_the_machine(event: str, args: tuple[Any, ...]) -> None:
    """No test writes where the machine keeps its own."""
    if event not in ("open", "os.mkdir", "os.remove", "os.rename"):
        return
    path = os.fsdecode(args[0]) if isinstance(args[0], str | bytes | os.PathLike) else ""
    writes = event != "open" or bool((args[2] or 0) & WRITING)
    if writes and path.startswith(FORBIDDEN):
        raise PermissionError(f"a test must not touch {path}")


sys.addaudithook(forbid_the_machine)
settings.register_profile("untimed", deadline=None)  # a loaded machine is no fault
settings.load_profile("untimed")
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests in the background ignores it


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of the test's own, and none of the user's settings."""
    home = tmp_path_factory.mktemp("home")
    for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR", "LMAPS_CONFIG", "LMAPS_ENDPOINT", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path is short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture
def start_daemon(short_path: Path) -> Iterator[Callable[..., RunningDaemon]]:
    """Starts real daemons; whatever they were used for, nothing of them is left after the test."""
    started: list[RunningDaemon] = []

    def start(units: str = "", *options: str, wait: bool = True, **settings: Any) -> RunningDaemon:
        directory = short_path / str(len(started))
        directory.mkdir()
        started.append(RunningDaemon(directory, units, *options, **settings))
        if wait:
            started[-1].wait_ready()
        return started[-1]

    yield start
    for daemon in started:
        daemon.end()


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """For tests that set up logging in their own process."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    logging.getLogger("lmaps").setLevel(logging.NOTSET)
