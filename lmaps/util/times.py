"""Durations and times as people write and read them."""

import re
from datetime import UTC, datetime, timedelta

from lmaps.errors import UsageError

DURATION = {"type": ["integer", "string"], "minimum": 1, "pattern": r"^\d+(\.\d+)?[smhd]$"}
"""The JSON Schema of a duration in the configuration: ``30s``, or a bare number of seconds."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_CLOCK = re.compile(r"\d{1,2}:\d\d\Z")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])\Z")


def parse_duration(text: str) -> float:
    """Return the seconds in ``30s``, ``10m``, ``2h`` or ``7d``. Raises `UsageError` for anything else.

    A bare number is refused: on a command line it is as likely to be meant as minutes.
    """
    match = _DURATION.match(text.strip())
    if match is None:
        raise UsageError(f"cannot read the duration {text!r}: expected a number with s, m, h or d, such as 30s or 5m")
    return float(match[1]) * _SECONDS[match[2]]


def seconds(duration: object) -> float:
    """Return the seconds of a duration in the configuration, where a bare integer is seconds.

    Raises `UsageError` for anything that is no duration.
    """
    # True is an integer to Python
    if isinstance(duration, int) and not isinstance(duration, bool) and duration > 0:
        return float(duration)
    if isinstance(duration, str):
        return parse_duration(duration)
    raise UsageError(f"cannot read the duration {duration!r}")


def format_duration(seconds: float) -> str:
    """Return a duration for people: ``3.1 s``, ``1 m 20 s``, ``2 h 5 m``, ``3 d 4 h``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    unit, below = ("m", "s") if seconds < 3600 else ("h", "m") if seconds < 86400 else ("d", "h")
    size, part = _SECONDS[unit], _SECONDS[below]
    return f"{int(seconds // size)} {unit} {int(seconds % size // part)} {below}"


def now() -> str:
    """Return the present moment in RFC 3339, UTC, with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def format_time(moment: datetime) -> str:
    """Return a moment in RFC 3339, UTC. It always has microseconds: so texts sort as the moments do."""
    return in_utc(moment.astimezone(UTC))


def in_utc(moment: datetime) -> str:
    """Return the same as `format_time` of a moment that is in UTC already; half as expensive."""
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


def read_time(text: str) -> datetime:
    """Return the moment that a person wrote: RFC 3339 (UTC without an offset), ``HH:MM`` today, or ``-2h`` ago.

    Raises `UsageError` for anything else.
    """
    current = datetime.now(UTC)
    try:
        if text.startswith("-"):
            return current - timedelta(seconds=parse_duration(text[1:]))
        if _CLOCK.match(text):
            hour, _, minute = text.partition(":")
            return current.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, UsageError):
        raise UsageError(
            f"cannot read the time {text!r}: expected 2026-11-23T10:00:00Z, 10:00 (UTC, today) or -2h"
        ) from None


def parse_time(text: str) -> datetime:
    """Return the moment in a text of `now` or `format_time`."""
    return datetime.fromisoformat(text)


def seconds_between(start: str, end: str) -> float:
    """Return the seconds from ``start`` to ``end``, both as `now` writes them."""
    return (parse_time(end) - parse_time(start)).total_seconds()


def in_seconds(text: str) -> str:
    """Return a text of `now` without its microseconds, as tables show it."""
    return f"{text.partition('.')[0]}Z"


def age(text: str) -> str:
    """Return how long ago a moment was: ``2 m 5 s ago``."""
    # clocks may be set back: nothing happens in the future
    return f"{format_duration(max(0.0, (datetime.now(UTC) - parse_time(text)).total_seconds()))} ago"
