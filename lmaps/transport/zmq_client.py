"""The other ends that need ZMQ: a link of a client over tcp, and a worker's."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import zmq

from lmaps.errors import MessageRefused
from lmaps.protocol.work import ManagerMessage, WorkerMessage, decode, encode
from lmaps.transport.addresses import ipc_file, tcp_address
from lmaps.transport.zmtp import milliseconds, refusal

if TYPE_CHECKING:
    from lmaps.transport.curve import ClientKeys

NO_SECRET = "none"  # noqa: S105 (it is none)
"""What workers say that nobody has told a secret."""
ALIVE_AFTER = 60
"""Seconds without a word after which the host at the other end of a tcp connection is asked whether it is there."""
EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_DISCONNECTED


class _Link:
    """A DEALER that speaks to one listener and knows whether it is connected.

    Nothing is queued for a peer that is not there: what could not be sent is sent again by who sent it.
    """

    def __init__(
        self, uri: str, context: "zmq.Context[zmq.Socket[bytes]]", options: Mapping[int, int | bytes] | None = None
    ) -> None:
        self.uri = uri
        self._context = context
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 10)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 100)
        for option, value in (options or {}).items():
            self._socket.setsockopt(option, value)
        self._monitor = self._socket.get_monitor_socket(EVENTS)
        self._socket.connect(uri)

    def _poller(self, events: int) -> zmq.Poller:
        """Waits for these events of the socket, and for what happens to the connection."""
        poller = zmq.Poller()
        poller.register(self._socket, events)
        poller.register(self._monitor, zmq.POLLIN)
        return poller

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
        """What happened to the connection since the last call: True made, False lost; raises if it was refused."""
        while True:
            try:
                event: bytes = self._monitor.recv_multipart(zmq.NOBLOCK)[0]
            except zmq.Again:
                return
            kind = int.from_bytes(event[:2], "little")
            if kind == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                raise refusal(self.uri, int.from_bytes(event[2:], "little"))
            yield kind == zmq.EVENT_HANDSHAKE_SUCCEEDED

    def close(self) -> None:
        """Close the sockets."""
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)


class RemoteClientSocket(_Link):
    """A client's way to a manager over tcp."""

    def __init__(self, uri: str, keys: "ClientKeys") -> None:
        tcp_address(uri)
        super().__init__(uri, zmq.Context(), _curve(keys))
        self._answers = self._poller(zmq.POLLIN)

    def send(self, body: bytes, deadline: float) -> bool:
        """Send ``body`` as soon as the manager is connected; False if it is not by ``deadline`` (monotonic).

        Raises `NotAllowed` or `Busy` if it refuses the connection.
        """
        if self._send(body):
            return True
        poller = self._poller(zmq.POLLOUT)
        while poller.poll(milliseconds(deadline)):
            any(self._connections())
            if self._send(body):
                return True
        return False

    def receive(self, deadline: float) -> bytes | None:
        """The next message; None at ``deadline`` (monotonic), `ConnectionError` if the connection was lost."""
        while ready := self._answers.poll(milliseconds(deadline)):
            if any(source is self._socket for source, _ in ready):
                body = self._receive()
                if body is not None:
                    return body
            elif False in self._connections():
                raise ConnectionError(self.uri)
        return None

    def close(self) -> None:
        """Close the sockets and the context."""
        super().close()
        self._context.term()


class WorkerSocket(_Link):
    """A worker's way to the manager: stays through the manager's restarts. ``secret`` proves whose worker it is."""

    def __init__(self, uri: str, secret: str = NO_SECRET) -> None:
        ipc_file(uri)
        super().__init__(uri, zmq.Context(), {zmq.PLAIN_USERNAME: b"worker", zmq.PLAIN_PASSWORD: secret.encode()})
        self._fresh = False

    def poll(self, fds: Sequence[int], timeout: float | None) -> set[int]:
        """Wait for the manager or for any of ``fds``; the descriptors that are readable. Seconds, None for ever."""
        poller = self._poller(zmq.POLLIN | (zmq.POLLOUT if self._fresh else 0))
        for fd in fds:
            poller.register(fd, zmq.POLLIN)
        ready = poller.poll(span(timeout))
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
        message = decode(body, nodes=len(body))  # a state is as large as it is
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


def span(seconds: float | None) -> int | None:
    """``seconds`` as a poll takes them: whole milliseconds rounded up, None for ever."""
    return None if seconds is None else max(0, math.ceil(seconds * 1000))


def _curve(keys: "ClientKeys") -> dict[int, int | bytes]:
    return {
        zmq.CURVE_SERVERKEY: keys.server,
        zmq.CURVE_PUBLICKEY: keys.own.public,
        zmq.CURVE_SECRETKEY: keys.own.secret,
        zmq.IPV6: 1,
        zmq.TCP_KEEPALIVE: 1,
        zmq.TCP_KEEPALIVE_IDLE: ALIVE_AFTER,
    }
