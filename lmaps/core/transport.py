"""Sockets and messages: the only room that knows ZMQ.

One shape on every socket, so that REQ and DEALER look alike: ``[identity, empty, body]``. A message of any other shape
is dropped and counted. The manager holds `Listener` sockets, a client a `ClientLink`, a worker a `WorkerLink`.

No object of this room survives a fork: each process makes its own `Context` after it.
"""

import contextlib
import errno
import math
import os
import socket
import stat
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import zmq

from lmaps.core.messages import MAX_BYTES, ManagerMessage, WorkerMessage, decode, encode
from lmaps.errors import AnotherDaemon, ConfigError, MessageRefused

IPC = "ipc://"
MAX_IPC_PATH = 107
"""Bytes that the address of a unix socket may have."""
BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the socket proves it; None where it is not known.

    Over ipc it is a process, over tcp the fingerprint of a key.
    """

    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as it arrived: ``identity`` is the way back to its sender."""

    identity: bytes
    peer: Peer
    body: bytes


def ipc_path(uri: str) -> Path:
    """The file of an ``ipc://`` URI; `ConfigError` for any other transport and for a path that is too long."""
    if uri.startswith("tcp://"):
        raise ConfigError(f"cannot use {uri}: tcp needs keys, which this version does not have; use ipc://PATH")
    if not uri.startswith(IPC) or not uri.removeprefix(IPC).startswith("/"):
        raise ConfigError(f"cannot use {uri!r} as an endpoint: expected ipc:// and an absolute path")
    path = uri.removeprefix(IPC)
    if len(os.fsencode(path)) > MAX_IPC_PATH:
        raise ConfigError(f"cannot use {uri}: its path has {len(os.fsencode(path))} bytes, {MAX_IPC_PATH} is the most")
    return Path(path)


class Listener:
    """One ROUTER socket for all the endpoints of one kind, made of unix sockets of mode 0600.

    The files are there once it is made; nobody is served before `listen`. A stale socket is replaced, anything else
    at a path is refused: ``ipc`` of libzmq alone would unlink whatever it finds.
    """

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", uris: Sequence[str]) -> None:
        self.uris = tuple(uris)
        self.dropped = 0
        self._bound = [_bind(ipc_path(uri)) for uri in uris]
        self.socket = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_BYTES)
        self.socket.setsockopt(zmq.LINGER, 1000)
        self.socket.setsockopt(zmq.HANDSHAKE_IVL, 2000)

    def listen(self) -> None:
        """From here on clients are served."""
        for uri, bound in zip(self.uris, self._bound, strict=True):
            bound.listen(BACKLOG)
            self.socket.setsockopt(zmq.USE_FD, bound.detach())
            self.socket.bind(uri)
        self._bound = []

    def receive(self) -> Incoming | None:
        """The next message, None if there is none now."""
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return None
            if len(frames) == 3 and not frames[1].bytes:
                return Incoming(frames[0].bytes, _peer(frames[2]), frames[2].bytes)
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
            bound.close()
        self.socket.close()
        for uri in self.uris:
            ipc_path(uri).unlink(missing_ok=True)


def _bind(path: Path) -> socket.socket:
    """A unix socket of mode 0600, bound and not yet listening."""
    _clear(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    mask = os.umask(0o177)
    try:
        bound.bind(str(path))
    except OSError as error:
        bound.close()
        raise ConfigError(f"cannot listen at {path}: {error.strerror}") from error
    finally:
        os.umask(mask)
    return bound


def _clear(path: Path) -> None:
    """Make way at ``path`` if what is there is a socket that nobody serves."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"cannot listen at {path}: {error.strerror}") from error
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"cannot listen at {path}: it is no socket; move it away, or set rpc.manager_bind")
    if is_served(path):
        raise AnotherDaemon(f"cannot listen at {path}: another program does")
    path.unlink()


def is_served(path: Path) -> bool:
    """Whether a process listens at the unix socket ``path``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _peer(frame: zmq.Frame) -> Peer:
    """The peer of an ipc message: libzmq tells it as ``localhost:UID:GID:PID``."""
    try:
        _, uid, gid, pid = str(frame.get("Peer-Address")).rsplit(":", 3)
        return Peer(int(uid), int(gid), int(pid))
    except (ValueError, zmq.ZMQError):
        return Peer()


class Poller:
    """Waits for listeners and plain descriptors at once."""

    def __init__(self) -> None:
        self._poller = zmq.Poller()

    def watch(self, source: Listener | int) -> None:
        """Wait for ``source`` too."""
        self._poller.register(source.socket if isinstance(source, Listener) else source, zmq.POLLIN)

    def wait(self, timeout: float | None) -> set[object]:
        """What is readable (sockets and descriptors) within ``timeout`` seconds, None for as long as it takes."""
        return {source for source, _ in self._poller.poll(_span(timeout))}


class _Link:
    """A DEALER that speaks to one listener and knows whether it is connected.

    Nothing is queued for a peer that is not there: what could not be sent is sent again by who sent it.
    """

    def __init__(self, uri: str, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
        ipc_path(uri)
        self.uri = uri
        self._context = context
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 10)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 100)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self._socket.connect(uri)

    def _send(self, body: bytes) -> bool:
        try:
            self._socket.send_multipart((b"", body), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def _receive(self) -> bytes | None:
        while True:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return None
            if len(frames) == 2 and not frames[0]:
                return frames[1]

    def _connections(self) -> Iterator[bool]:
        """What happened to the connection since the last call: True made, False lost."""
        while True:
            try:
                event: bytes = self._monitor.recv_multipart(zmq.NOBLOCK)[0]
            except zmq.Again:
                return
            yield int.from_bytes(event[:2], "little") == zmq.EVENT_HANDSHAKE_SUCCEEDED

    def close(self) -> None:
        """Close the sockets."""
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)


