"""The client ends that need ZeroMQ: a client's over tcp, and a worker's."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import zmq

from lmaps.errors import MessageRefused
from lmaps.protocol.work import ManagerMessage, WorkerMessage, decode, encode
from lmaps.transport.addresses import ipc_file, tcp_address
from lmaps.transport.zmtp import connection_refusal, remaining_ms

if TYPE_CHECKING:
    from lmaps.transport.curve import ClientKeys

NO_SECRET = "none"  # noqa: S105 (it is none)
"""Password of a worker that nobody has given a secret."""
KEEPALIVE_IDLE_S = 60
"""Silence after which the kernel probes a tcp peer: one whose host vanished would keep its connection for ever."""
RECONNECT_MS = 10
MAX_RECONNECT_MS = 100
"""A restarted manager serves within a second: a longer pause would be most of a client's wait."""
MONITORED = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_DISCONNECTED


class _DealerSocket:
    """A DEALER that is connected to one server and knows whether it is connected.

    Nothing is queued for a server that is not there: the caller sends its message again, or gives up.
    """

    def __init__(
        self, uri: str, context: "zmq.Context[zmq.Socket[bytes]]", options: Mapping[int, int | bytes] | None = None
    ) -> None:
        self.uri = uri
        self._context = context
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # else messages are queued for a server that may never come
        self._socket.setsockopt(zmq.LINGER, 0)  # by default the end of the program waits until they are sent
        self._socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, MAX_RECONNECT_MS)
        for option, value in (options or {}).items():
            self._socket.setsockopt(option, value)
        self._monitor = self._socket.get_monitor_socket(MONITORED)
        self._socket.connect(uri)

    def _poller(self, events: int) -> zmq.Poller:
        """Return a poller for these events of the socket, and for changes of its connection."""
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

    def _connection_changes(self) -> Iterator[bool]:
        """Yield what happened to the connection since the last call: True for made, False for lost.

        Raises `NotAllowed` or `Busy` if the server has refused it: libzmq would try again for ever and say nothing.
        """
        while True:
            try:
                event: bytes = self._monitor.recv_multipart(zmq.NOBLOCK)[0]
            except zmq.Again:
                return
            kind = int.from_bytes(event[:2], "little")
            if kind == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                raise connection_refusal(self.uri, int.from_bytes(event[2:], "little"))
            yield kind == zmq.EVENT_HANDSHAKE_SUCCEEDED

    def close(self) -> None:
        """Close the sockets and the context."""
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
        self._context.term()


class RemoteClientSocket(_DealerSocket):
    """A client's connection to a manager over tcp."""

    def __init__(self, uri: str, keys: "ClientKeys") -> None:
        tcp_address(uri)
        super().__init__(uri, zmq.Context(), _curve_options(keys))
        self._replies = self._poller(zmq.POLLIN)

    def send(self, body: bytes, deadline: float) -> bool:
        """Send ``body`` as soon as the manager is connected; return False if it is not by ``deadline`` (monotonic).

        Raises `NotAllowed` or `Busy` if the manager refuses the connection.
        """
        if self._send(body):
            return True
        poller = self._poller(zmq.POLLOUT)
        while poller.poll(remaining_ms(deadline)):
            any(self._connection_changes())  # raises if it is refused
            if self._send(body):
                return True
        return False

    def receive(self, deadline: float) -> bytes | None:
        """Return the next message, None at ``deadline`` (monotonic); raise `ConnectionError` if the connection is lost.

        A DEALER itself waits for ever: a request that a manager had when it died is never answered.
        """
        while ready := self._replies.poll(remaining_ms(deadline)):
            if any(source is self._socket for source, _ in ready):
                body = self._receive()
                if body is not None:
                    return body
            elif False in self._connection_changes():
                raise ConnectionError(self.uri)
        return None


class WorkerSocket(_DealerSocket):
    """A worker's connection to the manager; it is made again when the manager is restarted.

    ``secret`` is of this start of the daemon and proves that the worker belongs to it.
    """

    def __init__(self, uri: str, secret: str = NO_SECRET) -> None:
        ipc_file(uri)
        super().__init__(uri, zmq.Context(), {zmq.PLAIN_USERNAME: b"worker", zmq.PLAIN_PASSWORD: secret.encode()})
        self._newly_connected = False

    def poll(self, fds: Sequence[int], timeout: float | None) -> set[int]:
        """Wait for the manager or for any of ``fds``; return the descriptors that are readable.

        ``timeout`` is in seconds, None for ever.
        """
        poller = self._poller(zmq.POLLIN | (zmq.POLLOUT if self._newly_connected else 0))
        for fd in fds:
            poller.register(fd, zmq.POLLIN)
        ready = poller.poll(poll_ms(timeout))
        for connected in self._connection_changes():
            self._newly_connected = connected
        return {source for source, _ in ready if isinstance(source, int)}

    def connected(self) -> bool:
        """Return True once after each connect, as soon as a message can be sent."""
        if not self._newly_connected or not self._socket.poll(0, zmq.POLLOUT):
            return False
        self._newly_connected = False
        return True

    def receive(self) -> ManagerMessage | None:
        """Return the manager's next message, None if there is none now."""
        body = self._receive()
        if body is None:
            return None
        # The state of a unit may exceed the limit for clients: a message has at most one node per byte.
        message = decode(body, nodes=len(body))
        if isinstance(message, WorkerMessage):
            raise MessageRefused(f"cannot take {message.kind!r} from a manager")
        return message

    def send(self, message: WorkerMessage) -> bool:
        """Send ``message``; return False if the manager is not connected."""
        return self._send(encode(message))


def poll_ms(seconds: float | None) -> int | None:
    """Return ``seconds`` in the unit of a poll: whole milliseconds rounded up, None for ever."""
    return None if seconds is None else max(0, math.ceil(seconds * 1000))


def _curve_options(keys: "ClientKeys") -> dict[int, int | bytes]:
    return {
        zmq.CURVE_SERVERKEY: keys.server,
        zmq.CURVE_PUBLICKEY: keys.own.public,
        zmq.CURVE_SECRETKEY: keys.own.secret,
        zmq.IPV6: 1,
        zmq.TCP_KEEPALIVE: 1,
        zmq.TCP_KEEPALIVE_IDLE: KEEPALIVE_IDLE_S,
    }
