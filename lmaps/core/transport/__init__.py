"""Sockets and messages: the only room that knows ZMQ.

addresses  URIs of endpoints
binding    sockets bound to them, before anybody is served
keys       key pairs of CURVE
gate       Gate: who may connect
listening  Listener: the manager's end, and what waits for it
links      the other ends: a client's and a worker's
proof      that the library tells who a peer is

One shape on every socket, so that REQ and DEALER look alike: ``[identity, empty, body]``. A message of any other shape
is dropped and counted. No object of this room survives a fork but a `Bound`: each process makes its own `Gate` or link.
"""

from lmaps.core.transport.addresses import ipc_path, is_tcp, tcp_address
from lmaps.core.transport.binding import Bound, bind, remove_stale
from lmaps.core.transport.gate import CLIENTS, NO_SECRET, WORKERS, Gate, Peer
from lmaps.core.transport.links import ClientLink, WorkerLink
from lmaps.core.transport.listening import Incoming, Listener, Poller, listening
from lmaps.core.transport.proof import prove_peers

__all__ = [
    "CLIENTS",
    "NO_SECRET",
    "WORKERS",
    "Bound",
    "ClientLink",
    "Gate",
    "Incoming",
    "Listener",
    "Peer",
    "Poller",
    "WorkerLink",
    "bind",
    "ipc_path",
    "is_tcp",
    "listening",
    "prove_peers",
    "remove_stale",
    "tcp_address",
]
