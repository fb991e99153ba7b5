"""`ZapAuthenticator`: which peers may connect. libzmq asks it in each handshake, before a message is read (ZAP).

It is a socket in the loop of the process that serves; while it does not answer, no connection is made.
"""

import hmac
import logging
import os
import re
import resource
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import zmq

from lmaps.errors import ConfigError
from lmaps.transport.curve import ServerKeys, fingerprint
from lmaps.transport.zmq_client import NO_SECRET

log = logging.getLogger(__name__)

CLIENT_DOMAIN, REMOTE_DOMAIN, WORKER_DOMAIN = b"clients", b"remote", b"workers"
"""ZAP domains of server sockets: clients of this host, clients over tcp, and workers."""
MAX_CONNECTIONS = 64
"""Default of ``limits.connections``: connections that one user may have."""
BATCH_SIZE = 16
"""Handshakes that are answered before messages are read again."""
LOG_INTERVAL_S = 1.0

_ADDRESS = re.compile(r"localhost:(\d{1,10}):(\d{1,10}):(\d{1,10})\Z", re.ASCII)
_CREDENTIALS = struct.Struct("3i")


class Peer(NamedTuple):
    """The other end of a connection, as the socket proves it: a process over ipc, the fingerprint of a key over tcp.

    A field is None where nothing is proved.
    """

    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    key: str | None = None

    @classmethod
    @lru_cache(maxsize=1024)
    def from_address(cls, address: str) -> "Peer":
        """Return the process that libzmq reports as ``localhost:UID:GID:PID``; for any other text an unknown peer.

        The text is libzmq's own and not documented: it is read strictly, since a guess could give a stranger rights.
        """
        match = _ADDRESS.match(address)
        return cls(int(match[1]), int(match[2]), int(match[3])) if match else cls()

    @property
    def is_known(self) -> bool:
        """Whether the socket has proved anything."""
        return self.uid is not None or self.key is not None


class Handshake(NamedTuple):
    """A request of the ZAP protocol: a connection that libzmq asks about."""

    version: bytes
    id: bytes
    domain: bytes
    address: bytes
    mechanism: bytes
    credentials: list[bytes]


