"""The formats that are checked, each by a few lines of our own; the others are annotations."""

import ipaddress
import re
from collections.abc import Callable
from datetime import date
from uuid import UUID

Check = Callable[[object], bool]
"""Returns whether a value has a format. Values that are no strings have every format."""

FORMATS: dict[str, tuple[Check, tuple[type[Exception], ...]]] = {}
"""The formats below: a check, and the exceptions that it raises for a value that does not fit."""
UNCOMPILABLE = (re.error, OverflowError, ValueError, RecursionError)
"""Raised by Python for a regular expression that does not compile.

After `re.error`: ``a{99999999999}``, a number of more than 4,300 digits, and hundreds of nested groups.
"""

_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[zZ]|([+-])(\d\d):(\d\d))\Z", re.ASCII)
_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf'(?:{_ATOM}(?:\.{_ATOM})*|"(?:[^"\\\r\n]|\\[^\r\n])*")\Z')
_URI = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:"
    r"(?://(?:(?:[\w.~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*@)?"
    r"(?P<host>\[[0-9A-Fa-f:.vV]+\]|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::\d*)?(?=[/?#]|\Z)|(?!//))"
    r"(?:[\w.~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*"
    r"(?:\?(?:[\w.~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
    r"(?:#(?:[\w.~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?\Z",
    re.ASCII,
)


def _checks(name: str, *raises: type[Exception]) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        FORMATS[name] = (check, raises)
        return check

    return register


def conforms(value: object, name: str) -> bool:
    """Return whether a value has the format of this name; a format that is not checked fits."""
    check, raises = FORMATS.get(name, (None, ()))
    try:
        return check is None or check(value)
    except raises:
        return False


@_checks("date", ValueError)
def is_date(text: object) -> bool:
    """Return whether a string is a date: ``2026-11-23``."""
    return not isinstance(text, str) or (_DATE.match(text) is not None and bool(date.fromisoformat(text)))


@_checks("time")
def is_time(text: object) -> bool:
    """Return whether a string is a time: ``10:04:11Z``, ``10:04:11.5+02:00``; a leap second only at 23:59:60 in UTC."""
    if not isinstance(text, str):
        return True
    match = _TIME.match(text)
    if match is None:
        return False
    hour, minute, second = int(match[1]), int(match[2]), int(match[3])
    off_hour, off_minute = int(match[5] or 0), int(match[6] or 0)
    if hour > 23 or minute > 59 or second > 60 or off_hour > 23 or off_minute > 59:
        return False
    offset = (off_hour * 60 + off_minute) * (-1 if match[4] == "-" else 1)
    # Leap seconds are inserted at midnight UTC, whatever the offset.
    return second < 60 or (hour * 60 + minute - offset) % 1440 == 1439


@_checks("date-time", ValueError)
def is_date_time(text: object) -> bool:
    """Return whether a string is a time of a day: ``2026-11-23T10:04:11Z``."""
    if not isinstance(text, str):
        return True
    return text[10:11] in ("T", "t") and is_date(text[:10]) and is_time(text[11:])


@_checks("hostname")
def is_hostname(text: object) -> bool:
    """Return whether a string is a host name of at most 253 characters (RFC 1123): ``www.example.org``."""
    if not isinstance(text, str):
        return True
    return len(text) <= 253 and _HOSTNAME.match(text) is not None


@_checks("email", ValueError)
def is_email(text: object) -> bool:
    """Return whether a string is a mail address: ``webmaster@example.org``."""
    if not isinstance(text, str):
        return True
    local, at, domain = text.rpartition("@")
    if not at or _LOCAL.match(local) is None:
        return False
    if domain.startswith("[") and domain.endswith("]"):
        literal = domain[1:-1]
        return is_ipv6(literal.removeprefix("IPv6:")) if literal.startswith("IPv6:") else is_ipv4(literal)
    return is_hostname(domain)


@_checks("ipv4", ValueError)
def is_ipv4(text: object) -> bool:
    """Return whether a string is an IPv4 address: ``192.0.2.1``."""
    return not isinstance(text, str) or (text.isascii() and bool(ipaddress.IPv4Address(text)))


@_checks("ipv6", ValueError)
def is_ipv6(text: object) -> bool:
    """Return whether a string is an IPv6 address without a zone: ``2001:db8::1``."""
    return not isinstance(text, str) or ("%" not in text and ipaddress.IPv6Address(text) is not None)


@_checks("uri", ValueError)
def is_uri(text: object) -> bool:
    """Return whether a string is an absolute URI (RFC 3986): ``https://www.example.org/``."""
    if not isinstance(text, str):
        return True
    match = _URI.match(text)
    if match is None:
        return False
    host = match["host"] or ""
    return not host.startswith("[") or host[1] in "vV" or is_ipv6(host[1:-1])


@_checks("uuid", ValueError)
def is_uuid(text: object) -> bool:
    """Return whether a string is a UUID: ``2eb8aa08-aa98-11ea-b4aa-73b441d16380``."""
    if not isinstance(text, str):
        return True
    return str(UUID(text)) == text.lower()


@_checks("regex", *UNCOMPILABLE)
def is_regex(text: object) -> bool:
    """Return whether a string is a regular expression that Python compiles."""
    return not isinstance(text, str) or bool(re.compile(text))
