"""A check at each start that libzmq reports a peer's credentials.

It reports them in a text that is not part of its documented interface. If a version of libzmq changed that text,
nobody's rights could be looked up, or worse: the wrong user's would be.
"""

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
"""Older versions write outside their memory when a stranger sends a crafted handshake."""
TIMEOUT_S = 5.0
POLL_S = 0.002


def libzmq_version() -> str:
    """Return the version of libzmq, such as ``4.3.5``."""
    return zmq.zmq_version()


def check_peer_credentials(path: Path) -> None:
    """Connect to ourselves, by a socket in the directory of ``path``, and compare what libzmq reports of the peer.

    Raises `ConfigError` if libzmq is too old, or reports anything but our own uid and pid.
    """
    if zmq.zmq_version_info() < MIN_LIBZMQ:
        raise ConfigError(f"cannot use libzmq {zmq.zmq_version()}: expected {'.'.join(map(str, MIN_LIBZMQ))} or newer")
    peer = _own_peer(f"ipc://{path.with_name('.self')}")
    if (peer.uid, peer.pid) != (os.getuid(), os.getpid()):
        raise ConfigError(f"cannot use libzmq {zmq.zmq_version()}: it does not report who connects, but {peer}")


def _own_peer(uri: str) -> Peer:
    """Return this process as libzmq reports it to a server at ``uri``; an unknown peer after `TIMEOUT_S`."""
    authenticator = ZapAuthenticator()
    poller = Poller()
    server = ServerSocket(authenticator, CLIENT_DOMAIN, bind_sockets([uri]))
    client = LocalClientSocket(uri)
    try:
        with listening(server):
            poller.watch(server)
            deadline = time.monotonic() + TIMEOUT_S
            while time.monotonic() < deadline:
                client.send(b"who am I", time.monotonic())
                message = server.receive()
                if message is not None:
                    return message.peer
                poller.wait(POLL_S)
    finally:
        client.close()
        authenticator.close()
    return Peer()
