"""What the machine can do at all, and small things that people would use instead."""

import itertools
import json
import os
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zmq

from bench.table import Measure
from bench.timing import RUNS, milliseconds, process, program, rate, run

CLICK = "import click\n@click.command()\ndef hello(): pass\nhello()"
"""The smallest command there is."""


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
    """sqlite3 by itself, as durable as lMaPS: WAL, synchronous=FULL; its WAL has grown before anything is measured."""

    def __init__(self, directory: Path) -> None:
        self._connection = sqlite3.connect(directory / "raw.db", isolation_level=None)
        for line in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA wal_autocheckpoint=4000"):
            self._connection.execute(line)
        for table in ("one", "two"):
            self._connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, body TEXT)")
        while (directory / "raw.db-wal").stat().st_size < 4000 * 4096:
            self.grouped()

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
    message = {"v": 1, "verb": "status", "args": {}, "id": "x" * 32}
    server = subprocess.Popen([sys.executable, "-c", ECHO, uri])
    with zmq.Context() as context, context.socket(zmq.REQ) as client:
        client.linger = 0
        client.connect(uri)

        def ask() -> None:
            client.send(json.dumps(message).encode())
            json.loads(client.recv())

        ask()
        try:
            yield lambda: rate(500, ask)
        finally:
            server.kill()
            server.wait()


def git_revert(directory: Path) -> Measure:
    """`git revert` of the newest commit, which changed one of 10,000 files [ms]."""
    git = [program("git"), "-C", str(directory), "-c", "user.name=b", "-c", "user.email=b@example.org"]
    for number in range(10_000):
        (directory / f"h{number}.json").write_text(f'{{"host": "h{number}.example.org", "owner": "me"}}\n')
    run(*git, "init")
    run(*git, "add", ".")
    run(*git, "commit", "-m", "all")

    def one(number: int) -> float:
        (directory / "h7.json").write_text(f'{{"host": "h7.example.org", "port": {number}}}\n')
        run(*git, "commit", "-am", "one")
        return milliseconds(lambda: run(*git, "revert", "--no-edit", "HEAD"))

    numbers = itertools.count(1)
    return lambda: statistics.median(one(next(numbers)) for _ in range(RUNS))


def salt_call(directory: Path) -> Measure:
    """`salt-call --local` that runs the command `true` [ms]."""
    path = os.environ.get("SALT_CALL") or program("salt-call")
    (directory / "minion").write_text(f"root_dir: {directory}\nfile_client: local\nid: bench\n")
    return process(path, "-c", directory, "--local", "cmd.run", "/bin/true")
