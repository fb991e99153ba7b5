"""`LocalClientSocket`: a client's connection to a manager on its own host. It speaks ZMTP (rfc.zeromq.org/spec/37).

Loading ZeroMQ and starting its threads takes longer than a request, and a client needs little of the protocol: a
greeting, one command each way, then frames.
"""

import select
import socket
import struct
import time
from collections.abc import Collection

from lmaps.errors import Busy, LmapsError, NotAllowed
from lmaps.transport.addresses import ipc_file, is_tcp
from lmaps.util.ownership import login_name

MORE, LONG, COMMAND = 1, 2, 4
"""Flags in the first byte of a frame."""
NULL = b"NULL".ljust(20, b"\0")
"""The security mechanism of unix sockets: none, since the kernel reports who the client is."""
GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + NULL + bytes(32)
READY, ERROR = b"\x05READY", b"\x05ERROR"
RECONNECT_MS = 10
"""Pause before the next attempt to connect to a manager that does not listen."""
BUSY_RETRY_MS = 1000
"""When a user who has too many connections is to try again."""
READ_BYTES = 65536


class LocalClientSocket:
    """A client's connection, made again after it was lost. Nothing is queued for a manager that is not there.

    ``trusted_uids`` are the users whose process may listen at ``uri``; None stands for anybody.
    """

    def __init__(self, uri: str, trusted_uids: Collection[int] | None = None) -> None:
        self.uri = uri
        self._trusted_uids = trusted_uids
        self._path = ipc_file(uri)
        self._connection: _Connection | None = None

    def send(self, body: bytes, deadline: float) -> bool:
        """Send ``body`` as soon as the manager is connected; return False if it is not by ``deadline`` (monotonic).

        Raises `NotAllowed` or `Busy` if the manager refuses the connection, `NotAllowed` if its user is not trusted.
        """
        message = _frame(b"", MORE) + _frame(body)
        while True:
            try:
                if self._connection is None:
                    self._connection = _Connection(self._path)
                    self._check_trusted(self._connection.peer_uid())
                if self._connection.is_accepted(self.uri):
                    self._connection.send(message)
                    return True
                if not self._connection.run_once(deadline):
                    return False
            except OSError:
                self.close()
                if not _pause(deadline):
                    return False

    def _check_trusted(self, uid: int) -> None:
        """Raise `NotAllowed` if the user who listens is not trusted: the request may hold secrets."""
        if self._trusted_uids is None or uid in self._trusted_uids:
            return
        self.close()
        names = " or ".join(login_name(trusted) for trusted in sorted(self._trusted_uids))
        raise NotAllowed(
            f"cannot trust the daemon at {self.uri}: it is run by {login_name(uid)}, not by {names}; nothing was sent",
            hint=f"if that is right, name it: lmaps -e {self.uri}",
        )

    def receive(self, deadline: float) -> bytes | None:
        """Return the next message, None at ``deadline`` (monotonic); raise `ConnectionError` if the connection is lost.

        A lost connection is not made again here: the request may have been executed, and only its sender can ask again.
        """
        if self._connection is None:
            raise ConnectionError(self.uri)
        while (body := self._connection.next_message()) is None:
            if not self._connection.run_once(deadline):
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
            # All at once: the server's answer then takes one round trip instead of two.
            self.send(GREETING + _frame(READY + _property(b"Socket-Type", b"DEALER"), COMMAND))
        except OSError:
            self._socket.close()
            raise

    def peer_uid(self) -> int:
        """Return the user who listens at the socket, as the kernel knows it."""
        peer = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        uid: int = struct.unpack("3i", peer)[1]
        return uid

    def send(self, data: bytes) -> None:
        """Send ``data``; `run_once` sends later what does not fit into the socket now."""
        self._unsent += data
        try:
            del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            return

    def run_once(self, deadline: float) -> bool:
        """Wait until something can be sent or received, and do it once; return False if ``deadline`` passes first."""
        poller = select.poll()
        poller.register(self._socket, select.POLLIN | (select.POLLOUT if self._unsent else 0))
        ready = poller.poll(remaining_ms(deadline))
        for _, events in ready:
            if events & select.POLLOUT:
                self.send(b"")
            if events & ~select.POLLOUT:  # POLLHUP and POLLERR too: reading says what happened
                self._read()
        return bool(ready)

    def _read(self) -> None:
        data = self._socket.recv(READ_BYTES)
        if not data:
            raise ConnectionError("the server has closed the connection")
        self._unread += data

    def is_accepted(self, uri: str) -> bool:
        """Return whether the manager has accepted the connection by now; raise if it has refused it."""
        if not self._greeted and len(self._unread) >= len(GREETING):
            self._read_greeting()
        if self._greeted and not self._accepted and (frame := self._next_frame()) is not None:
            flags, command = frame
            if flags & COMMAND and command.startswith(ERROR):
                raise connection_refusal(uri, _status(command))
            if not flags & COMMAND or not command.startswith(READY):
                raise ConnectionError("the server is no manager")
            self._accepted = True
        return self._accepted

    def _read_greeting(self) -> None:
        greeting = bytes(self._unread[: len(GREETING)])
        del self._unread[: len(GREETING)]
        signature = (greeting[0], greeting[9])
        # Any version from ours on: a newer server falls back to the version that it reads in our greeting.
        if signature != (GREETING[0], GREETING[9]) or greeting[10] < GREETING[10] or greeting[12:32] != NULL:
            raise ConnectionError("the server is no manager")
        self._greeted = True

    def next_message(self) -> bytes | None:
        """Return the next message, None if it has not arrived as a whole. Messages of another shape are dropped."""
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
        """Return flags and body of the next frame, None if it has not arrived as a whole."""
        if not self._unread:
            return None
        start = 9 if self._unread[0] & LONG else 2
        end = start + int.from_bytes(self._unread[1:start], "big")
        if len(self._unread) < max(start, end):
            return None
        # The memoryview is gone before the next line: a bytearray that is looked at cannot be shortened.
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
    """Return the status that the ZAP authenticator gave, such as 400, from an ERROR command."""
    reason = command[len(ERROR) + 1 :]
    if not reason.isdigit():
        raise ConnectionError("the server is no manager")
    return int(reason)


def _pause(deadline: float) -> bool:
    """Wait `RECONNECT_MS` at most; return False if ``deadline`` (monotonic) has passed then."""
    select.poll().poll(min(remaining_ms(deadline), RECONNECT_MS))
    return time.monotonic() < deadline


def remaining_ms(deadline: float) -> int:
    """Return the milliseconds until ``deadline`` (monotonic seconds), rounded up so that a poll never ends early."""
    return max(0, int((deadline - time.monotonic()) * 1000) + 1)


def connection_refusal(uri: str, status: int) -> LmapsError:
    """Return the error for a connection that the ZAP authenticator refused: 500 for now, any other status for good."""
    if status == 500:
        who = "the daemon has as many connections over tcp" if is_tcp(uri) else "this user has as many connections"
        limit = "it may have" if is_tcp(uri) else "limits.connections allows"
        return Busy(f"cannot connect to {uri}: {who} as {limit}", extra={"retry_after_ms": BUSY_RETRY_MS})
    subject = "key" if is_tcp(uri) else "user"
    return NotAllowed(f"cannot connect to {uri}: the daemon does not let this {subject} in")
