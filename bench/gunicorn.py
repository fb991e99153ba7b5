"""gunicorn: a peer for processes, as it too is a supervisor that forks."""

import os
import signal
import statistics
import subprocess
import time
from pathlib import Path

from bench.etcd import free_port
from bench.table import children
from bench.timing import program, proportional

CONFIG = """
import os

bind, workers, chdir = "127.0.0.1:{port}", 4, "{directory}"

def post_worker_init(worker):
    with open("{directory}/ready", "wb") as ready:
        ready.write(b"%d\\n" % os.getpid())
"""
APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""


class Gunicorn:
    """gunicorn with four workers. Each tells through a FIFO that its application is loaded."""

    def __init__(self, directory: Path) -> None:
        command = program("gunicorn")
        (directory / "bench_app.py").write_text(APP)
        (directory / "config.py").write_text(CONFIG.format(port=free_port(), directory=directory))
        os.mkfifo(directory / "ready")
        self._ready = os.open(directory / "ready", os.O_RDWR)
        self._waiting: list[bytes] = []
        argv = [command, "-c", str(directory / "config.py"), "bench_app:app"]
        begin = time.perf_counter()
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._next()
        self.started = 1000 * (time.perf_counter() - begin)
        for _ in range(3):
            self._next()

    def _next(self) -> None:
        """Wait until one more worker is ready."""
        while not self._waiting:
            self._waiting = os.read(self._ready, 4096).splitlines()
        self._waiting.pop()

    def restart(self) -> float:
        """A killed worker is replaced, and ready, the median of 5 [ms]."""
        return statistics.median(self._restart() for _ in range(5))

    def _restart(self) -> float:
        worker = children(self._process.pid)[0]
        begin = time.perf_counter()
        os.kill(worker, signal.SIGKILL)
        self._next()
        return 1000 * (time.perf_counter() - begin)

    def memory(self) -> float:
        """Proportional memory of all its processes [MiB]."""
        return sum(proportional(pid) for pid in (self._process.pid, *children(self._process.pid)))

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()
        os.close(self._ready)
