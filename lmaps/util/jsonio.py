"""JSON as lMaPS speaks it: what Python's own decoder lets pass, and what would fail later, is refused at the edge."""

import json
import json.encoder
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from lmaps.errors import MessageRefused, TooLarge

DEPTH, NODES, STRING = 32, 400_000, 262_144
"""The deepest nesting, the most values, the longest string (characters) of one message."""

INTEGERS = range(-(2**63), 2**63)
"""Integers are those that 64 bits hold."""


def _encoder(*, sort_keys: bool = False) -> Callable[[Any], str]:
    """What writes compact JSON: `JSONEncoder`, whose C encoder is made once and not at each call."""
    encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, sort_keys=sort_keys)
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return encoder.encode
    made = make(None, encoder.default, json.encoder.encode_basestring, None, ":", ",", sort_keys, False, False)
    return lambda value: "".join(made(value, 0))


_compact, _canonical = _encoder(), _encoder(sort_keys=True)
TYPE_NAMES = {dict: "object", list: "array", str: "string", int: "integer", float: "number", bool: "boolean"}
"""What JSON calls the types that its values have here; none of them is null."""


def type_name(value: Any) -> str:
    """What JSON calls the type of ``value``."""
    return TYPE_NAMES.get(type(value), "null")


def encode(value: Any) -> str:
    """``value`` as compact JSON; the order of keys is kept."""
    return _compact(value)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value that is compact JSON already, to be passed on as it is: ``pieces`` of it are put together once."""

    pieces: Sequence[bytes]

    @classmethod
    def array(cls, texts: Iterable[str]) -> Self:
        """An array of values that are JSON already."""
        return cls((b"[", ",".join(texts).encode(), b"]"))

    @classmethod
    def joined(cls, several: Sequence[bytes]) -> Self:
        """The same; each of ``several`` is some values with commas between them."""
        return cls((b"[", *_separated((each,) for each in several), b"]"))

    @classmethod
    def object(cls, told: Mapping[str, Any]) -> Self:
        """An object; values of it that are `Encoded` stand there as they are."""
        pairs: list[Sequence[bytes]] = []
        others: dict[str, Any] = {}
        for name, value in told.items():
            if isinstance(value, Encoded):
                pairs += [*_pairs(others), (f"{_compact(name)}:".encode(), *value.pieces)]
                others = {}
            else:
                others[name] = value
        return cls((b"{", *_separated([*pairs, *_pairs(others)]), b"}"))

    @property
    def data(self) -> bytes:
        """The JSON, in UTF-8."""
        return b"".join(self.pieces)

    @property
    def text(self) -> str:
        """The JSON."""
        return self.data.decode()

    @property
    def value(self) -> Any:
        """What the text says."""
        return json.loads(self.text)


def encode_object(told: Mapping[str, Any]) -> str:
    """An object as compact JSON; values of it that are `Encoded` stand there as they are."""
    return Encoded.object(told).text if has_encoded(told) else _compact(told)


def has_encoded(told: Mapping[str, Any]) -> bool:
    """Whether a value of an object is `Encoded`."""
    return Encoded in map(type, told.values())


def _pairs(told: dict[str, Any]) -> list[Sequence[bytes]]:
    return [(_compact(told)[1:-1].encode(),)] if told else []


def _separated(groups: Iterable[Sequence[bytes]]) -> list[bytes]:
    """All pieces, with a comma between two groups of them."""
    return [piece for group in groups for piece in (b",", *group)][1:]


def plain(value: Any) -> Any:
    """``value``, read if it is `Encoded`."""
    return value.value if isinstance(value, Encoded) else value


def canonical(value: Any) -> str:
    """The one text of ``value``: two values are the same exactly if these are equal (1, 1.0 and true all differ)."""
    return _canonical(value)


def decode(body: bytes | str, *, depth: int = DEPTH, nodes: int = NODES, string: int = STRING) -> Any:
    """The value in ``body``, UTF-8; `MessageRefused` says what is wrong with it.

    Refused beside bad JSON: duplicate keys, NaN and Infinity, lone surrogates, integers beyond 64 bits. What exceeds
    the limits of depth, of values and of a string's length is `TooLarge`, with the limit's name in ``extra``.
    """
    try:
        text = body if isinstance(body, str) else body.decode()
        value = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise MessageRefused(f"cannot read the message: it is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise MessageRefused(f"cannot read the message: it is not JSON ({error.msg} at {place})") from error
    except RecursionError as error:
        raise _too_large("depth", f"it is nested deeper than {depth}") from error
    if isinstance(body, str) or not _is_small(text, depth, nodes, string):
        _check(value, depth, nodes, string)
    return value


def _is_small(text: str, depth: int, nodes: int, string: int) -> bool:
    """Whether nothing in ``text``, which was UTF-8, can exceed a limit or hold a lone surrogate."""
    short = len(text) <= min(2 * nodes, string)
    return short and text.count("{") + text.count("[") <= depth and "\\u" not in text


def _refuse(reason: str) -> MessageRefused:
    return MessageRefused(f"cannot read the message: {reason}")


def _too_large(limit: str, reason: str) -> TooLarge:
    return TooLarge(f"cannot read the message: {reason}", extra={"limit": limit})


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _refuse(f"the key {twice[:80]!r} stands twice in one object")
    return made


def _constant(name: str) -> Any:
    raise _refuse(f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > 20 or int(digits) not in INTEGERS:
        raise _refuse(f"the integer {digits[:24]} does not fit into 64 bits")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _refuse("a number is too large")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float)


def _check(value: Any, depth: int, nodes: int, string: int) -> None:
    """Walk level by level, so that no nesting can exhaust the stack."""
    level: list[Any] = [value]
    seen = 0
    for _ in range(depth + 1):
        if not level:
            return
        seen += len(level)
        if seen > nodes:
            raise _too_large("values", f"it has more than {nodes:,} values")
        level = [part for each in level for part in _parts(each, string)]
    raise _too_large("depth", f"it is nested deeper than {depth}")


def _parts(value: Any, string: int) -> Iterable[Any]:
    """What lies in ``value``, once it is found to be in order itself."""
    if isinstance(value, dict):
        for key in value:
            _check_text(key, string)
        return value.values()
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        _check_text(value, string)
    return ()


def _check_text(text: str, string: int) -> None:
    if len(text) > string:
        raise _too_large("string", f"a string has {len(text):,} characters, {string:,} is the most")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise _refuse(f"a string holds a lone surrogate ({text[error.start]!r})") from error
