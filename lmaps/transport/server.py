"""`ServerSocket`: the manager's end of the sockets, and the `Poller` that waits for it."""

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
from lmaps.transport.zmq_client import ALIVE_AFTER, span

BACKLOG = 128
HANDSHAKE_WITHIN = 2000
"""Milliseconds that a connection may take to say who it is."""
STAY_AWAKE = 100e-6
"""Seconds for which a poller looks again and again: to be woken takes longer than most clients take to ask again."""


class Incoming(NamedTuple):
    """A message as it arrived: ``identity`` is the way back to its sender."""

    identity: bytes
    peer: Peer
    body: bytes


class ServerSocket:
    """One ROUTER socket for all the endpoints of one ZAP ``domain``; those at tcp are in `REMOTE_DOMAIN`.

    The addresses are ``bound`` before; nobody is served before `listen`.
    """

    def __init__(self, gate: ZapAuthenticator, domain: bytes, bound: Sequence[BoundSocket]) -> None:
        self.uris = tuple(each.uri for each in bound)
        self.dropped = 0
        self.gate = gate
        self._bound = list(bound)
        self.socket = gate.context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_BYTES)
        self.socket.setsockopt(zmq.LINGER, 1000)
        self.socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_WITHIN)
        self.socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        self.socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, ALIVE_AFTER)
        self._domain = domain

    def listen(self) -> None:
        """From here on clients are served."""
        for bound in self._bound:
            self.gate.guard(self.socket, REMOTE_DOMAIN if is_tcp(bound.uri) else self._domain)
            bound.socket.listen(BACKLOG)
            self.socket.setsockopt(zmq.USE_FD, bound.socket.detach())
            self.socket.bind(bound.uri)
        self._bound = []

    def receive(self) -> Incoming | None:
        """The next message, None if there is none now."""
        while True:
            try:
                identity = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return None
            frames = [self.socket.recv(copy=False)]
            while frames[-1].more:
                frames.append(self.socket.recv(copy=False))
            if len(frames) == 2 and not frames[0].bytes:
                return Incoming(identity, _peer(frames[1]), frames[1].bytes)
            self.dropped += 1

    def send(self, identity: bytes, body: bytes) -> None:
        """Send ``body`` back; a peer that is gone or does not read loses it, which is counted."""
        try:
            self.socket.send_multipart((identity, b"", body), zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (errno.EHOSTUNREACH, errno.EAGAIN):
                raise
            self.dropped += 1

    def close(self) -> None:
        """Close the socket and remove its files; what was sent is still delivered (for a second at most)."""
        for bound in self._bound:
            bound.socket.close()
        self.socket.close()
        remove(self.uris)


def _peer(frame: zmq.Frame) -> Peer:
    """Who sent a message, by what its connection has proved: a process of this host, else a key."""
    try:
        process = Peer.at(str(frame.get("Peer-Address")))
        return process if process.is_known else Peer(key=str(frame.get("User-Id")) or None)
    except zmq.ZMQError:
        return Peer()


class Poller:
    """Waits for listeners and plain descriptors at once; meanwhile their gates answer whoever wants to connect."""

    def __init__(self) -> None:
        self._poller = zmq.Poller()
        self._sources: dict[object, ServerSocket | ZapAuthenticator | int] = {}
        self._had_something = False

    def watch(self, source: ServerSocket | int) -> None:
        """Wait for ``source`` too."""
        self._register(source if isinstance(source, int) else source.socket, source)
        if isinstance(source, ServerSocket):
            self._register(source.gate.socket, source.gate)

    def _register(self, pollable: "zmq.Socket[bytes] | int", source: ServerSocket | ZapAuthenticator | int) -> None:
        self._sources[pollable] = source
        self._poller.register(pollable, zmq.POLLIN)

    def wait(self, timeout: float | None) -> set[ServerSocket | int]:
        """What is readable within ``timeout`` seconds, None for as long as it takes."""
        ready: set[ServerSocket | int] = set()
        found = self._stay_awake() or self._poller.poll(span(timeout))
        self._had_something = bool(found)
        for pollable, _ in found:
            source = self._sources[pollable]
            if isinstance(source, ZapAuthenticator):
                source.answer()
            else:
                ready.add(source)
        return ready

    def _stay_awake(self) -> Sequence[tuple[object, int]]:
        """What comes just after there was something, found without sleep."""
        until = time.monotonic() + (STAY_AWAKE if self._had_something else 0)
        while time.monotonic() < until:
            if found := self._poller.poll(0):
                return found
            os.sched_yield()
        return ()


@contextlib.contextmanager
def listening(*listeners: ServerSocket) -> Iterator[None]:
    """Serve within the block; close the sockets and remove their files after it."""
    try:
        for listener in listeners:
            listener.listen()
        yield
    finally:
        for listener in listeners:
            listener.close()
