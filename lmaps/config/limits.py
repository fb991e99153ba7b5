"""The size limits of requests: what is too large for every client is refused before it is read as JSON."""

from typing import get_args

from lmaps.config.settings import Limits, LimitSection, SectionName
from lmaps.errors import Finding, TooLarge
from lmaps.protocol import read_object
from lmaps.util.jsonio import JsonObject

MAX_VALIDATION_S = 8.0
"""The supervisor kills a manager that sends no heartbeat for 10 seconds, and none is sent during a check."""
MIN_VALUE_BYTES = 2
"""The fewest bytes that a value takes in a JSON text: itself and a comma or bracket."""


def findings(limits: Limits) -> list[Finding]:
    """Return the errors in ``limits`` that a JSON Schema cannot express."""
    message = f"more than {MAX_VALIDATION_S:g}s would be taken for a daemon that hangs"
    names = [name for name in get_args(SectionName) if limits.section(name).validation > MAX_VALIDATION_S]
    return [Finding(message, ("limits", name, "validation")) for name in names]


def read(body: bytes, limits: Limits, section: SectionName) -> JsonObject:
    """Return the JSON object in the body of a client's message.

    Raises `TooLarge` with the limit's name, and `MessageRefused` for a body that is no JSON object.
    """
    sizes = limits.section(section)
    if len(body) > sizes.bytes:
        key = f"limits.{section}.bytes"
        reason = f"it has {len(body):,} bytes, {sizes.bytes:,} is the most ({key})"
        raise TooLarge(
            f"cannot read the message: {reason}", hint="split it into several requests", extra={"limit": key}
        )
    try:
        return read_object(body, depth=limits.depth, nodes=sizes.values, string=limits.string)
    except TooLarge as refused:
        limit = refused.extra["limit"]
        key = f"limits.{section}.{limit}" if hasattr(sizes, limit) else f"limits.{limit}"
        raise TooLarge(f"{refused.message} ({key})", extra={"limit": key}) from refused


def fits(body: bytes, sizes: LimitSection) -> bool:
    """Return whether a body is within the limits whatever it holds, so that the sender's rights need no look-up."""
    return len(body) <= sizes.bytes and len(body) <= MIN_VALUE_BYTES * sizes.values
