"""What people would use instead, and what the machine can do at all: what lMaPS is measured against.

A peer that is not installed raises `Missing` with the reason.
"""

import itertools
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq


class Missing(Exception):
    """The peer is not installed."""


def rate(times: int, action: Callable[[], object]) -> float:
    """How often a second."""
    return 1000 * times / milliseconds(lambda: [action() for _ in range(times)])


def milliseconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    begin = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - begin)


def process_time(*argv: str | Path) -> float:
    """How long a process takes, from its start to its end."""
    return milliseconds(lambda: subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True))


def program(name: str) -> str:
    """Where an installed program is."""
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


def click_hello() -> float:
    """`--help` of the smallest command there is [ms]."""
    return process_time(sys.executable, "-c", CLICK, "--help")


CLICK = "import click\n@click.command()\ndef hello(): pass\nhello()"


def python(statement: str) -> Callable[[], float]:
    """Python with one statement [ms]."""
    return lambda: process_time(sys.executable, "-c", statement)


def kubectl() -> Callable[[], float]:
    """`kubectl version --client` [ms]."""
    path = program("kubectl")
    return lambda: process_time(path, "version", "--client")


def fdatasync(directory: Path) -> float:
    """Blocks of 4 KiB of a file that is there, written to disk one after the other [1/s]."""
    with (directory / "sync").open("wb", buffering=0) as file:
        file.write(bytes(4096 * 200))
        os.fsync(file.fileno())
        place = itertools.count()

        def write() -> None:
            os.pwrite(file.fileno(), b"x" * 4096, 4096 * next(place))
            os.fdatasync(file.fileno())

        return rate(200, write)


class RawSqlite:
    """sqlite3 by itself, as durable as lMaPS: WAL, synchronous=FULL."""

    def __init__(self, directory: Path) -> None:
        self._connection = sqlite3.connect(directory / "raw.db", isolation_level=None)
        for line in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA wal_autocheckpoint=4000"):
            self._connection.execute(line)
        for table in ("one", "two"):
            self._connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, body TEXT)")

    def single(self) -> float:
        """Inserts, each committed [1/s]."""
        return rate(300, lambda: self._connection.execute("INSERT INTO one (body) VALUES (?)", ("x" * 200,)))

    def grouped(self) -> float:
        """Rows of two tables, a hundred of each in a commit [rows of one table/s]."""
        rows = [("x" * 200,)] * 100

        def group() -> None:
            self._connection.execute("BEGIN")
            for table in ("one", "two"):
                self._connection.executemany(f"INSERT INTO {table} (body) VALUES (?)", rows)  # noqa: S608
            self._connection.execute("COMMIT")

        return 100 * rate(100, group)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()


ECHO = """
import json, sys, zmq
socket = zmq.Context().socket(zmq.REP)
socket.bind(sys.argv[1])
while True:
    socket.send(json.dumps(json.loads(socket.recv())).encode())
"""


@contextmanager
def echo(directory: Path) -> Iterator[Callable[[], float]]:
    """A process that does nothing but read and write JSON at a REP socket [1/s]."""
    uri = f"ipc://{directory}/echo.sock"
    message = json.dumps({"v": 1, "verb": "status", "args": {}, "id": "x" * 32}).encode()
    process = subprocess.Popen([sys.executable, "-c", ECHO, uri])
    with zmq.Context() as context, context.socket(zmq.REQ) as client:
        client.linger = 0
        client.connect(uri)

        def ask() -> None:
            client.send(message)
            json.loads(client.recv())

        ask()
        try:
            yield lambda: rate(500, ask)
        finally:
            process.kill()
            process.wait()


class Etcd:
    """etcd on this machine, asked over gRPC: puts of the same size, each of them durable when it is answered."""

    def __init__(self, directory: Path) -> None:
        try:
            import grpc  # noqa: PLC0415 (installed for this alone)
        except ImportError:
            raise Missing("grpcio is not installed") from None
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        command = [program("etcd"), "--name=bench", f"--data-dir={directory}/etcd", f"--listen-client-urls={client}"]
        command += [f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}", "--log-level=error"]
        command += [f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=bench={peer}"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._channel = grpc.insecure_channel(client.removeprefix("http://"))
        grpc.channel_ready_future(self._channel).result(30)
        self._put = self._channel.unary_unary("/etcdserverpb.KV/Put")
        self._count = 0
        for _ in range(20):
            self.put()

    def _request(self) -> bytes:
        """A PutRequest: key is field 1, value field 2."""
        self._count += 1
        key, value = f"h{self._count}.example.org".encode(), b"x" * 180
        return b"\n" + bytes([len(key)]) + key + b"\x12" + bytes([len(value) & 0x7F | 0x80, len(value) >> 7]) + value

    def put(self) -> None:
        """One put."""
        self._put(self._request(), timeout=30)

    def sequential(self) -> float:
        """Puts, one after the other [1/s]."""
        return rate(200, self.put)

    def in_flight(self) -> float:
        """Puts, 64 in flight [1/s]."""

        def all_of_them() -> None:
            going: list[Any] = []
            for _ in range(2000):
                if len(going) == 64:
                    going.pop(0).result()
                going.append(self._put.future(self._request(), timeout=30))
            for each in going:
                each.result()

        return 2_000_000 / milliseconds(all_of_them)

    def close(self) -> None:
        """End it."""
        self._channel.close()
        self._process.terminate()
        self._process.wait()


def free_port() -> int:
    """A port of the loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""


class Gunicorn:
    """gunicorn with four workers: a supervisor that forks, as lmapsd is one."""

    def __init__(self, directory: Path) -> None:
        (directory / "bench_app.py").write_text(APP)
        self._log = directory / "gunicorn.log"
        address = f"127.0.0.1:{free_port()}"
        command = [program("gunicorn"), "-w", "4", "-b", address, "--chdir", str(directory), "bench_app:app"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait(4)

    def _booted(self) -> int:
        return self._log.read_text().count("Booting worker")

    def _wait(self, booted: int) -> None:
        while self._booted() < booted:
            os.sched_yield()

    def restart(self) -> float:
        """A killed worker is replaced [ms]."""
        booted = self._booted()
        worker = children(self._process.pid)[0]
        begin = time.perf_counter()
        os.kill(worker, signal.SIGKILL)
        self._wait(booted + 1)
        return 1000 * (time.perf_counter() - begin)

    def memory(self) -> float:
        """Proportional memory of all its processes [MiB]."""
        return sum(proportional(pid) for pid in (self._process.pid, *children(self._process.pid)))

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


def children(pid: int) -> list[int]:
    """The children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def proportional(pid: int) -> float:
    """The proportional set size of a process [MiB]."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024
