"""Daemons that are reached over tcp, on loopback, and the keys of those who reach them."""

import socket
from pathlib import Path
from typing import Any

from lmaps import Client
from lmaps.transport.curve import KeyPair, make_key_pair, public_path


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Remote:
    """Keys of a daemon and of its clients in ``directory``, and the configuration that has it served at tcp too."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authorized = directory / "authorized_keys.d"
        self.authorized.mkdir()
        self.endpoint = f"tcp://127.0.0.1:{free_port()}"
        self.server = make_key_pair(directory / "server.key", "server")
        self.rpc = {
            "manager_bind": ["ipc://m.sock", self.endpoint],
            "worker_bind": "ipc://w.sock",
            "server_key": str(directory / "server.key"),
            "authorized_keys": str(self.authorized),
        }

    def make_client(self, name: str, *, authorize: bool = True) -> KeyPair:
        """A key pair of a client."""
        pair = make_key_pair(self.directory / f"{name}.key", name)
        if authorize:
            self.authorize(name)
        return pair

    def authorize(self, name: str) -> None:
        """Let the holder of this key in."""
        (self.authorized / f"{name}.pub").write_bytes(public_path(self.directory / f"{name}.key").read_bytes())

    def revoke(self, name: str) -> None:
        """Let him in no more."""
        (self.authorized / f"{name}.pub").unlink()

    def client(self, name: str, timeout: float = 10.0, **options: Any) -> Client:
        """A client with this key."""
        settings = {
            "client_key": str(self.directory / f"{name}.key"),
            "server_public_key": str(self.directory / "server.key.pub"),
        }
        return Client(self.endpoint, timeout, **settings | options)
