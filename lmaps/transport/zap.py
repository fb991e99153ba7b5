"""`ZapAuthenticator`: who may connect. Each listening socket asks it in the handshake, before a message is read.

It is a socket in the loop of the process that listens; while it does not answer, nobody gets in.
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
"""The domains of listening sockets: clients of this host, those who come over tcp, and workers."""
CONNECTIONS = 64
"""Connections that one subject may have."""
AT_ONCE = 16
"""Handshakes that are answered before messages are read again."""

_PEER = re.compile(r"localhost:(\d{1,10}):(\d{1,10}):(\d{1,10})\Z", re.ASCII)
_CREDENTIALS = struct.Struct("3i")
_SAY_EVERY = 1.0


class Peer(NamedTuple):
    """Who is at the other end, as the socket proves it; None where it is not known.

    Over ipc it is a process, over tcp the fingerprint of a key.
    """

    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    key: str | None = None

    @classmethod
    @lru_cache(maxsize=1024)
    def at(cls, address: str) -> "Peer":
        """The process that libzmq tells of as ``localhost:UID:GID:PID``; for any other text nobody is known."""
        told = _PEER.match(address)
        return cls(int(told[1]), int(told[2]), int(told[3])) if told else cls()

    @property
    def is_known(self) -> bool:
        """Whether the socket has proved anything."""
        return self.uid is not None or self.key is not None


class Handshake(NamedTuple):
    """What libzmq asks of whoever wants to connect."""

    version: bytes
    id: bytes
    domain: bytes
    address: bytes
    mechanism: bytes
    credentials: list[bytes]


class Refused(Exception):
    """Why somebody does not get in. ``status`` is what his end is told: 400 never, 500 not now."""

    def __init__(self, status: bytes, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class ZapAuthenticator:
    """Answers handshakes, and holds the process's context; to be made after the fork.

    Clients are processes of this host, each user with at most ``connections`` (but root and the daemon's own user,
    ``owner``), and over tcp those whose keys are ``authorized``, which may change at any time. Workers are processes of
    ``owner`` that know ``secret``.
    """

    def __init__(
        self,
        owner: int | None = None,
        secret: str = NO_SECRET,
        connections: int = CONNECTIONS,
        keys: ServerKeys | None = None,
    ) -> None:
        self.context = zmq.Context()
        self.refused = 0
        self._owner = os.getuid() if owner is None else owner
        self._secret = secret.encode()
        self._connections = connections
        self._key = keys.own if keys else None
        self.authorized = keys.clients if keys else frozenset()
        self._room: dict[int, int] = defaultdict(int)
        self._remote_room = 0
        self._said = -_SAY_EVERY
        self.socket = self.context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind("inproc://zeromq.zap.01")

    def guard(self, router: "zmq.Socket[bytes]", domain: bytes) -> None:
        """Have ``router`` ask here at what it binds from now on, and let nobody in when nobody answers."""
        router.setsockopt(zmq.ZAP_DOMAIN, domain)
        router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        router.setsockopt(zmq.PLAIN_SERVER, int(domain == WORKER_DOMAIN))
        if domain == REMOTE_DOMAIN:
            if self._key is None:
                raise ConfigError("cannot serve at tcp: there is no server key")
            router.setsockopt(zmq.CURVE_SERVER, 1)
            router.setsockopt(zmq.CURVE_SECRETKEY, self._key.secret)

    def knows(self, peer: Peer) -> bool:
        """Whether ``peer`` would still be let in: since its handshake its key may have been taken away."""
        return peer.key is None or peer.key in self.authorized

    def answer(self) -> None:
        """Answer the handshakes that wait, `AT_ONCE` at most: who floods does not keep the others waiting."""
        for _ in range(AT_ONCE):
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            asked = Handshake(frames[0], frames[1], frames[2], frames[3], frames[5], frames[6:])
            user = b""
            try:
                if asked.domain == REMOTE_DOMAIN:
                    user = self._check_key(asked).encode()
                else:
                    self._look_at(asked)
                status, text = b"200", b"OK"
            except Refused as refused:
                self._say(asked, refused)
                status, text = refused.status, b"refused"
            self.socket.send_multipart((asked.version, asked.id, status, text, user, b""))

    def _check_key(self, asked: Handshake) -> str:
        """The fingerprint of the client's key, which libzmq then tells with each of its messages."""
        if asked.mechanism != b"CURVE" or len(asked.credentials) != 1:
            raise Refused(b"400", "it has no key")
        told = fingerprint(asked.credentials[0])
        if told not in self.authorized:
            raise Refused(b"400", f"its key {told} is not authorized")
        self._check_remote_room()
        return told

    def _check_remote_room(self) -> None:
        """Keep half of the descriptors for this host's users: whose key a connection has used is not seen later."""
        if not self._remote_room:
            half = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
            self._remote_room = max(0, half - sum(1 for _ in _descriptors()))
        if not self._remote_room:
            raise Refused(b"500", "half of the descriptors are in use")
        self._remote_room -= 1

    def _look_at(self, asked: Handshake) -> None:
        peer = Peer.at(asked.address.decode(errors="replace"))
        if peer.uid is None:
            raise Refused(b"400", "the socket does not tell whose it is")
        if asked.domain == CLIENT_DOMAIN:
            self._check_room(peer.uid)
        elif asked.domain == WORKER_DOMAIN:
            self._check_worker(peer.uid, asked)
        else:
            raise Refused(b"400", "it asks at no door of ours")

    def _check_worker(self, uid: int, asked: Handshake) -> None:
        if uid != self._owner:
            raise Refused(b"400", "it is not of the daemon's user")
        if asked.mechanism != b"PLAIN" or not hmac.compare_digest(asked.credentials[-1], self._secret):
            raise Refused(b"400", "it is no worker of this daemon")

    def _check_room(self, uid: int) -> None:
        """Connections are counted only when so many have come since the last count that there may be too many."""
        if uid in (0, self._owner, os.getuid()):
            return
        if not self._room[uid]:
            self._room[uid] = max(0, self._connections + 1 - _count(uid))
        if not self._room[uid]:
            raise Refused(b"500", f"the user has {self._connections} connections already (limits.connections)")
        self._room[uid] -= 1

    def _say(self, asked: Handshake, refused: Refused) -> None:
        """Log it, once a second at most."""
        self.refused += 1
        if time.monotonic() - self._said >= _SAY_EVERY:
            self._said = time.monotonic()
            who = asked.address.decode(errors="replace")
            log.warning("refused a connection of %s: %s (%d refused so far)", who, refused, self.refused)

    def close(self) -> None:
        """Close the socket and the context; to be called when every listener is closed."""
        self.socket.close()
        self.context.term()


def _count(uid: int) -> int:
    """The connections of this process whose other end is a process of ``uid``."""
    return sum(_peer_uid(fd) == uid for fd in _descriptors())


def _descriptors() -> Iterator[int]:
    yield from (int(entry.name) for entry in Path("/proc/self/fd").iterdir())


def _peer_uid(fd: int) -> int | None:
    """Who is at the other end of ``fd``; None if it is no socket, or just closed by the library's thread."""
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
        borrowed.detach()
