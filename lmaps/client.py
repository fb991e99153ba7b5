"""The Python client: one request, one reply, one deadline.

from lmaps import Client

with Client() as lmaps:
    lmaps.call("create", unit="web", instances=[{"host": "www.example.org"}])
"""

import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lmaps.config import CLIENT_KEY, SERVER_PUBLIC_KEY, SYSTEM_ENDPOINT, default_endpoint
from lmaps.config.paths import expanded
from lmaps.errors import Busy, LmapsError, NotReached, OutcomeUnknown, TooLarge
from lmaps.protocol import MAX_BYTES, VERSION, Reply, Request, read_answer
from lmaps.transport.addresses import is_tcp
from lmaps.transport.zmtp import LocalClientSocket
from lmaps.util import jsonio
from lmaps.util.lazy import LazyModule

if TYPE_CHECKING:
    from lmaps.transport import curve, zmq_client
    from lmaps.transport.zmq_client import RemoteClientSocket
else:
    # ZeroMQ, 12 ms, needed only over tcp.
    curve, zmq_client = LazyModule("lmaps.transport.curve"), LazyModule("lmaps.transport.zmq_client")

REACH_TIMEOUT_S = 3.0
"""How long a daemon that does not listen is waited for: a crashed manager is back sooner."""
REPORT_WAIT_AFTER_S = 0.3
"""A shorter wait is not reported: nobody would notice it."""


