"""The Python client: one request, one reply, one deadline.

from lmaps import Client

with Client() as lmaps:
    lmaps.call("create", unit="web", instances=[{"host": "www.example.org"}])
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lmaps.config import CLIENT_KEY, SERVER_PUBLIC_KEY, default_endpoint
from lmaps.config.paths import expanded
from lmaps.errors import Busy, LmapsError, NotReached, OutcomeUnknown, TooLarge
from lmaps.protocol import MAX_BYTES, VERSION, Reply, Request, read_answer
from lmaps.transport import LocalConnection, is_tcp
from lmaps.util import jsonio

if TYPE_CHECKING:
    from lmaps.transport import RemoteConnection

REACH_WITHIN = 3.0
"""Seconds given to a daemon that is not there, unless a client says otherwise: longer than its recovery takes."""
SAY_AFTER = 0.3
"""Seconds after which the wait for it is told."""


class Client:
    """A connection to the daemon, made when it is first needed and made anew after it was lost.

    ``endpoint`` is the manager's URI (default: this user's own daemon, else the system's), ``timeout`` the seconds
    that one answer may take. ``on_wait`` is told, in words, that the daemon is waited for: ``reach_within`` seconds,
    an attribute, no longer than ``timeout``. Over tcp it needs two files:
    ``client_key`` with its own secret key, ``server_public_key`` with the key that the daemon has to have.

    Each request carries a key, so that it is safe to send it again when the connection is lost.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        timeout: float = 30.0,
        on_wait: Callable[[str], None] | None = None,
        client_key: str = CLIENT_KEY,
        server_public_key: str = SERVER_PUBLIC_KEY,
    ) -> None:
        self.endpoint = endpoint or default_endpoint(os.getuid(), os.environ)
        self.timeout = timeout
        self.reach_within = REACH_WITHIN
        self._on_wait = on_wait
        self._key_files = (expanded(client_key), expanded(server_public_key))
        self._link: LocalConnection | RemoteConnection | None = None

    def call(self, verb: str, **args: Any) -> Reply:
        """Ask for ``verb``; the reply, or the error that a refusal stands for.

        Raises `NotReached` (certainly not done) and `OutcomeUnknown` (sent, no answer) beside the daemon's own errors.
        """
        reply = self.ask(Request(verb, args))
        if reply.code is not None:
            raise reply.error()
        return reply

    def ask(self, request: Request) -> Reply:
        """The reply to ``request``, whatever it says; id, key and deadline are filled in where they are missing.

        A daemon that is busy is asked again when it says so, until the deadline.
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
            if self._on_wait is not None and pause > SAY_AFTER:
                self._on_wait(f"{reply.message}; asked again in {pause:g} s")
            threading.Event().wait(pause)

    def request(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Send ``payload`` and return the daemon's whole answer: ``message``, ``level``, ``extra`` and more.

        The payload is ``{"verb": ..., "args": ...}`` or the original's flags (``{"list_units": True}``).
        """
        if "verb" in payload:
            told = {name: value for name, value in payload.items() if name != "v"}
            return self.ask(Request.decode(told | {"v": VERSION})).to_json()
        return self._exchange(jsonio.encode(dict(payload)).encode(), None, None, time.monotonic() + self.timeout)

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _exchange(self, body: bytes, request_id: str | None, key: str | None, deadline: float) -> dict[str, Any]:
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
            raise NotReached(f"cannot reach the daemon at {self.endpoint}: nothing was done", hint=self._cure())
        while True:
            try:
                answer = self._answer(request_id, deadline)
            except ConnectionError:
                answer = None
            if answer is not None:
                return answer
            self.close()
            try:
                sent = key is not None and self._connection().send(body, deadline)
            except LmapsError as error:  # what refuses this one tells nothing of the one before
                self.close()
                raise _unknown(key) from error
            if not sent:
                self.close()
                raise _unknown(key)

    def _connection(self) -> "LocalConnection | RemoteConnection":
        if self._link is None:
            self._link = self._remote() if is_tcp(self.endpoint) else LocalConnection(self.endpoint)
        return self._link

    def _remote(self) -> "RemoteConnection":
        from lmaps.transport import RemoteConnection, read_client_keys  # noqa: PLC0415 (ZMQ, 12 ms)

        return RemoteConnection(self.endpoint, read_client_keys(*self._key_files))

    def _cure(self) -> str:
        """A server with another key than the one that is expected is as silent as one that is not there."""
        if is_tcp(self.endpoint):
            return f"does lmapsd run there, and is {self._key_files[1]} its public key?"
        return "start it: lmapsd --workers 4"

    def _reach(self, body: bytes, deadline: float) -> bool:
        """Send ``body`` within ``reach_within``; the wait is told once it is long enough to be noticed."""
        start = time.monotonic()
        link = self._connection()
        if link.send(body, min(deadline, start + SAY_AFTER)):
            return True
        if self._on_wait is not None:
            self._on_wait(f"no daemon at {self.endpoint}, waiting {self.reach_within:g} s for it")
        return link.send(body, min(deadline, start + self.reach_within))

    def _answer(self, request_id: str | None, deadline: float) -> dict[str, Any] | None:
        """The answer to the request; those to other requests are dropped. None at the deadline.

        One without an id is to a request that could not be read.
        """
        while (body := self._connection().receive(deadline)) is not None:
            answer = read_answer(body)
            if answer.get("id") in (request_id, None):
                return answer
        return None


def _new_id() -> str:
    """What nobody else has drawn. The time comes first: the daemon keeps together what is asked together."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def _pause(reply: Reply) -> float | None:
    """Seconds after which a busy daemon wants to be asked again; None for any other answer."""
    told = reply.extra.get("retry_after_ms") if reply.code == Busy.code else None
    return told / 1000 if isinstance(told, int | float) else None


def _unknown(key: str | None) -> OutcomeUnknown:
    return OutcomeUnknown(
        "cannot tell whether it was done: sent, and no answer came",
        hint=f"ask: lmaps request {key}" if key else "look before you send it again",
        extra={"key": key},
    )
