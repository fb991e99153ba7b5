"""`ServerSocket`: the manager's end of the connections, and the `Poller` that waits for it."""

import contextlib
import errno
import os
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import zmq

from lmaps.protocol import MAX_BYTES
from lmaps.transport.addresses import is_tcp
from lmaps.transport.bind import BoundSocket, remove
from lmaps.transport.zap import REMOTE_DOMAIN, Peer, ZapAuthenticator
from lmaps.transport.zmq_client import KEEPALIVE_IDLE_S, poll_ms

BACKLOG = 128
"""Connections that the kernel holds until they are accepted: with fewer a burst of clients is refused."""
HANDSHAKE_TIMEOUT_MS = 2000
"""libzmq's own 30 s would let a stranger hold descriptors with connections that never say anything."""
LINGER_MS = 1000
"""How long a close waits for replies that are not sent yet: for ever by default, and with 0 they would be lost."""
SPIN_S = 100e-6
"""How long a poller polls without sleep after a message: waking up takes longer than most clients take to ask again."""


class Incoming(NamedTuple):
    """A message as it arrived: ``identity`` is the route back to its sender."""

    identity: bytes
    peer: Peer
    body: bytes


class ServerSocket:
    """One ROUTER socket for all endpoints of one ZAP ``domain``; those at tcp are in `REMOTE_DOMAIN`.

    The addresses are bound already (``bound``); no client is served before `listen`.

    Options that are not set, on purpose: ROUTER_HANDOVER would hand the replies of a client to another one that takes
    its identity; HEARTBEAT_* runs into an open assertion of libzmq (issue 3937) when the receive queue is full.
    """

    def __init__(self, authenticator: ZapAuthenticator, domain: bytes, bound: Sequence[BoundSocket]) -> None:
        self.uris = tuple(address.uri for address in bound)
        self.dropped = 0
        self.authenticator = authenticator
        self._bound = list(bound)
        self.socket = authenticator.context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # else replies to peers that are gone vanish uncounted
        self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_BYTES)  # of one frame; `receive` limits their number
        self.socket.setsockopt(zmq.LINGER, LINGER_MS)
        self.socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_TIMEOUT_MS)
        self.socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        self.socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S)
        self._domain = domain

    def listen(self) -> None:
        """Serve clients from here on."""
        for bound in self._bound:
            # libzmq reads the socket's options at each bind: so every address can have a domain of its own.
            self.authenticator.protect(self.socket, REMOTE_DOMAIN if is_tcp(bound.uri) else self._domain)
            bound.socket.listen(BACKLOG)
            # With USE_FD libzmq takes our descriptor, and does not unlink and bind the path itself.
            self.socket.setsockopt(zmq.USE_FD, bound.socket.detach())
            self.socket.bind(bound.uri)
        self._bound = []

    def receive(self) -> Incoming | None:
        """Return the next message, None if there is none now."""
        while True:
            try:
                identity = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return None
            frames = [self.socket.recv(copy=False)]  # not copied: only such frames tell their peer
            while frames[-1].more:
                frames.append(self.socket.recv(copy=False))
            if len(frames) == 2 and not frames[0].bytes:
                return Incoming(identity, _peer(frames[1]), frames[1].bytes)
            self.dropped += 1

    def send(self, identity: bytes, body: bytes) -> None:
        """Send ``body`` to a client. One that is gone or does not read loses it, which is counted as dropped."""
        try:
            # NOBLOCK: one client that never reads would otherwise stop the manager for all.
            self.socket.send_multipart((identity, b"", body), zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (errno.EHOSTUNREACH, errno.EAGAIN):
                raise
            self.dropped += 1

    def close(self) -> None:
        """Close the socket and remove its files; messages on their way are still delivered, for `LINGER_MS` at most."""
        for bound in self._bound:
            bound.socket.close()
        self.socket.close()
        remove(self.uris)


def _peer(frame: zmq.Frame) -> Peer:
    """Return the sender of a message, as its connection has proved it: a process of this host, else a key."""
    try:
        process = Peer.from_address(str(frame.get("Peer-Address")))
        return process if process.is_known else Peer(key=str(frame.get("User-Id")) or None)
    except zmq.ZMQError:
        return Peer()


class Poller:
    """Waits for server sockets and plain descriptors at once, and answers the handshakes that come meanwhile."""

    def __init__(self) -> None:
        self._poller = zmq.Poller()
        self._sources: dict[object, ServerSocket | ZapAuthenticator | int] = {}
        self._was_ready = False

    def watch(self, source: ServerSocket | int) -> None:
        """Wait for ``source`` too: a server socket with its authenticator, or a descriptor."""
        self._register(source if isinstance(source, int) else source.socket, source)
        if isinstance(source, ServerSocket):
            self._register(source.authenticator.socket, source.authenticator)

    def _register(self, pollable: "zmq.Socket[bytes] | int", source: ServerSocket | ZapAuthenticator | int) -> None:
        self._sources[pollable] = source
        self._poller.register(pollable, zmq.POLLIN)

    def wait(self, timeout: float | None) -> set[ServerSocket | int]:
        """Return the sources that are readable within ``timeout`` seconds; None waits as long as it takes."""
        readable: set[ServerSocket | int] = set()
        events = self._spin() or self._poller.poll(poll_ms(timeout))
        self._was_ready = bool(events)
        for pollable, _ in events:
            source = self._sources[pollable]
            if isinstance(source, ZapAuthenticator):
                source.answer()
            else:
                readable.add(source)
        return readable

    def _spin(self) -> Sequence[tuple[object, int]]:
        """Poll without sleep for `SPIN_S`, if the last wait had a message; return the events."""
        until = time.monotonic() + (SPIN_S if self._was_ready else 0)
        while time.monotonic() < until:
            if events := self._poller.poll(0):
                return events
            os.sched_yield()  # on a busy machine the client needs the processor to ask again
        return ()


@contextlib.contextmanager
def listening(*servers: ServerSocket) -> Iterator[None]:
    """Serve clients within the block; close the sockets and remove their files after it."""
    try:
        for server in servers:
            server.listen()
        yield
    finally:
        for server in servers:
            server.close()
