"""What manager and worker exchange, each message tagged by ``kind``:

worker   Hello ──▶ manager      after each connect: slot, process and handlers of the worker
         Run   ◀── manager      run this task
         More  ──▶ manager      ask for more of the task's instances; sent again after a reconnect
         Part  ◀── manager      more of its instances
         Stop  ◀── manager      end it before its time
         Lines ──▶ manager      numbered output; sent again after a reconnect until ...
         Ack   ◀── manager      ... it is stored up to this number
         Result──▶ manager      the outcome; sent again after a reconnect until ...
         Done  ◀── manager      ... it is stored
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from lmaps.errors import MessageRefused
from lmaps.protocol.codec import from_fields, read_object, to_fields
from lmaps.util import jsonio
from lmaps.util.jsonio import JsonObject

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
"""The names of the tasks that a worker runs; lmaps.worker.tasks has a function for each."""


@dataclass(frozen=True, slots=True)
class Hello:
    """A worker has connected.

    slot      number of the worker's place, from 1; a replaced worker keeps it
    pid       the worker's process
    handlers  each handler that it has: where it comes from, or why it cannot be used
    token     of the task that it still runs, or whose result is not yet acknowledged
    """

    kind: ClassVar[str] = "hello"
    slot: int
    pid: int
    handlers: JsonObject
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Run a task.

    token   names this one run in everything that follows
    task    one of `TASKS`
    args    its positional arguments
    kwargs  its keyword arguments; a value may be `Encoded` already
    last    if the instances are too many for one message: number of the last one in ``kwargs``. The task begins when
            the worker has asked for the others (`More`) and has all
    """

    kind: ClassVar[str] = "run"
    token: str
    task: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    last: int | None = None


@dataclass(frozen=True, slots=True)
class More:
    """Ask for the instances with a number above ``after``."""

    kind: ClassVar[str] = "more"
    token: str
    after: int


@dataclass(frozen=True, slots=True)
class Part:
    """Some more instances.

    after  the number that `More` asked with
    rows   lists of documents, by the name in the task's ``kwargs`` to whose list they are appended
    last   number of the last instance in ``rows`` if more follow; None if these were the last
    error  why the instances cannot be read; then there are no rows, and the task fails
    """

    kind: ClassVar[str] = "part"
    token: str
    after: int
    rows: JsonObject = field(default_factory=dict)
    last: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """End the task before its time; the state of its result is ``cancelled``."""

    kind: ClassVar[str] = "stop"
    token: str


@dataclass(frozen=True, slots=True)
class Lines:
    """Output of a running task.

    first  number of the first line, from 1
    lines  each ``{"at": RFC 3339, "stream": "output" | "event" | "note", "text": str, "event": object or absent}``
    """

    kind: ClassVar[str] = "lines"
    token: str
    first: int
    lines: list[JsonObject]


@dataclass(frozen=True, slots=True)
class Ack:
    """All lines up to and including number ``upto`` are stored: the worker may forget them."""

    kind: ClassVar[str] = "ack"
    token: str
    upto: int


@dataclass(frozen=True, slots=True)
class Result:
    """How a task ended.

    state    ``succeeded``, ``failed``, ``timed_out``, ``cancelled`` or ``interrupted``
    value    what the task returned
    rc       the tool's exit code; negative: the signal that ended it
    summary  how many steps of the tool were ok, changed, failed, unknown
    error    why the task did not succeed, one sentence
    code     the stable name of that error
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
    """Return the body that goes over the wire between manager and worker."""
    values = to_fields(message) | {"kind": message.kind}
    for name in values.keys() & {"kwargs", "rows"}:  # these may hold documents that are JSON text already
        values[name] = jsonio.Encoded.object(values[name])
    return jsonio.Encoded.object(values).data


def decode(body: bytes, **limits: int) -> WorkerMessage | ManagerMessage:
    """Return the message in a body; ``limits`` are those of `jsonio.decode`.

    Raises `MessageRefused` if it is not one of the kinds, `TooLarge` if it exceeds a limit.
    """
    values = read_object(body, **limits)
    kind = _KINDS.get(values.pop("kind", ""))
    if kind is None:
        raise MessageRefused("cannot read the message: unknown kind")
    return from_fields(kind, values, kind.kind)
