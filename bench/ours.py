"""What is measured on lMaPS itself: a daemon in a directory of its own, asked as users ask it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
import zmq

from bench.peers import children, milliseconds, process_time, proportional, rate
from lmaps import Client
from lmaps.core.messages import Request
from lmaps.errors import LmapsError

BIN = Path(sys.executable).parent
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
MANY = 10_000


@contextmanager
def daemon(directory: Path, *units: dict[str, Any], workers: int = 2) -> Iterator[Client]:
    """An ``lmapsd`` in ``directory`` with these units, else `UNIT`; its log lies beside it."""
    with start(directory, *units, workers=workers) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with Client(f"ipc://{directory}/m.sock") as client:
            yield client


@contextmanager
def start(directory: Path, *units: dict[str, Any], workers: int) -> Iterator["subprocess.Popen[bytes]"]:
    """The same, and nobody waits until it is ready."""
    settings = {
        "rpc": {"manager_bind": "ipc://m.sock", "worker_bind": "ipc://w.sock"},
        "db": "lmaps.db",
        "user": "root",
        "workers": workers,
        "units": units or [UNIT],
    }
    (directory / "lmaps.yaml").write_text(json.dumps(settings))
    with (directory / "log").open("ab") as log:
        command = [BIN / "lmapsd", "--config", directory / "lmaps.yaml"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


class Ours:
    """A daemon with a warm log, and what is measured on it: rates [1/s] and times [ms]."""

    def __init__(self, directory: Path, client: Client) -> None:
        self.directory = directory
        self.client = client
        self._count = 0
        self.create_file()
        self.many = [json.dumps(row["completed"]) for row in self._instances()]

    def _documents(self, count: int) -> list[dict[str, str]]:
        """So many new instances."""
        self._count += count
        return [{"host": f"h{number}.example.org", "owner": "me"} for number in range(self._count - count, self._count)]

    def _instances(self) -> list[dict[str, Any]]:
        ids = [f"h{number}.example.org" for number in range(MANY)]
        rows: list[dict[str, Any]] = self.client.call("show", unit="web", ids=ids, instances=True).extra["instances"]
        return rows

    def status(self) -> float:
        """Requests that change nothing, one after the other."""
        return rate(300, lambda: self.client.call("status"))

    def create(self) -> float:
        """Durable creates, one client, one after the other."""
        return rate(200, lambda: self.client.call("create", unit="web", instances=self._documents(1)))

    def create_in_flight(self) -> float:
        """Durable creates, 64 in flight."""
        total, sent, answered = 2000, 0, 0
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.linger = 0
            socket.connect(self.client.endpoint)
            begin = time.perf_counter()
            while answered < total:
                while sent < total and sent - answered < 64:
                    args = {"unit": "web", "instances": self._documents(1)}
                    socket.send_multipart([b"", Request("create", args, str(sent), f"{self._count}").encode()])
                    sent += 1
                assert json.loads(socket.recv_multipart()[1])["level"] == 0
                answered += 1
            return total / (time.perf_counter() - begin)

    def create_file(self) -> float:
        """Instances of one request with 10,000 documents."""
        documents = self._documents(MANY)
        return 1000 * MANY / milliseconds(lambda: self.client.call("create", unit="web", instances=documents))

    def one_create(self) -> float:
        """One create."""
        return 1000 / self.create()

    def rollback(self) -> float:
        """One rollback, after a create."""
        took = []
        for _ in range(50):
            self.client.call("create", unit="web", instances=self._documents(1))
            took.append(milliseconds(lambda: self.client.call("rollback", unit="web")))
        return sorted(took)[25]

    def show_many(self) -> float:
        """Show of 10,000 instances, until the answer is there."""
        ids = [f"h{number}.example.org" for number in range(MANY)]
        body = Request("show", {"unit": "web", "ids": ids}, "show").encode()
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.connect(self.client.endpoint)
            socket.send_multipart([b"", body])
            return milliseconds(socket.recv_multipart)

    def decode_many(self) -> float:
        """json.loads of the same documents, one by one."""
        return milliseconds(lambda: [json.loads(text) for text in self.many])

    def export_many(self) -> float:
        """`lmaps export --yaml` of all instances, the whole process, for 10,000 of them."""
        count = self.client.call("units").extra["units"][0]["instances"]
        return process_time(BIN / "lmaps", "--endpoint", self.client.endpoint, "export", "--yaml") * MANY / count

    def dump_many(self) -> float:
        """PyYAML's C dumper with 10,000 of them."""
        documents = [json.loads(text) for text in self.many]
        return milliseconds(lambda: yaml.dump(documents, Dumper=yaml.CSafeDumper, sort_keys=False))

    def help(self) -> float:
        """`lmaps --help`."""
        return process_time(BIN / "lmaps", "--help")

    def show_one(self) -> float:
        """`lmaps show web ID`."""
        return process_time(BIN / "lmaps", "--endpoint", self.client.endpoint, "show", "web", "h7.example.org")


class Tree:
    """A daemon with four workers, whose processes are looked at, and killed."""

    def __init__(self, directory: Path, client: Client) -> None:
        self._directory = directory
        self._client = client
        until_answered(client)
        self._supervisor: int = client.call("status").extra["supervisor"]

    def worker(self) -> float:
        """A killed worker is replaced, and ready [ms]."""
        before = {row["pid"] for row in self._client.call("status").extra["workers"]}
        victim = next(iter(before))
        begin = time.perf_counter()
        os.kill(victim, signal.SIGKILL)
        while True:
            rows = self._client.call("status").extra["workers"]
            if len({row["pid"] for row in rows} - before) == 1 and all(row["state"] == "idle" for row in rows):
                return 1000 * (time.perf_counter() - begin)

    def manager(self) -> float:
        """A killed manager answers again [ms]."""
        pid = self._client.call("status").extra["pid"]
        begin = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        while self._pid() in (None, pid):
            os.sched_yield()
        return 1000 * (time.perf_counter() - begin)

    def _pid(self) -> int | None:
        try:
            with Client(self._client.endpoint, 5.0) as client:
                return int(client.call("status").extra["pid"])
        except LmapsError:
            return None

    def memory(self) -> float:
        """Proportional memory of all its processes [MiB]."""
        return sum(proportional(pid) for pid in (self._supervisor, *children(self._supervisor)))


def until_answered(client: Client) -> None:
    """Ask until the daemon has all its workers."""
    while len(client.call("status").extra["workers"]) < 4:
        os.sched_yield()


def first_answer(directory: Path) -> float:
    """The start of a daemon on a state of its own, to its first answer [ms]."""
    begin = time.perf_counter()
    with start(directory, workers=4), Client(f"ipc://{directory}/m.sock", 10.0) as client:
        while not (directory / "m.sock").exists():
            os.sched_yield()
        client.call("status")
        return 1000 * (time.perf_counter() - begin)
