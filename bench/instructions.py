"""Count the manager's instructions per operation: ``python3 bench/instructions.py [TREE]``.

TREE is a checkout, this one if none is named: so one script measures two commits. It needs valgrind, and is to be run
by a Python that has what lMaPS depends on: figures of two Pythons cannot be compared. Instructions of the kernel, of
libzmq and of the client are not among them: requests are handed over where the manager reads its socket. What a turn
of the manager's loop costs is shared by the requests that it answers.

Two runs differ by about 0.1 %, whatever else the machine does.
"""

import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

try:
    from lmaps.config.load import load_config
    from lmaps.manager import Manager
except ImportError:  # before the rooms were moved
    from lmaps.core.config import load_config
    from lmaps.core.manager import Manager
try:
    from lmaps.transport.server import Incoming, Poller, ServerSocket
    from lmaps.transport.zap import Peer
except ImportError:  # before the sockets were renamed
    if "lmaps.transport" in sys.modules:
        from lmaps.transport import Incoming, Peer, Poller
        from lmaps.transport import Listener as ServerSocket
    else:
        from lmaps.core.transport import Incoming, Peer, Poller
        from lmaps.core.transport import Listener as ServerSocket

COUNTED = "PyNumber_MatrixMultiply"
"""The function behind ``@``, which nobody else uses: callgrind counts within it, and writes a file when it returns."""
PROPERTIES = {
    "host": {"type": "string", "format": "hostname"},
    "port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 80},
    "tls": {"type": "boolean", "default": False},
    "root": {"type": "string", "pattern": "^/", "default": "/var/www"},
    "owner": {"type": "string", "maxLength": 40},
    "level": {"enum": ["low", "high"], "default": "low"},
    "aliases": {"type": "array", "items": {"type": "string"}, "default": []},
    "weight": {"type": "number", "default": 1.5},
}
PARAMS = {"type": "object", "required": ["host"], "properties": PROPERTIES}
UNITS = [{"meta": {"name": name, "primary_key": "host", "strict": True}, "params": PARAMS} for name in ("web", "few")]


class Operation(NamedTuple):
    """What is counted: ``turns`` of the manager's loop, each with so many requests of so many instances."""

    name: str
    verb: str
    turns: int
    requests: int = 1
    instances: int = 1


OPERATIONS = (
    Operation("create, alone", "create", turns=20),
    Operation("create, in a group of 64", "create", turns=4, requests=64),
    Operation("create, per instance of a file of 1,000", "create", turns=1, instances=1000),
    Operation("status", "status", turns=20),
    Operation("show, a unit with ten instances", "show", turns=20),
)


class InProcess:
    """A manager in this process, whose clients' socket is a list of requests and a list of answers."""

    def __init__(self, directory: Path) -> None:
        rpc = {"manager_bind": f"ipc://{directory}/m.sock", "worker_bind": f"ipc://{directory}/w.sock"}
        limits = {"message": {"validation": "8s"}}  # callgrind takes 50 times as long
        (directory / "lmaps.yaml").write_text(
            json.dumps({"rpc": rpc, "db": "lmaps.db", "units": UNITS, "limits": limits})
        )
        config = load_config(str(directory / "lmaps.yaml"))
        self.manager = Manager(rpc["worker_bind"], config, "boot")
        self.run_once: Callable[[], None] = getattr(self.manager, "run_once", None) or self.manager.turn
        self.requests: list[bytes] = []
        self.answers: list[bytes] = []
        self._numbers = itertools.count()
        sockets: list[ServerSocket] = []
        peer = Peer(uid=os.getuid(), gid=os.getgid(), pid=os.getpid())

        def watch(_poller: Poller, source: ServerSocket | int) -> None:
            if isinstance(source, ServerSocket):
                sockets.append(source)

        def wait(_poller: Poller, _timeout: float | None) -> set[ServerSocket]:
            return {socket for socket in sockets if socket.uris == (rpc["manager_bind"],)}

        def receive(_socket: ServerSocket) -> Incoming | None:
            return Incoming(b"client", peer, self.requests.pop()) if self.requests else None

        Poller.watch, Poller.wait, ServerSocket.receive = watch, wait, receive
        ServerSocket.send = lambda _socket, _identity, body: self.answers.append(body)

    def bodies(self, operation: Operation, unit: str = "web") -> list[bytes]:
        """Return the requests of one turn."""
        return [self._body(operation, unit) for _ in range(operation.requests)]

    def _body(self, operation: Operation, unit: str) -> bytes:
        number = next(self._numbers)
        args: dict[str, Any] = {"create": {"unit": unit}, "show": {"unit": "few"}, "status": {}}[operation.verb]
        if operation.verb == "create":
            hosts = [f"h{number}-{place}.example.org" for place in range(operation.instances)]
            args["instances"] = [{"host": host, "owner": "me"} for host in hosts]
        request = {"v": 1, "id": str(number), "verb": operation.verb, "args": args}
        key = {"key": f"instructions-{number:08}"} if operation.verb == "create" else {}
        return json.dumps(request | key).encode()

    def __matmul__(self, turns: list[list[bytes]]) -> None:
        """Answer the requests of each turn, and have callgrind count it."""
        self.answer(turns)

    def answer(self, turns: list[list[bytes]]) -> None:
        """Have the manager answer the requests of each turn."""
        for bodies in turns:
            self.requests, self.answers = bodies[::-1], []
            self.run_once()
            assert len(self.answers) == len(bodies), "the manager has not answered in one turn"
            assert all(b'"level":0' in answer for answer in self.answers), self.answers[0]


def measure(directory: Path) -> None:
    """Run every operation twice, the second time where callgrind counts. Called below callgrind."""
    server = InProcess(directory)
    with server.manager.serving():
        server.answer([server.bodies(Operation("ten instances", "create", turns=1, instances=10), "few")])
        for operation in OPERATIONS:
            server.answer([server.bodies(operation) for _ in range(operation.turns)])
            server @ [server.bodies(operation) for _ in range(operation.turns)]


def instructions(tree: Path) -> Iterator[tuple[str, float]]:
    """Yield each operation with its instructions."""
    with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as name:
        out = Path(name) / "callgrind"
        valgrind = ["valgrind", "--tool=callgrind", f"--toggle-collect={COUNTED}", f"--dump-after={COUNTED}"]
        command = [*valgrind, f"--callgrind-out-file={out}", sys.executable, "-P", __file__, "--below-callgrind", name]
        environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": str(tree)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        for number, operation in enumerate(OPERATIONS, 1):
            total = re.search(r"^(?:summary|totals): (\d+)", Path(f"{out}.{number}").read_text(), re.MULTILINE)
            assert total is not None
            yield operation.name, int(total[1]) / (operation.turns * operation.requests * operation.instances)


def main(arguments: list[str]) -> None:
    """Measure the tree that is named, or be what is measured."""
    if arguments[:1] == ["--below-callgrind"]:
        measure(Path(arguments[1]))
        return
    tree = Path(arguments[0] if arguments else Path(__file__).parents[1]).resolve()
    for name, count in instructions(tree):
        print(f"{name:42}{count:12,.0f} instructions", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
