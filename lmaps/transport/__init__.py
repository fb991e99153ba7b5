"""Sockets and messages: the only room that knows ZMQ.

addresses  URIs of endpoints
binding    sockets bound to them, before anybody is served
keys       key pairs of CURVE
gate       Gate: who may connect
listener   Listener: the manager's end, and what waits for it
links      the other ends: a client's over tcp, and a worker's
local      a client's end on the manager's own host
proof      that the library tells who a peer is

One shape on every socket, so that REQ and DEALER look alike: ``[identity, empty, body]``. A message of any other shape
is dropped and counted. No object of this room survives a fork but a `Bound`: each process makes its own connections.
A file is loaded when a name in it is first asked for: clients do without most of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmaps.transport.addresses import check_endpoint, ipc_path, is_tcp, tcp_address
    from lmaps.transport.bind import Bound, bind_sockets, remove_stale
    from lmaps.transport.curve import (
        ClientKeys,
        KeyPair,
        ServerKeys,
        fingerprint,
        make_key_pair,
        public_line,
        public_path,
        read_authorized_keys,
        read_client_keys,
        read_key_pair,
        read_public_key,
        read_server_keys,
    )
    from lmaps.transport.selfcheck import OLDEST, library_version, prove_peers
    from lmaps.transport.server import Incoming, Listener, Poller, listening
    from lmaps.transport.zap import CLIENTS, REMOTE, WORKERS, Peer, ZapAuthenticator
    from lmaps.transport.zmq_client import NO_SECRET, RemoteConnection, WorkerConnection
    from lmaps.transport.zmtp import LocalConnection

__all__ = [
    "CLIENTS",
    "NO_SECRET",
    "OLDEST",
    "REMOTE",
    "WORKERS",
    "Bound",
    "ClientKeys",
    "Incoming",
    "KeyPair",
    "Listener",
    "LocalConnection",
    "Peer",
    "Poller",
    "RemoteConnection",
    "ServerKeys",
    "WorkerConnection",
    "ZapAuthenticator",
    "bind_sockets",
    "check_endpoint",
    "fingerprint",
    "ipc_path",
    "is_tcp",
    "library_version",
    "listening",
    "make_key_pair",
    "prove_peers",
    "public_line",
    "public_path",
    "read_authorized_keys",
    "read_client_keys",
    "read_key_pair",
    "read_public_key",
    "read_server_keys",
    "remove_stale",
    "tcp_address",
]

_FILES = ("addresses", "zmtp", "zmq_client", "curve", "bind", "zap", "server", "selfcheck")
"""Those that a client needs come first."""


def __getattr__(name: str) -> Any:
    """A name of `__all__`, from the first file that has it."""
    if name in __all__:
        for file in _FILES:
            module = import_module(f"{__name__}.{file}")
            if hasattr(module, name):
                return globals().setdefault(name, getattr(module, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
