"""The messages of lMaPS: frozen values, JSON on every wire, one codec.

Client and manager exchange `Request` and `Reply`. Manager and worker exchange the rest, each tagged by ``kind``:

    worker   Hello ──▶ manager      after each connect: who I am, what I run, which handlers I have
             Run   ◀── manager      do this task
             More  ──▶ manager      hand over what follows of its state; sent again after a reconnect
             Part  ◀── manager      what follows
             Stop  ◀── manager      end it before its time
             Lines ──▶ manager      numbered output; sent again after a reconnect until ...
             Ack   ◀── manager      ... it is stored up to this number
             Result──▶ manager      the outcome; sent again after a reconnect until ...
             Done  ◀── manager      ... it is stored
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from types import UnionType
from typing import Any, ClassVar, Self, TypeVar

from lmaps.core import strict_json
from lmaps.errors import Finding, LmapsError, MessageRefused, error_class

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
        return _encode(_known(self) | {"v": VERSION})

    @classmethod
    def decode(cls, told: dict[str, Any]) -> Self:
        """The request in a decoded body; `MessageRefused` names what is wrong with it."""
        version = told.get("v")
        if version != VERSION or isinstance(version, bool):
            raise MessageRefused(f"cannot read the request: version {version!r} is not spoken here, {VERSION} is")
        return _checked(cls, {name: value for name, value in told.items() if name != "v"}, "request")


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
    _text: str | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def text(self) -> str:
        """The reply as a JSON object without its id, made once."""
        if self._text is None:
            told = self.to_json()
            del told["id"]
            if isinstance(self.extra, dict):  # the original's answer may be a list
                told["extra"] = strict_json.Encoded(strict_json.encode_object(self.extra))
            object.__setattr__(self, "_text", strict_json.encode_object(told))
        return self._text or ""

    def encode(self, request_id: str | None = None) -> bytes:
        """The body that goes over the wire, as the answer to the request of this id, if it has one."""
        return f'{self.text[:-1]},"id":{strict_json.encode(request_id or self.id)}}}'.encode()

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
        known = {name: told[name] for name in _FIELDS[cls] if name in told}
        known["errors"] = tuple(Finding.from_json(finding) for finding in known.get("errors", ()))
        return cls(**known)

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


@dataclass(frozen=True, slots=True)
class Hello:
    """A worker is connected. ``token`` is that of the task it still runs or whose result is not yet stored."""

    kind: ClassVar[str] = "hello"
    slot: int
    pid: int
    handlers: dict[str, Any]
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Run the task of this name; ``token`` names this one run in everything that follows.

    What is below a name of ``kwargs`` may be `Encoded` already. A state that is too large for one message is only begun
    in them: then ``last`` is the number of the last instance, and the task begins when `More` has brought the others.
    """

    kind: ClassVar[str] = "run"
    token: str
    task: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    last: int | None = None


@dataclass(frozen=True, slots=True)
class More:
    """Hand over the instances with a number above ``after``."""

    kind: ClassVar[str] = "more"
    token: str
    after: int


@dataclass(frozen=True, slots=True)
class Part:
    """The instances after the number ``after``: ``rows`` has those names of the task's ``kwargs`` that they belong to.

    ``last`` is the number of the last one, if more follow. They cannot be handed over if there is an ``error``.
    """

    kind: ClassVar[str] = "part"
    token: str
    after: int
    rows: dict[str, Any] = field(default_factory=dict)
    last: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """End the task before its time; its result says ``cancelled``."""

    kind: ClassVar[str] = "stop"
    token: str


@dataclass(frozen=True, slots=True)
class Lines:
    """Output of a running task. ``first`` numbers the first line, from 1.

    Each line is ``{"at": RFC 3339, "stream": "output" | "event" | "note", "text": str, "event": object or absent}``.
    """

    kind: ClassVar[str] = "lines"
    token: str
    first: int
    lines: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Ack:
    """All lines up to and including number ``upto`` are stored."""

    kind: ClassVar[str] = "ack"
    token: str
    upto: int


