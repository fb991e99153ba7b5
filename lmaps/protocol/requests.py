"""What client and manager exchange: one `Request`, one `Reply`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from lmaps.errors import Finding, LmapsError, MessageRefused, error_class
from lmaps.protocol.codec import field_types, from_fields, to_fields
from lmaps.util import jsonio
from lmaps.util.jsonio import JsonObject

VERSION = 1
"""The version of the protocol, field ``v`` of every request."""
MAX_BYTES = 16 * 1024 * 1024
"""The largest body of a message, in bytes: the sockets drop larger ones unread."""


@dataclass(frozen=True, slots=True)
class Request:
    """A client's request: a verb with its arguments.

    verb         name of an endpoint, as ``lmaps discover`` lists them
    args         its arguments; the endpoint's JSON Schema says which
    id           repeated in the reply, so that a client can tell replies apart
    key          makes repeating a write safe: the daemon stores the reply under the key and gives it again
    deadline_ms  how long the client waits for the reply, in milliseconds; for information, the daemon does not use it
    door         how the request came in: ``cli`` for the command line; the daemon accepts no other value from a client
    """

    verb: str
    args: JsonObject = field(default_factory=dict)
    id: str | None = None
    key: str | None = None
    deadline_ms: int | None = None
    door: str | None = None

    def encode(self) -> bytes:
        """Return the body that goes over the wire."""
        return jsonio.encode(to_fields(self) | {"v": VERSION}).encode()

    @classmethod
    def decode(cls, payload: JsonObject) -> Self:
        """Return the request in a decoded body; raise `MessageRefused` with what is wrong with it."""
        version = payload.get("v")
        if version != VERSION or isinstance(version, bool):  # True equals 1
            raise MessageRefused(
                f"cannot read the request: protocol version {version!r} is not supported, version {VERSION} is"
            )
        return from_fields(cls, {name: value for name, value in payload.items() if name != "v"}, "request")


@dataclass(frozen=True, slots=True)
class Reply:
    """The one reply to a request.

    message   one sentence for people
    level     exit code of the command line: 0 for success
    extra     the data of the answer; a value in it may be `Encoded` already
    id        the request's id
    code      None for success, else the stable name of the error (``invalid``, ``not-found`` ...)
    errors    every finding of a refused request
    revision  revision that the request has made, or that the data belongs to
    job       number of the job that the request has queued
    """

    message: str
    level: int = 0
    extra: JsonObject = field(default_factory=dict)
    id: str | None = None
    code: str | None = None
    errors: tuple[Finding, ...] = ()
    revision: int | None = None
    job: int | None = None
    _pieces: Sequence[bytes] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def text(self) -> str:
        """The reply as a JSON object without its id, as it is stored under the request's key."""
        return b"".join((*self._open_object(), b"}")).decode()

    def encode(self, request_id: str | None = None) -> bytes:
        """Return the body that goes over the wire, as the reply to the request with this id."""
        pieces = self._open_object() if self._pieces is None else self._pieces
        return b"".join((*pieces, f',"id":{jsonio.encode(request_id or self.id)}}}'.encode()))

    def _open_object(self) -> Sequence[bytes]:
        """Return the JSON object without id and without its closing brace, in pieces."""
        if self._pieces is None:
            payload = self.to_json()
            del payload["id"]
            pieces: Sequence[bytes]
            if isinstance(self.extra, dict) and jsonio.has_encoded(self.extra):  # the original's may be a list
                payload["extra"] = jsonio.Encoded.object(self.extra)
                pieces = jsonio.Encoded.object(payload).pieces[:-1]
            else:
                pieces = (jsonio.encode(payload)[:-1].encode(),)
            # A write needs the text twice, to store and to send it: large answers are encoded once.
            object.__setattr__(self, "_pieces", pieces)
        return self._pieces or ()

    def to_json(self) -> JsonObject:
        """Return the reply as data, the original's ``message``, ``level`` and ``extra`` first."""
        return {
            "message": self.message,
            "level": self.level,
            "extra": self.extra,
            "id": self.id,
            "code": self.code,
            "errors": [finding.to_json() for finding in self.errors],
            "revision": self.revision,
            "job": self.job,
        }

    @classmethod
    def from_json(cls, payload: JsonObject) -> Self:
        """Return the reply in a decoded body; unknown fields, of a newer daemon, are ignored."""
        values = {name: payload[name] for name in field_types(Reply) if name in payload}
        values["errors"] = tuple(Finding.from_json(finding) for finding in values.get("errors", ()))
        return cls(**values)

    @classmethod
    def refusal(cls, error: LmapsError, id: str | None = None) -> Self:  # noqa: A002 (the field's own name)
        """Return the reply that carries ``error`` to the client."""
        extra = error.extra | ({"hint": error.hint} if error.hint else {})
        return cls(error.message, error.level, extra, id, error.code, error.errors)

    def error(self) -> LmapsError:
        """Return the error of a refusal, for the client to raise."""
        extra = dict(self.extra)
        hint = extra.pop("hint", None)
        return error_class(self.code or "")(self.message, errors=self.errors, hint=hint, extra=extra)


def read_answer(body: bytes) -> JsonObject:
    """Return the JSON object that a manager sent, without limits: it is trusted, and as large as the state."""
    payload: JsonObject = json.loads(body)
    return payload