class ClientLink(_Link):
    """A client's way to the manager."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri, zmq.Context())

    def send(self, body: bytes, deadline: float) -> bool:
        """Send ``body`` as soon as the manager is connected; False if it is not by ``deadline`` (monotonic)."""
        while not self._send(body):
            if not self._socket.poll(_milliseconds(deadline), zmq.POLLOUT):
                return False
        return True

    def receive(self, deadline: float) -> bytes | None:
        """The next message; None at ``deadline`` (monotonic), `ConnectionError` if the connection was lost."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        while True:
            body = self._receive()
            if body is not None:
                return body
            if False in self._connections():
                raise ConnectionError(self.uri)
            if not poller.poll(_milliseconds(deadline)):
                return None

    def close(self) -> None:
        """Close the sockets and the context."""
        super().close()
        self._context.term()


class WorkerLink(_Link):
    """A worker's way to the manager: stays through the manager's restarts."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri, zmq.Context())
        self._fresh = False
        self._messages: deque[ManagerMessage] = deque()

    def poll(self, fds: Sequence[int], timeout: float | None) -> set[int]:
        """Wait for the manager or for any of ``fds``; the descriptors that are readable. Seconds, None for ever."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN | (zmq.POLLOUT if self._fresh else 0))
        poller.register(self._monitor, zmq.POLLIN)
        for fd in fds:
            poller.register(fd, zmq.POLLIN)
        ready = poller.poll(_span(timeout))
        for made in self._connections():
            self._fresh = made
        return {source for source, _ in ready if isinstance(source, int)}

    def connected(self) -> bool:
        """True once after each connect, as soon as a message can be sent."""
        if not self._fresh or not self._socket.poll(0, zmq.POLLOUT):
            return False
        self._fresh = False
        return True

    def receive(self) -> ManagerMessage | None:
        """The manager's next message, None if there is none now."""
        body = self._receive()
        if body is None:
            return None
        message = decode(body)
        if isinstance(message, WorkerMessage):
            raise MessageRefused(f"cannot take {message.kind!r} from a manager")
        return message

    def send(self, message: WorkerMessage) -> bool:
        """Send ``message``; False if the manager is not connected."""
        return self._send(encode(message))

    def close(self) -> None:
        """Close the sockets and the context."""
        super().close()
        self._context.term()


def _milliseconds(deadline: float) -> int:
    """What is left until ``deadline`` (monotonic seconds), rounded up so that a poll never ends early."""
    return max(0, int((deadline - time.monotonic()) * 1000) + 1)


def _span(seconds: float | None) -> int | None:
    """``seconds`` as a poll takes them: whole milliseconds rounded up, None for ever."""
    return None if seconds is None else max(0, math.ceil(seconds * 1000))


def make_context() -> "zmq.Context[zmq.Socket[bytes]]":
    """A context of this process; to be made after the fork."""
    return zmq.Context()


@contextlib.contextmanager
def listening(*listeners: Listener) -> Iterator[None]:
    """Serve within the block; close the sockets and remove their files after it."""
    try:
        for listener in listeners:
            listener.listen()
        yield
    finally:
        for listener in listeners:
            listener.close()
