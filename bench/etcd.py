"""etcd: a peer for creates."""

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

from bench.table import Missing
from bench.timing import milliseconds, program, rate


class Etcd:
    """etcd on this machine and disk, asked over one gRPC channel: each put is durable when it is answered.

    The value is what lMaPS makes of a document: the eight properties, as JSON.
    """

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
        self.sequential()
        self.in_flight()

    def _request(self) -> bytes:
        """A PutRequest: key is field 1, value field 2."""
        self._count += 1
        name = f"h{self._count}.example.org"
        document = {"host": name, "owner": "me", "port": 80, "tls": False, "root": "/var/www", "level": "low"}
        key, value = name.encode(), json.dumps(document | {"aliases": [], "weight": 1.5}).encode()
        return b"\n" + bytes([len(key)]) + key + b"\x12" + bytes([len(value) & 0x7F | 0x80, len(value) >> 7]) + value

    def sequential(self) -> float:
        """Puts, one after the other [1/s]."""
        return rate(300, lambda: self._put(self._request(), timeout=30))

    def in_flight(self) -> float:
        """Puts, 64 in flight [1/s]."""

        def all_of_them() -> None:
            going: list[Any] = []
            for _ in range(3000):
                if len(going) == 64:
                    going.pop(0).result()
                going.append(self._put.future(self._request(), timeout=30))
            for each in going:
                each.result()

        return 3_000_000 / milliseconds(all_of_them)

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
