"""`LocalClientSocket`: a client's way to a manager on its own host. It speaks ZMTP (rfc.zeromq.org/spec/37) itself.

To load ZMQ and start its threads takes longer than a request does, and a client needs little of it: a greeting, one
command each way, then frames.
"""

import _socket as socket  # what `socket` puts around it takes a command 2 ms to load
import select
import time

from lmaps.errors import Busy, LmapsError, NotAllowed
from lmaps.transport.addresses import ipc_file, is_tcp

MORE, LONG, COMMAND = 1, 2, 4
"""What the first byte of a frame says of it."""
NULL = b"NULL".ljust(20, b"\0")
"""The mechanism of unix sockets: the kernel tells who the client is."""
GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + NULL + bytes(32)
READY, ERROR = b"\x05READY", b"\x05ERROR"
AGAIN_AFTER_MS = 10
"""When a manager that is not there is looked for again."""
RETRY_AFTER_MS = 1000
"""When a user who has too many connections is to try again."""
CHUNK = 65536


class LocalClientSocket:
    """A client's connection, made anew after it was lost. Nothing is queued for a manager that is not there."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._path = ipc_file(uri)
        self._connection: _Connection | None = None

    def send(self, body: bytes, deadline: float) -> bool:
        """Send ``body`` as soon as the manager is connected; False if it is not by ``deadline`` (monotonic).

        Raises `NotAllowed` or `Busy` if it refuses the connection.
        """
        message = _frame(b"", MORE) + _frame(body)
        while True:
            try:
                if self._connection is None:
                    self._connection = _Connection(self._path)
                if self._connection.is_accepted(self.uri):
                    self._connection.send(message)
                    return True
                if not self._connection.turn(deadline):
                    return False
            except OSError:
                self.close()
                if not _pause(deadline):
                    return False

    def receive(self, deadline: float) -> bytes | None:
        """The next message; None at ``deadline`` (monotonic), `ConnectionError` if the connection was lost."""
        if self._connection is None:
            raise ConnectionError(self.uri)
        while (body := self._connection.message()) is None:
            if not self._connection.turn(deadline):
                return None
        return body

    def close(self) -> None:
        """Close the socket."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Connection:
    """One connection, from its greeting on; an `OSError` ends it."""

    def __init__(self, path: str) -> None:
        self._unread, self._unsent = bytearray(), bytearray()
        self._greeted = self._accepted = False
        self._frames: list[bytes] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect(path)
            self.send(GREETING + _frame(READY + _property(b"Socket-Type", b"DEALER"), COMMAND))
        except OSError:
            self._socket.close()
            raise

    def send(self, data: bytes) -> None:
        """Send ``data``: what of it does not fit now, as soon as `turn` can."""
        self._unsent += data
        try:
            del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            return

    def turn(self, deadline: float) -> bool:
        """Send and receive once something can be; False if that is not by ``deadline``."""
        poller = select.poll()
        poller.register(self._socket, select.POLLIN | (select.POLLOUT if self._unsent else 0))
        found = poller.poll(milliseconds(deadline))
        for _, events in found:
            if events & select.POLLOUT:
                self.send(b"")
            if events & ~select.POLLOUT:
                self._read()
        return bool(found)

    def _read(self) -> None:
        data = self._socket.recv(CHUNK)
        if not data:
            raise ConnectionError("the other end has closed it")
        self._unread += data

    def is_accepted(self, uri: str) -> bool:
        """Whether the manager has let us in by now; raises if it has refused."""
        if not self._greeted and len(self._unread) >= len(GREETING):
            self._take_greeting()
        if self._greeted and not self._accepted and (frame := self._next_frame()) is not None:
            flags, command = frame
            if flags & COMMAND and command.startswith(ERROR):
                raise refusal(uri, _status(command))
            if not flags & COMMAND or not command.startswith(READY):
                raise ConnectionError("the other end is no manager")
            self._accepted = True
        return self._accepted

    def _take_greeting(self) -> None:
        told = bytes(self._unread[: len(GREETING)])
        del self._unread[: len(GREETING)]
        if (told[0], told[9]) != (GREETING[0], GREETING[9]) or told[10] < GREETING[10] or told[12:32] != NULL:
            raise ConnectionError("the other end is no manager")
        self._greeted = True

    def message(self) -> bytes | None:
        """The next message, if it is there whole; one of another shape is dropped."""
        while (frame := self._next_frame()) is not None:
            flags, body = frame
            if flags & COMMAND:
                continue
            self._frames.append(body)
            if not flags & MORE:
                frames, self._frames = self._frames, []
                if len(frames) == 2 and not frames[0]:
                    return frames[1]
        return None

    def _next_frame(self) -> tuple[int, bytes] | None:
        """Flags and body of the next frame, if it is there whole."""
        if not self._unread:
            return None
        start = 9 if self._unread[0] & LONG else 2
        end = start + int.from_bytes(self._unread[1:start], "big")
        if len(self._unread) < max(start, end):
            return None
        frame = self._unread[0], bytes(memoryview(self._unread)[start:end])
        del self._unread[:end]
        return frame

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _frame(body: bytes, flags: int = 0) -> bytes:
    if len(body) > 255:
        return bytes([flags | LONG]) + len(body).to_bytes(8, "big") + body
    return bytes([flags, len(body)]) + body


def _property(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + len(value).to_bytes(4, "big") + value


def _status(command: bytes) -> int:
    """The gate's answer in an ERROR command, such as 400."""
    reason = command[len(ERROR) + 1 :]
    if not reason.isdigit():
        raise ConnectionError("the other end is no manager")
    return int(reason)


def _pause(deadline: float) -> bool:
    """Let some time pass before the next try; False if ``deadline`` has passed."""
    left = milliseconds(deadline)
    select.poll().poll(min(left, AGAIN_AFTER_MS))
    return time.monotonic() < deadline


def milliseconds(deadline: float) -> int:
    """What is left until ``deadline`` (monotonic seconds), rounded up so that a poll never ends early."""
    return max(0, int((deadline - time.monotonic()) * 1000) + 1)


def refusal(uri: str, status: int) -> LmapsError:
    """What the manager says to a connection that it does not take."""
    if status == 500:
        all_taken = "there are as many connections over tcp as the daemon takes"
        why = all_taken if is_tcp(uri) else "this user has as many connections as he may (limits.connections)"
        return Busy(f"cannot connect to {uri}: {why}", extra={"retry_after_ms": RETRY_AFTER_MS})
    who = "key" if is_tcp(uri) else "user"
    return NotAllowed(f"cannot connect to {uri}: the daemon does not let this {who} in")
