"""Measure lMaPS on this machine: ``make bench``.

One daemon in a directory of its own; rounds of every measure one after the other, the median and the spread over the
rounds. Rates are per second, on a shared machine: compare them within one run. The disk's own rate stands beside.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq

from lmaps import Client
from lmaps.core.messages import Request

ROUNDS = 5
UNIT = {
    "meta": {"name": "web", "primary_key": "host", "strict": True},
    "params": {
        "type": "object",
        "required": ["host"],
        "properties": {
            "host": {"type": "string", "format": "hostname"},
            "port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 80},
            "tls": {"type": "boolean", "default": False},
            "root": {"type": "string", "pattern": "^/", "default": "/var/www"},
            "owner": {"type": "string", "maxLength": 40},
            "level": {"enum": ["low", "high"], "default": "low"},
            "aliases": {"type": "array", "items": {"type": "string"}, "default": []},
            "weight": {"type": "number", "default": 1.5},
        },
    },
}


class Bench:
    """A daemon, and what is measured on it. Each measure is a method that returns a number a second, or seconds."""

    def __init__(self, directory: Path, client: Client) -> None:
        self.directory = directory
        self.client = client
        self.count = 0

    def documents(self, count: int) -> list[dict[str, str]]:
        """So many new instances."""
        self.count += count
        return [{"host": f"h{number}.example.org", "owner": "me"} for number in range(self.count - count, self.count)]

    def fdatasync(self) -> float:
        """fdatasync of the disk alone [1/s]."""
        with (self.directory / "sync").open("wb") as file:
            return _rate(200, lambda: (file.write(b"x" * 4096), file.flush(), os.fdatasync(file.fileno())))

    def status(self) -> float:
        """Requests that read (`status`), one after the other [1/s]."""
        return _rate(300, lambda: self.client.call("status"))

    def create(self) -> float:
        """Durable creates, one client, one after the other [1/s]."""
        return _rate(200, lambda: self.client.call("create", unit="web", instances=self.documents(1)))

    def create_in_flight(self) -> float:
        """Durable creates, 64 in flight [1/s]."""
        total, sent, answered = 2000, 0, 0
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.linger = 0
            socket.connect(self.client.endpoint)
            begin = time.perf_counter()
            while answered < total:
                while sent < total and sent - answered < 64:
                    args = {"unit": "web", "instances": self.documents(1)}
                    socket.send_multipart([b"", Request("create", args, str(sent), f"{self.count}").encode()])
                    sent += 1
                assert json.loads(socket.recv_multipart()[1])["level"] == 0
                answered += 1
            return total / (time.perf_counter() - begin)

    def create_many(self) -> float:
        """Instances of one request with 5,000 documents [1/s]."""
        documents = self.documents(5000)
        begin = time.perf_counter()
        self.client.call("create", unit="web", instances=documents)
        return 5000 / (time.perf_counter() - begin)

    def show(self) -> float:
        """Show of 1,000 instances of all that are there [s]."""
        ids = [f"h{number}.example.org" for number in range(1000)]
        return _seconds(lambda: self.client.call("show", unit="web", ids=ids))

    def command_help(self) -> float:
        """`lmaps --help`, the whole process [s]."""
        return _seconds(lambda: _run("--help"))

    def command_units(self) -> float:
        """`lmaps units`, the whole process [s]."""
        return _seconds(lambda: _run("--endpoint", self.client.endpoint, "units"))


def _rate(times: int, action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        action()
    return times / (time.perf_counter() - begin)


def _seconds(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def _run(*args: str) -> None:
    subprocess.run([Path(sys.executable).with_name("lmaps"), *args], stdout=subprocess.DEVNULL, check=True)


@contextmanager
def daemon(directory: Path, *units: dict[str, Any]) -> Iterator[Client]:
    """An ``lmapsd`` in ``directory`` with these units, else `UNIT`."""
    (directory / "lmaps.yaml").write_text(
        json.dumps(
            {
                "rpc": {"manager_bind": "ipc://m.sock", "worker_bind": "ipc://w.sock"},
                "db": "lmaps.db",
                "user": "root",
                "units": units or [UNIT],
            }
        )
    )
    command = [Path(sys.executable).with_name("lmapsd"), "--config", directory / "lmaps.yaml"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        with Client(f"ipc://{directory}/m.sock") as client:
            yield client
    finally:
        process.terminate()
        process.communicate()


def main() -> None:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as name, daemon(Path(name)) as client:
        bench = Bench(Path(name), client)
        measures = [bench.fdatasync, bench.status, bench.create, bench.create_in_flight, bench.create_many]
        measures += [bench.show, bench.command_help, bench.command_units]
        bench.create_many()
        rounds = [[measure() for measure in measures] for _ in range(ROUNDS)]
    print(f"{'median':>10}  {'least':>10}  {'most':>10}  what ({ROUNDS} rounds)")
    for measure, values in zip(measures, zip(*rounds, strict=True), strict=True):
        numbers = (statistics.median(values), min(values), max(values))
        told = "  ".join(f"{number:>10,.0f}" if number >= 10 else f"{number:>10.3f}" for number in numbers)
        print(f"{told}  {(measure.__doc__ or '').strip()}")


if __name__ == "__main__":
    main()