@dataclass(frozen=True, slots=True)
class Result:
    """How a task ended.

    ``state`` is ``succeeded``, ``failed``, ``timed_out``, ``cancelled`` or ``interrupted``; ``value`` what the task
    returned; ``rc`` the tool's exit code (negative: the signal); ``summary`` counts ok, changed, failed, unknown;
    ``error`` says why not.
    """

    kind: ClassVar[str] = "result"
    token: str
    state: str
    value: Any = None
    rc: int | None = None
    summary: dict[str, int] | None = None
    error: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The result is stored: the worker may forget the task."""

    kind: ClassVar[str] = "done"
    token: str


WorkerMessage = Hello | More | Lines | Result
ManagerMessage = Run | Part | Stop | Ack | Done
_KINDS: dict[str, type[WorkerMessage] | type[ManagerMessage]] = {
    kind.kind: kind for kind in (Hello, Run, More, Part, Stop, Lines, Ack, Result, Done)
}


def encode(message: WorkerMessage | ManagerMessage) -> bytes:
    """The body that goes over the wire between manager and worker."""
    told = _known(message) | {"kind": message.kind}
    for name in told.keys() & {"kwargs", "rows"}:
        told[name] = strict_json.Encoded(strict_json.encode_object(told[name]))
    return strict_json.encode_object(told).encode()


def decode(body: bytes, **limits: int) -> WorkerMessage | ManagerMessage:
    """The message in a body, within the limits of `strict_json.decode`; `MessageRefused` if it is none of the kinds."""
    told = _object(body, **limits)
    kind = _KINDS.get(told.pop("kind", ""))
    if kind is None:
        raise MessageRefused("cannot read the message: its kind is not known")
    return _checked(kind, told, kind.kind)


def read_object(body: bytes, **limits: int) -> dict[str, Any]:
    """The JSON object in the body of a client's message, within the limits of `strict_json.decode`.

    `MessageRefused` says what is wrong with it.
    """
    return _object(body, **limits)


def read_answer(body: bytes) -> dict[str, Any]:
    """The JSON object that a manager sent: trusted, and as large as the state is."""
    answer: dict[str, Any] = json.loads(body)
    return answer


def _encode(told: dict[str, Any]) -> bytes:
    return strict_json.encode(told).encode()


def _object(body: bytes, **limits: int) -> dict[str, Any]:
    told = strict_json.decode(body, **limits)
    if not isinstance(told, dict):
        raise MessageRefused(f"cannot read the message: expected a JSON object, not {strict_json.type_name(told)}")
    return told


def _known(message: Any) -> dict[str, Any]:
    told = ((name, getattr(message, name)) for name in _FIELDS[type(message)])
    return {name: value for name, value in told if value is not None}


_Message = TypeVar("_Message")


def _checked(kind: type[_Message], told: dict[str, Any], name: str) -> _Message:
    """``kind`` made from ``told``: no field unknown, none missing, each of its type."""
    known = _FIELDS[kind]
    unknown = [repr(field_name) for field_name in told if field_name not in known]
    if unknown:
        raise MessageRefused(f"cannot read the {name}: unknown field {', '.join(unknown)}; it has {', '.join(known)}")
    for field_name, value in told.items():
        types = known[field_name]
        if types and type(value) not in types:
            expected = " or ".join(sorted(strict_json.TYPE_NAMES.get(each, "null") for each in types))
            raise MessageRefused(f"cannot read the {name}: {field_name} is not of type {expected}")
    try:
        return kind(**told)
    except TypeError as error:
        raise MessageRefused(f"cannot read the {name}: a field is missing ({error})") from error


def _types(annotation: Any) -> Iterator[type]:
    """``dict[str, Any]`` is checked as ``dict``, and no value is of type ``Any``."""
    if isinstance(annotation, UnionType):
        for part in annotation.__args__:
            yield from _types(part)
    elif annotation is not Any:
        yield getattr(annotation, "__origin__", annotation)


_FIELDS: dict[Any, dict[str, frozenset[type]]] = {
    kind: {item.name: frozenset(_types(item.type)) for item in fields(kind) if item.init}
    for kind in (Request, Reply, *_KINDS.values())
}
"""Of each message its fields, and the types that values of each have; none where any will do."""