class Refused(Exception):
    """A handshake is refused. ``status`` is sent to the peer: 400 for good, 500 for now."""

    def __init__(self, status: bytes, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class ZapAuthenticator:
    """Answers handshakes, and holds the process's ZeroMQ context.

    Make it after the fork: a context of the parent raises nothing in a child, and delivers nothing.

    Clients are processes of this host; each user may have ``connections``, root and the daemon's own user (``owner``)
    more. Over tcp clients are those whose keys are ``authorized``, which may change at any time. Workers are processes
    of ``owner`` that know ``secret``.
    """

    def __init__(
        self,
        owner: int | None = None,
        secret: str = NO_SECRET,
        connections: int = MAX_CONNECTIONS,
        keys: ServerKeys | None = None,
    ) -> None:
        self.context = zmq.Context()
        self.refused = 0
        self._owner = os.getuid() if owner is None else owner
        self._secret = secret.encode()
        self._connections = connections
        self._key = keys.own if keys else None
        self.authorized = keys.clients if keys else frozenset()
        self._free_connections: dict[int, int] = defaultdict(int)
        self._free_remote_connections = 0
        self._logged_at = -LOG_INTERVAL_S
        self.socket = self.context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind("inproc://zeromq.zap.01")

    def protect(self, router: "zmq.Socket[bytes]", domain: bytes) -> None:
        """Have libzmq ask here about each connection to the addresses that ``router`` binds from now on.

        Raises `ConfigError` for tcp without a server key.
        """
        router.setsockopt(zmq.ZAP_DOMAIN, domain)
        router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without it everybody gets in while nobody answers
        router.setsockopt(zmq.PLAIN_SERVER, int(domain == WORKER_DOMAIN))
        if domain == REMOTE_DOMAIN:
            if self._key is None:
                raise ConfigError("cannot serve at tcp: there is no server key")
            router.setsockopt(zmq.CURVE_SERVER, 1)
            router.setsockopt(zmq.CURVE_SECRETKEY, self._key.secret)

    def is_authorized(self, peer: Peer) -> bool:
        """Return whether ``peer`` could still connect: its key may have been taken away since its handshake."""
        return peer.key is None or peer.key in self.authorized

    def answer(self) -> None:
        """Answer the handshakes that wait, `BATCH_SIZE` at most: a flood of them must not keep messages waiting."""
        for _ in range(BATCH_SIZE):
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            handshake = Handshake(frames[0], frames[1], frames[2], frames[3], frames[5], frames[6:])
            user_id = b""
            try:
                if handshake.domain == REMOTE_DOMAIN:
                    user_id = self._check_key(handshake).encode()
                else:
                    self._check_process(handshake)
                status, text = b"200", b"OK"
            except Refused as refused:
                self._log(handshake, refused)
                status, text = refused.status, b"refused"  # the reason is for the log: a stranger learns nothing
            self.socket.send_multipart((handshake.version, handshake.id, status, text, user_id, b""))

    def _check_key(self, handshake: Handshake) -> str:
        """Return the fingerprint of the client's key, which libzmq then reports with each of its messages.

        CURVE alone proves that the client has some key: without this look-up any key would do.
        """
        if handshake.mechanism != b"CURVE" or len(handshake.credentials) != 1:
            raise Refused(b"400", "it has no key")
        client = fingerprint(handshake.credentials[0])
        if client not in self.authorized:
            raise Refused(b"400", f"its key {client} is not authorized")
        self._take_remote_connection()
        return client

    def _take_remote_connection(self) -> None:
        """Count a connection over tcp; raise if half of the descriptors are in use.

        The other half is for this host's users, and for libzmq, which burns a processor at tcp when there is no
        descriptor left. Which key a connection belongs to cannot be seen later, so there is no limit for each key.
        """
        if not self._free_remote_connections:
            half = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
            self._free_remote_connections = max(0, half - sum(1 for _ in _descriptors()))
        if not self._free_remote_connections:
            raise Refused(b"500", "half of the descriptors are in use")
        self._free_remote_connections -= 1

    def _check_process(self, handshake: Handshake) -> None:
        peer = Peer.from_address(handshake.address.decode(errors="replace"))
        if peer.uid is None:
            raise Refused(b"400", "the socket does not report its user")
        if handshake.domain == CLIENT_DOMAIN:
            self._take_connection(peer.uid)
        elif handshake.domain == WORKER_DOMAIN:
            self._check_worker(peer.uid, handshake)
        else:
            raise Refused(b"400", "its ZAP domain is unknown")

    def _check_worker(self, uid: int, handshake: Handshake) -> None:
        if uid != self._owner:
            raise Refused(b"400", "it does not belong to the daemon's user")
        # The uid alone is not enough: any program of that user could then take jobs.
        if handshake.mechanism != b"PLAIN" or not hmac.compare_digest(handshake.credentials[-1], self._secret):
            raise Refused(b"400", "it is no worker of this daemon")

    def _take_connection(self, uid: int) -> None:
        """Count a connection of a user; raise if he has too many.

        libzmq aborts the process when it has no descriptor left to accept a connection on a unix socket. Looking
        through all descriptors takes time: they are counted again only when the connections since the last count may
        have been too many.
        """
        if uid in (0, self._owner, os.getuid()):
            return
        if not self._free_connections[uid]:
            self._free_connections[uid] = max(0, self._connections + 1 - _count(uid))
        if not self._free_connections[uid]:
            raise Refused(b"500", f"the user has {self._connections} connections already (limits.connections)")
        self._free_connections[uid] -= 1

    def _log(self, handshake: Handshake, refused: Refused) -> None:
        """Log a refusal, once in `LOG_INTERVAL_S` at most: a stranger must not be able to fill the disk."""
        self.refused += 1
        if time.monotonic() - self._logged_at >= LOG_INTERVAL_S:
            self._logged_at = time.monotonic()
            address = handshake.address.decode(errors="replace")
            log.warning("refused a connection of %s: %s (%d refused so far)", address, refused, self.refused)

    def close(self) -> None:
        """Close the socket and the context; every server socket has to be closed before."""
        self.socket.close()
        self.context.term()


def _count(uid: int) -> int:
    """Return how many connections of this process have a process of ``uid`` at their other end."""
    return sum(_peer_uid(fd) == uid for fd in _descriptors())


def _descriptors() -> Iterator[int]:
    yield from (int(entry.name) for entry in Path("/proc/self/fd").iterdir())


def _peer_uid(fd: int) -> int | None:
    """Return the user at the other end of ``fd``; None if it is no socket, or just closed by libzmq's thread."""
    try:
        borrowed = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=fd)
    except OSError:
        return None
    try:
        credentials = borrowed.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(credentials)[1])
    except OSError:
        return None
    finally:
        borrowed.detach()  # the descriptor is libzmq's: closing it here would cut the client off
