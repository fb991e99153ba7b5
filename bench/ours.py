"""What is measured on lMaPS itself: a daemon in a directory of its own, asked as users ask it."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
import zmq

from bench.table import Measure
from bench.timing import milliseconds, process, rate
from lmaps import Client
from lmaps.protocol import Reply

BIN = Path(sys.executable).parent
UNIT: dict[str, Any] = {
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
FEW = UNIT | {"meta": {"name": "few", "primary_key": "host", "strict": True}}
"""The same with a few instances."""
GIVEN = {"owner": "me", "port": 80, "tls": False, "root": "/var/www", "level": "low", "aliases": [], "weight": 1.5}
"""All that a document can say but its host."""
MANY = 10_000


@contextmanager
def daemon(directory: Path, *units: dict[str, Any], workers: int = 2) -> Iterator[Client]:
    """An ``lmapsd`` in ``directory`` with these units, else `UNIT` and `FEW`; its log lies beside it."""
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
        "units": units or [UNIT, FEW],
    }
    (directory / "lmaps.yaml").write_text(json.dumps(settings))
    with (directory / "log").open("ab") as log:
        command: list[str | Path] = [BIN / "lmapsd", "--config", directory / "lmaps.yaml"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


READY = """
import json, sys
from lmaps.transport.bind import bind_sockets
from lmaps.transport.server import Poller, ServerSocket, listening
from lmaps.transport.zap import CLIENT_DOMAIN, ZapAuthenticator
server = ServerSocket(ZapAuthenticator(), CLIENT_DOMAIN, bind_sockets([sys.argv[1]]))
poller = Poller()
poller.watch(server)
answer = sys.argv[2].removesuffix("}")
with listening(server):
    while True:
        poller.wait(None)
        while incoming := server.receive():
            told = json.loads(incoming.body)["id"]
            server.send(incoming.identity, f'{answer},"id":"{told}"}}'.encode())
"""


@contextmanager
def ready_answer(directory: Path, status: Reply) -> Iterator[Measure]:
    """The daemon's socket and our client alone: every request gets the same ``status`` for an answer [1/s]."""
    uri = f"ipc://{directory}/ready.sock"
    server = subprocess.Popen([sys.executable, "-c", READY, uri, status.text])
    try:
        with Client(uri) as client:
            client.call("status")
            yield lambda: rate(300, lambda: client.call("status"))
    finally:
        server.kill()
        server.wait()


class Ours:
    """A daemon that holds ``stored`` instances with all eight properties, and what is measured on it.

    The log of the database has grown before anything is measured: it is full of instances that were rolled back. A
    create that is measured gives two properties and gets six defaults; history is kept.
    """

    def __init__(self, directory: Path, client: Client, stored: int = 0) -> None:
        self.client = client
        self._count = 0
        for _ in range(stored // MANY):
            client.call("create", unit="web", instances=[one | GIVEN for one in self._documents(MANY)])
        client.call("create", unit="few", instances=self._documents(3))
        for _ in range(3):
            self.create_file()
        self.create_in_flight()

    def _documents(self, count: int) -> list[dict[str, Any]]:
        """So many new instances."""
        self._count += count
        return [{"host": f"h{number}.example.org", "owner": "me"} for number in range(self._count - count, self._count)]

    def _create(self) -> None:
        self.client.call("create", unit="web", instances=self._documents(1))

    def status(self) -> float:
        """Requests that change nothing, one after the other [1/s]."""
        return rate(300, lambda: self.client.call("status"))

    def create(self) -> float:
        """Durable creates of one client, one after the other [1/s]."""
        return rate(300, self._create)

    def create_in_flight(self) -> float:
        """Durable creates, 64 in flight [1/s]: encoded one by one as they go out, the answers looked at in the end."""
        total, sent, answers = 3000, 0, list[bytes]()
        with dealer(self.client) as socket:
            begin = time.perf_counter()
            while len(answers) < total:
                while sent < total and sent - len(answers) < 64:
                    told = {"v": 1, "id": str(sent), "verb": "create", "key": f"bench-{self._count}"}
                    args = {"unit": "web", "instances": self._documents(1)}
                    socket.send_multipart([b"", json.dumps(told | {"args": args}).encode()])
                    sent += 1
                answers.append(socket.recv_multipart()[1])
            took = time.perf_counter() - begin
        assert all(json.loads(answer)["level"] == 0 for answer in answers)
        return total / took

    def create_file(self) -> float:
        """Instances of one request with 10,000 documents [1/s]; they are rolled back, which is not measured."""
        documents = self._documents(MANY)
        took = milliseconds(lambda: self.client.call("create", unit="web", instances=documents))
        self.client.call("rollback", unit="web")
        return 1000 * MANY / took

    def one_create(self) -> float:
        """One create, the median of 50 [ms]."""
        return statistics.median(milliseconds(self._create) for _ in range(50))

    def rollback(self) -> float:
        """One rollback of a create, the median of 50 [ms]."""
        took = []
        for _ in range(50):
            self._create()
            took.append(milliseconds(lambda: self.client.call("rollback", unit="web")))
        return statistics.median(took)

    def lmaps(self, *words: str) -> Measure:
        """The command `lmaps`, asking this daemon [ms]."""
        return process(BIN / "lmaps", "--endpoint", self.client.endpoint, *words)

    def rollback_command(self) -> float:
        """`lmaps rollback web` after a create, the median of 3 [ms]."""
        undo: list[str | Path] = [BIN / "lmaps", "--endpoint", self.client.endpoint, "rollback", "web"]
        took = []
        for _ in range(3):
            self._create()
            took.append(milliseconds(lambda: subprocess.run(undo, capture_output=True, check=True)))
        return statistics.median(took)


class Held(Ours):
    """A daemon with 10,000 instances that are read."""

    def __init__(self, directory: Path, client: Client) -> None:
        super().__init__(directory, client, MANY)
        while self.client.call("units").extra["units"][0]["instances"] > MANY:
            self.client.call("rollback", unit="web")
        rows = self.client.call("show", unit="web", instances=True).extra["instances"]
        assert len(rows) == MANY
        self._texts = [json.dumps(row["completed"], separators=(",", ":")) for row in rows]

    def show(self) -> float:
        """Show of all 10,000, from the sending of the request until the whole answer is there, not decoded [ms]."""
        body = json.dumps({"v": 1, "id": "show", "verb": "show", "args": {"unit": "web"}}).encode()
        with dealer(self.client) as socket:
            socket.send_multipart([b"", body])
            return milliseconds(socket.recv_multipart)

    def decode(self) -> float:
        """json.loads of the same documents, one by one [ms]."""

        def all_of_them() -> None:
            for text in self._texts:
                json.loads(text)

        return milliseconds(all_of_them)

    def dumper(self) -> Callable[[], float]:
        """Measures PyYAML's C dumper with what `lmaps export --yaml` writes, loaded [ms]."""
        told = [self._exported(form) for form in ("--yaml", "--json")]
        documents = list(yaml.load_all(told[0], Loader=yaml.CSafeLoader))
        assert documents[1:] == json.loads(told[1])["units"]
        return lambda: milliseconds(lambda: yaml.dump_all(documents, Dumper=yaml.CSafeDumper, sort_keys=False))

    def _exported(self, form: str) -> bytes:
        export: list[str | Path] = [BIN / "lmaps", "--endpoint", self.client.endpoint, "export", "web", form]
        return subprocess.run(export, capture_output=True, check=True).stdout


@contextmanager
def dealer(client: Client) -> "Iterator[zmq.Socket[bytes]]":
    """A socket at the client's daemon."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(client.endpoint)
        yield socket
