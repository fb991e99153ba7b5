"""What client and manager exchange: one `Request`, one `Reply`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from lmaps.errors import Finding, LmapsError, MessageRefused, error_class
from lmaps.protocol.codec import checked, fields_of, known
from lmaps.util import jsonio

VERSION = 1
MAX_BYTES = 16 * 1024 * 1024
"""The largest body of a message, in bytes."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for: a verb with its arguments.

    ``deadline_ms`` is how long the client waits, ``key`` makes repeating the request safe, ``door`` says through what
    it came in (``cli`` for the command line).
    """

    verb: str
    args: dict[str, Any] = field(default_factory=dict)
    id: str | None = None
    key: str | None = None
    deadline_ms: int | None = None
    door: str | None = None

    def encode(self) -> bytes:
        """The body that goes over the wire."""
        return jsonio.encode(known(self) | {"v": VERSION}).encode()

    @classmethod
    def decode(cls, told: dict[str, Any]) -> Self:
        """The request in a decoded body; `MessageRefused` names what is wrong with it."""
        version = told.get("v")
        if version != VERSION or isinstance(version, bool):
            raise MessageRefused(f"cannot read the request: version {version!r} is not spoken here, {VERSION} is")
        return checked(cls, {name: value for name, value in told.items() if name != "v"}, "request")


@dataclass(frozen=True, slots=True)
class Reply:
    """The one answer to a request. ``level`` is the exit code, ``extra`` the data, ``errors`` all findings.

    What is below a name of ``extra`` may be `Encoded` already.
    """

    message: str
    level: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    id: str | None = None
    code: str | None = None
    errors: tuple[Finding, ...] = ()
    revision: int | None = None
    job: int | None = None
    _pieces: Sequence[bytes] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def text(self) -> str:
        """The reply as a JSON object without its id."""
        return b"".join((*self._begun, b"}")).decode()

    def encode(self, request_id: str | None = None) -> bytes:
        """The body that goes over the wire, as the answer to the request of this id, if it has one."""
        return b"".join((*self._begun, f',"id":{jsonio.encode(request_id or self.id)}}}'.encode()))

    @property
    def _begun(self) -> Sequence[bytes]:
        """The same object, not closed yet, in pieces that are made once."""
        if self._pieces is None:
            told = self.to_json()
            del told["id"]
            pieces: Sequence[bytes]
            if isinstance(self.extra, dict) and jsonio.has_encoded(self.extra):  # the original's may be a list
                told["extra"] = jsonio.Encoded.object(self.extra)
                pieces = jsonio.Encoded.object(told).pieces[:-1]
            else:
                pieces = (jsonio.encode(told)[:-1].encode(),)
            object.__setattr__(self, "_pieces", pieces)
        return self._pieces or ()

    def to_json(self) -> dict[str, Any]:
        """The reply as data: the original's ``message``, ``level`` and ``extra`` first."""
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
    def from_json(cls, told: dict[str, Any]) -> Self:
        """The reply in a decoded body; fields of a newer lMaPS are passed over."""
        given = {name: told[name] for name in fields_of(Reply) if name in told}
        given["errors"] = tuple(Finding.from_json(finding) for finding in given.get("errors", ()))
        return cls(**given)

    @classmethod
    def refusal(cls, error: LmapsError, id: str | None = None) -> Self:  # noqa: A002 (the field's own name)
        """The answer that carries ``error`` to the client."""
        extra = error.extra | ({"hint": error.hint} if error.hint else {})
        return cls(error.message, error.level, extra, id, error.code, error.errors)

    def error(self) -> LmapsError:
        """The error that a refusal stands for, to be raised at the client's side."""
        extra = dict(self.extra)
        hint = extra.pop("hint", None)
        return error_class(self.code or "")(self.message, errors=self.errors, hint=hint, extra=extra)


def read_answer(body: bytes) -> dict[str, Any]:
    """The JSON object that a manager sent: trusted, and as large as the state is."""
    answer: dict[str, Any] = json.loads(body)
    return answer