class Client:
    """A connection to the daemon: opened by the first request, reopened after it was lost.

    Each request carries a key, under which the daemon stores its answer: the client may send the request again when
    the connection is lost, and a write is still done once. Not to be shared between threads.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        timeout: float = 30.0,
        on_wait: Callable[[str], None] | None = None,
        client_key: str = CLIENT_KEY,
        server_public_key: str = SERVER_PUBLIC_KEY,
        trusted_uids: Collection[int] | None = None,
    ) -> None:
        """Store the settings; nothing is opened yet.

        endpoint           the manager's URI; default: this user's own daemon if it is there, else the system's
        timeout            seconds that one request may take, from sending it to its answer
        on_wait            called with one sentence when the client has to wait for the daemon
        client_key         file with the client's secret key, read for tcp endpoints only
        server_public_key  file with the public key that the daemon must prove to have, likewise
        trusted_uids       users who may serve a unix socket that is given; default: anybody. To anybody else nothing is
                           sent. This user's own daemon is served by this user or root

        The attribute ``reach_within`` says how many of these seconds a daemon that does not listen is waited for.
        """
        self.endpoint = endpoint or default_endpoint(os.getuid(), os.environ)
        self.timeout = timeout
        self.reach_within = REACH_TIMEOUT_S
        self._on_wait = on_wait
        self._key_files = (expanded(client_key), expanded(server_public_key))
        # In the place of the system's socket only root can make one: whoever serves there does so for root.
        is_own = not endpoint and self.endpoint != SYSTEM_ENDPOINT
        self._trusted_uids = {os.getuid(), 0} if is_own else trusted_uids if endpoint else None
        self._connection: LocalClientSocket | RemoteClientSocket | None = None

    def call(self, verb: str, **args: object) -> Reply:
        """Send a request and return the reply of success.

        Raises the error that the daemon refuses with, `NotReached` if the request did not reach the daemon, and
        `OutcomeUnknown` if it was sent and no answer came.
        """
        reply = self.ask(Request(verb, args))
        if reply.code is not None:
            raise reply.error()
        return reply

    def ask(self, request: Request) -> Reply:
        """Return the reply to ``request``, a refusal too; id, key and deadline are filled in where they are missing.

        A daemon that is busy is asked again after the time it names, while ``timeout`` lasts. Raises `NotReached`,
        `OutcomeUnknown`, and `TooLarge` for a request of more than `MAX_BYTES`.
        """
        complete = Request(
            request.verb,
            request.args,
            request.id or _new_id(),
            request.key or _new_id(),
            request.deadline_ms or int(self.timeout * 1000),
            request.door,
        )
        body, deadline = complete.encode(), time.monotonic() + self.timeout
        while True:
            reply = Reply.from_json(self._exchange(body, complete.id, complete.key, deadline))
            pause = _pause(reply)
            if pause is None or time.monotonic() + pause >= deadline:
                return reply
            if self._on_wait is not None and pause > REPORT_WAIT_AFTER_S:
                self._on_wait(f"{reply.message}; asked again in {pause:g} s")
            threading.Event().wait(pause)

    def request(self, payload: Mapping[str, object]) -> dict[str, Any]:
        """Send ``payload`` and return all fields of the daemon's answer: ``message``, ``level``, ``extra`` ...

        The payload is ``{"verb": ..., "args": ...}`` or the original's flags (``{"list_units": True}``).
        """
        if "verb" in payload:
            return self.ask(Request.decode({**payload, "v": VERSION})).to_json()
        # The original's form has no field for a key: such a request is never sent twice.
        return self._exchange(jsonio.encode(dict(payload)).encode(), None, None, time.monotonic() + self.timeout)

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _exchange(self, body: bytes, request_id: str | None, key: str | None, deadline: float) -> dict[str, Any]:
        """Send ``body`` and return its answer; if there is a key, send again when the connection is lost.

        ``deadline`` is in monotonic seconds, as everywhere here.
        """
        if len(body) > MAX_BYTES:
            raise TooLarge(
                f"cannot send the request: it has {len(body):,} bytes, {MAX_BYTES:,} is the most",
                hint="split the documents over several requests",
            )
        try:
            reached = self._reach(body, deadline)
        except LmapsError:
            self.close()
            raise
        if not reached:
            self.close()
            raise NotReached(f"cannot reach the daemon at {self.endpoint}: nothing was done", hint=self._hint())
        while True:
            try:
                answer = self._receive_answer(request_id, deadline)
            except ConnectionError:
                answer = None
            if answer is not None:
                return answer
            # The connection is closed even when only time is up: a late answer must not be read as one to the next
            # request in the original's form, which has no id.
            self.close()
            try:
                sent = key is not None and self._open_connection().send(body, deadline)
            except LmapsError as error:  # it refuses the second sending; the first one may have been done
                self.close()
                raise _unknown(key) from error
            if not sent:
                self.close()
                raise _unknown(key)

    def _open_connection(self) -> "LocalClientSocket | RemoteClientSocket":
        if self._connection is None:
            if is_tcp(self.endpoint):
                self._connection = self._remote()
            else:
                self._connection = LocalClientSocket(self.endpoint, self._trusted_uids)
        return self._connection

    def _remote(self) -> "RemoteClientSocket":
        return zmq_client.RemoteClientSocket(self.endpoint, curve.read_client_keys(*self._key_files))

    def _hint(self) -> str:
        """Return what to do about a daemon that was not reached."""
        if is_tcp(self.endpoint):  # CURVE is silent about a wrong key: it looks as if nobody were there
            return f"does lmapsd run there, and is {self._key_files[1]} its public key?"
        return "start it: lmapsd --workers 4"

    def _reach(self, body: bytes, deadline: float) -> bool:
        """Send ``body`` within ``reach_within`` seconds; return whether the daemon took it."""
        start = time.monotonic()
        connection = self._open_connection()
        if connection.send(body, min(deadline, start + REPORT_WAIT_AFTER_S)):
            return True
        if self._on_wait is not None:
            self._on_wait(f"no daemon at {self.endpoint}, waiting {self.reach_within:g} s for it")
        return connection.send(body, min(deadline, start + self.reach_within))

    def _receive_answer(self, request_id: str | None, deadline: float) -> dict[str, Any] | None:
        """Return the answer to the request, or None at the deadline; answers to other requests are dropped.

        An answer without an id counts: the daemon could not read the request, and so does not know its id.
        """
        while (body := self._open_connection().receive(deadline)) is not None:
            answer = read_answer(body)
            if answer.get("id") in (request_id, None):
                return answer
        return None


def _new_id() -> str:
    """Return a new id or key, 32 hexadecimal digits: the time in milliseconds, and 80 random bits."""
    # The time comes first because the daemon stores keys in their order: keys of one time are in the same pages.
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def _pause(reply: Reply) -> float | None:
    """Return after how many seconds a busy daemon wants to be asked again; None for any other answer."""
    milliseconds = reply.extra.get("retry_after_ms") if reply.code == Busy.code else None
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else None


def _unknown(key: str | None) -> OutcomeUnknown:
    """Return the error for a request that was sent and not answered."""
    return OutcomeUnknown(
        "the outcome is unknown: the request was sent, but no answer came",
        hint=f"to see the outcome: lmaps request {key}" if key else "check the state before you send it again",
        extra={"key": key},
    )
