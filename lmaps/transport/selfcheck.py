"""That the library tells who a peer is: tried at each start, because it says so in a text of its own making."""

import os
import time
from pathlib import Path

import zmq

from lmaps.errors import ConfigError
from lmaps.transport.bind import bind_sockets
from lmaps.transport.server import Poller, ServerSocket, listening
from lmaps.transport.zap import CLIENT_DOMAIN, Peer, ZapAuthenticator
from lmaps.transport.zmtp import LocalClientSocket

MIN_LIBZMQ = (4, 3, 4)
"""Of libzmq: older ones can be made to write where they must not, before anybody has proved who he is."""
WITHIN = 5.0


def libzmq_version() -> str:
    """The version of libzmq, such as ``4.3.5``."""
    return zmq.zmq_version()


def check_peer_credentials(beside: Path) -> None:
    """Connect to ourselves, by a socket beside the path ``beside``, and be told who we are.

    Raises `ConfigError` if the library is too old, or does not tell: then nobody's rights could be looked up.
    """
    if zmq.zmq_version_info() < MIN_LIBZMQ:
        raise ConfigError(f"cannot use libzmq {zmq.zmq_version()}: expected {'.'.join(map(str, MIN_LIBZMQ))} or newer")
    found = _peer_of_ourselves(f"ipc://{beside.with_name('.self')}")
    if (found.uid, found.pid) != (os.getuid(), os.getpid()):
        raise ConfigError(f"cannot use libzmq {zmq.zmq_version()}: it does not tell who connects, but {found}")


def _peer_of_ourselves(uri: str) -> Peer:
    gate = ZapAuthenticator()
    poller = Poller()
    listener = ServerSocket(gate, CLIENT_DOMAIN, bind_sockets([uri]))
    link = LocalClientSocket(uri)
    try:
        with listening(listener):
            poller.watch(listener)
            deadline = time.monotonic() + WITHIN
            while time.monotonic() < deadline:
                link.send(b"who am I", time.monotonic())
                incoming = listener.receive()
                if incoming is not None:
                    return incoming.peer
                poller.wait(0.002)
    finally:
        link.close()
        gate.close()
    return Peer()
