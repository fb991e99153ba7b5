"""What manager and worker exchange, each message tagged by ``kind``:

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

from dataclasses import dataclass, field
from typing import Any, ClassVar

from lmaps.errors import MessageRefused
from lmaps.protocol.codec import checked, known, read_object
from lmaps.util import jsonio

TASKS = (
    "no_work",
    "error_message",
    "stop_worker_thread",
    "get_worker_config",
    "get_worker_units",
    "validate_instance",
    "check_units",
    "apply",
    "plan",
    "probe",
)
"""The names of the tasks that a worker runs; the worker has a function for each."""


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
    told = known(message) | {"kind": message.kind}
    for name in told.keys() & {"kwargs", "rows"}:
        told[name] = jsonio.Encoded.object(told[name])
    return jsonio.Encoded.object(told).data


def decode(body: bytes, **limits: int) -> WorkerMessage | ManagerMessage:
    """The message in a body, within the limits of `jsonio.decode`; `MessageRefused` if it is none of the kinds."""
    told = read_object(body, **limits)
    kind = _KINDS.get(told.pop("kind", ""))
    if kind is None:
        raise MessageRefused("cannot read the message: its kind is not known")
    return checked(kind, told, kind.kind)
