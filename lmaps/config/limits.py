"""Limits: how large a request may be, and what one subject may take of the daemon. Keys below ``limits``."""

from typing import Any, Literal, TypedDict, cast, get_args

from lmaps.errors import Finding, TooLarge
from lmaps.protocol import MAX_BYTES, read_object
from lmaps.util.times import DURATION, seconds

Section = Literal["message", "import"]
"""Which limits hold: those of every message, or those of a subject with the right ``import``."""
SECTIONS: tuple[Section, ...] = get_args(Section)

LONGEST_VALIDATION = 8.0
"""Seconds: the supervisor takes a manager for dead that says nothing for longer."""


def _most(default: int, description: str, maximum: int | None = None) -> dict[str, Any]:
    bound = {} if maximum is None else {"maximum": maximum}
    return {"type": "integer", "minimum": 1, **bound, "default": default, "description": description}


def _message(size: int, values: int, documents: int, validation: str, description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "default": {},
        "additionalProperties": False,
        "description": description,
        "properties": {
            "bytes": _most(size, "Bytes of a request.", MAX_BYTES),
            "values": _most(values, "Values (objects, arrays, strings, numbers ...) of a request."),
            "documents": _most(documents, "Documents of a request."),
            "validation": DURATION
            | {"default": validation, "description": "How long checking its documents may take, at most 8s."},
        },
    }


SCHEMA: dict[str, Any] = {
    "type": "object",
    "default": {},
    "additionalProperties": False,
    "description": "What one subject may take of the daemon.",
    "properties": {
        "connections": _most(64, "Connections of one user; root and the daemon's user may have more."),
        "in_flight": _most(
            16, "Requests of one subject that wait for their answers; not of root and the daemon's user."
        ),
        "jobs": _most(64, "Jobs of one subject that wait to be run; not of root and the daemon's user."),
        "queue": _most(1000, "Jobs of everybody that wait to be run."),
        "depth": _most(32, "Levels of nesting in a request.", 64),
        "string": _most(262_144, "Characters of one string."),
        "reply": _most(64 * 1024 * 1024, "Bytes of an answer."),
        "message": _message(1024 * 1024, 20_000, 10_000, "2s", "How large a request may be."),
        "import": _message(
            MAX_BYTES,
            400_000,
            100_000,
            "8s",
            "The same for subjects with the right import; the time for checking is that of requests that import.",
        ),
    },
}
"""The JSON Schema of ``limits``."""


class Message(TypedDict):
    """How large a request may be; ``validation`` in seconds."""

    bytes: int
    values: int
    documents: int
    validation: float


Limits = TypedDict(
    "Limits",
    {
        "connections": int,
        "in_flight": int,
        "jobs": int,
        "queue": int,
        "depth": int,
        "string": int,
        "reply": int,
        "message": Message,
        "import": Message,
    },
)
"""What one subject may take of the daemon, and how large a request may be."""


def complete(filled: dict[str, Any]) -> Limits:
    """The limits of a configuration that fits `SCHEMA`, durations in seconds."""
    sections = {name: filled[name] | {"validation": seconds(filled[name]["validation"])} for name in SECTIONS}
    return cast(Limits, filled | sections)


def findings(limits: Limits) -> list[Finding]:
    """What the schema cannot say."""
    text = f"more than {LONGEST_VALIDATION:g}s would be taken for a daemon that hangs"
    too_long = [name for name in SECTIONS if limits[name]["validation"] > LONGEST_VALIDATION]
    return [Finding(text, ("limits", name, "validation")) for name in too_long]


def read(body: bytes, limits: Limits, section: Section) -> dict[str, Any]:
    """The JSON object in the body of a client's message; `TooLarge` names the limit, `MessageRefused` what is wrong."""
    most = limits[section]
    if len(body) > most["bytes"]:
        words = f"it has {len(body):,} bytes, {most['bytes']:,} is the most"
        key = f"limits.{section}.bytes"
        raise TooLarge(
            f"cannot read the message: {words} ({key})", hint="split it into several requests", extra={"limit": key}
        )
    try:
        return read_object(body, depth=limits["depth"], nodes=most["values"], string=limits["string"])
    except TooLarge as refused:
        limit = refused.extra["limit"]
        key = f"limits.{section}.{limit}" if limit in most else f"limits.{limit}"
        raise TooLarge(f"{refused.message} ({key})", extra={"limit": key}) from refused


def fits(body: bytes, most: Message) -> bool:
    """Whether a body cannot exceed the limits, whatever is in it: each value takes two bytes of it at least."""
    return len(body) <= most["bytes"] and len(body) <= 2 * most["values"]
