"""The processes of a daemon with four workers: killed, looked at, started."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from bench.gunicorn import Gunicorn
from bench.ours import daemon, start
from bench.table import Measure, children
from bench.timing import program, proportional
from lmaps import Client
from lmaps.errors import LmapsError


class Tree:
    """Daemons with four workers below a folder; a kill has one of its own, as the second death is made to wait."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = count()

    @contextmanager
    def _fresh(self) -> Iterator[Client]:
        directory = self._folder()
        with daemon(directory, workers=4) as client:
            while not _all_idle(client):
                os.sched_yield()
            yield client

    def _folder(self) -> Path:
        directory = self._directory / f"tree{next(self._numbers)}"
        directory.mkdir()
        return directory

    def worker(self) -> float:
        """A killed worker is replaced, and ready [ms]."""
        with self._fresh() as client:
            before = {row["pid"] for row in client.call("status").extra["workers"]}
            begin = time.perf_counter()
            os.kill(min(before), signal.SIGKILL)
            while not (_all_idle(client) and min(before) not in _workers(client)):
                pass
            return 1000 * (time.perf_counter() - begin)

    def manager(self) -> float:
        """A killed manager answers again, to a client that asks at once and waits [ms]."""
        with self._fresh() as client:
            pid = client.call("status").extra["pid"]
            begin = time.perf_counter()
            os.kill(pid, signal.SIGKILL)
            while _manager(client.endpoint) in (None, pid):
                pass
            return 1000 * (time.perf_counter() - begin)

    def memory(self) -> Measure:
        """Measures the proportional memory of supervisor, manager and workers, idle [MiB]."""

        def of_all() -> float:
            with self._fresh() as client:
                supervisor = client.call("status").extra["supervisor"]
                return sum(proportional(pid) for pid in (supervisor, *children(supervisor)))

        return of_all

    def memory_by_role(self) -> dict[str, float]:
        """Return the proportional memory of an idle daemon by the role of its processes [MiB]."""
        with self._fresh() as client:
            status = client.call("status").extra
            pids = {
                "supervisor": [status["supervisor"]],
                "manager": [status["pid"]],
                "4 workers": [worker["pid"] for worker in status["workers"]],
                "all": [status["supervisor"], *children(status["supervisor"])],
            }
            return {role: sum(map(proportional, pids[role])) for role in pids}

    def start(self) -> Measure:
        """Measures the start of a daemon whose state is there, to its first answer [ms]."""
        directory = self._folder()

        def first_answer() -> float:
            begin = time.perf_counter()
            with start(directory, workers=4) as process, Client(f"ipc://{directory}/m.sock", 10.0) as client:
                assert process.stdout is not None
                process.stdout.readline()
                client.call("status")
                return 1000 * (time.perf_counter() - begin)

        first_answer()
        return first_answer


def _workers(client: Client) -> dict[int, str]:
    return {row["pid"]: row["state"] for row in client.call("status").extra["workers"]}


def _all_idle(client: Client) -> bool:
    return list(_workers(client).values()) == ["idle"] * 4


def _manager(endpoint: str) -> int | None:
    try:
        with Client(endpoint, 5.0) as client:
            return int(client.call("status").extra["pid"])
    except LmapsError:
        return None


def gunicorn_start(directory: Path) -> Callable[[], float]:
    """Measures the start of gunicorn until its first worker is ready [ms]."""
    program("gunicorn")
    numbers = count()

    def first_worker() -> float:
        folder = directory / f"gunicorn{next(numbers)}"
        folder.mkdir()
        made = Gunicorn(folder)
        made.close()
        return made.started

    return first_worker
