"""JSON as lMaPS reads and writes it.

Values that Python's own decoder accepts, but the database, the checksums or another reader would not, are refused.
"""

import json
import json.encoder
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from lmaps.errors import MessageRefused, TooLarge

JsonObject = dict[str, Any]
"""A JSON object as Python has it: a document, a schema, a row of an answer."""
At = tuple[str | int, ...]
"""The path of a value: keys of objects and indices of arrays, from the outside."""

MAX_DEPTH, MAX_VALUES, MAX_STRING = 32, 400_000, 262_144
"""The deepest nesting, the most values and the longest string (characters) of one message."""

INTEGERS = range(-(2**63), 2**63)
"""Integers of 64 bits: SQLite stores no larger ones."""


def _encoder(*, sort_keys: bool = False) -> Callable[[Any], str]:
    """Return a function that writes compact JSON.

    `JSONEncoder.encode` makes a C encoder at each call, which takes longer than writing a small document.
    """
    encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, sort_keys=sort_keys)
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return encoder.encode
    write = make(None, encoder.default, json.encoder.encode_basestring, None, ":", ",", sort_keys, False, False)
    return lambda value: "".join(write(value, 0))


_compact, _canonical = _encoder(), _encoder(sort_keys=True)
_SCANNER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
TYPE_NAMES = {dict: "object", list: "array", str: "string", int: "integer", float: "number", bool: "boolean"}
"""The names in JSON Schema of the types of values; a value of no such type is null."""


def type_name(value: object) -> str:
    """Return the name in JSON Schema of the type of ``value``."""
    return TYPE_NAMES.get(type(value), "null")


def encode(value: object) -> str:
    """Return ``value`` as compact JSON; the order of keys is kept."""
    return _compact(value)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value that is compact JSON already, such as a document from the database: it is passed on without decoding it.

    ``pieces`` are joined once, when the whole answer is written.
    """

    pieces: Sequence[bytes]

    @classmethod
    def array(cls, texts: Iterable[str]) -> Self:
        """Return an array of values that are JSON already."""
        return cls((b"[", ",".join(texts).encode(), b"]"))

    @classmethod
    def joined(cls, parts: Sequence[bytes]) -> Self:
        """Return an array; each of ``parts`` is one or more values with commas between them."""
        return cls((b"[", *_separated((part,) for part in parts), b"]"))

    @classmethod
    def object(cls, values: Mapping[str, object]) -> Self:
        """Return an object; values that are `Encoded` become part of it as they are."""
        pairs: list[Sequence[bytes]] = []
        pending: JsonObject = {}
        for name, value in values.items():
            if isinstance(value, Encoded):
                pairs += [*_pairs(pending), (f"{_compact(name)}:".encode(), *value.pieces)]
                pending = {}
            else:
                pending[name] = value
        return cls((b"{", *_separated([*pairs, *_pairs(pending)]), b"}"))

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
        """The value, decoded."""
        return json.loads(self.text)


def encode_object(values: Mapping[str, object]) -> str:
    """Return an object as compact JSON; values that are `Encoded` become part of it as they are."""
    return Encoded.object(values).text if has_encoded(values) else _compact(values)


def has_encoded(values: Mapping[str, object]) -> bool:
    """Return whether a value of an object is `Encoded`."""
    return Encoded in map(type, values.values())


def _pairs(values: JsonObject) -> list[Sequence[bytes]]:
    return [(_compact(values)[1:-1].encode(),)] if values else []


def _separated(groups: Iterable[Sequence[bytes]]) -> list[bytes]:
    """Return all pieces, with a comma between two groups."""
    return [piece for group in groups for piece in (b",", *group)][1:]


def plain(value: object) -> Any:
    """Return ``value``, decoded if it is `Encoded`."""
    return value.value if isinstance(value, Encoded) else value


def canonical(value: object) -> str:
    """Return the text that identifies ``value``: two values are the same exactly if their texts are equal.

    Python calls 1, 1.0 and true equal; their texts differ.
    """
    return _canonical(value)


def decode(body: bytes | str, *, depth: int = MAX_DEPTH, nodes: int = MAX_VALUES, string: int = MAX_STRING) -> Any:
    """Return the value in ``body``, which is UTF-8.

    Raises `MessageRefused` for bad JSON, and for duplicate keys, NaN and Infinity, lone surrogates and integers beyond
    64 bits. Raises `TooLarge`, with the limit's name in ``extra``, for a value nested deeper than ``depth``, of more
    than ``nodes`` values, or with a string of more than ``string`` characters.
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
    # most messages are too small to exceed a limit: walking through them costs as much as decoding
    if isinstance(body, str) or not _is_small(text, depth, nodes, string):
        _check(value, depth, nodes, string)
    return value


def _is_small(text: str, depth: int, nodes: int, string: int) -> bool:
    """Return whether nothing in ``text``, which was UTF-8, can exceed a limit or hold a lone surrogate."""
    # a value takes two bytes at least; valid UTF-8 has lone surrogates only as escapes
    short = len(text) <= min(2 * nodes, string)
    return short and text.count("{") + text.count("[") <= depth and "\\u" not in text


def _refuse(reason: str) -> MessageRefused:
    return MessageRefused(f"cannot read the message: {reason}")


def _too_large(limit: str, reason: str) -> TooLarge:
    return TooLarge(f"cannot read the message: {reason}", extra={"limit": limit})


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        duplicate = next(key for key in keys if keys.count(key) > 1)
        raise _refuse(f"the key {duplicate[:80]!r} is given twice in one object")
    return value


def _constant(name: str) -> Any:
    raise _refuse(f"{name} is not JSON")


def _integer(digits: str) -> int:
    # int() of a long text takes quadratic time
    if len(digits) > 20 or int(digits) not in INTEGERS:
        raise _refuse("an integer does not fit into 64 bits")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _refuse("a number is too large")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float)


def _check(value: object, depth: int, nodes: int, string: int) -> None:
    """Raise `TooLarge` or `MessageRefused` for what `decode` refuses in a decoded value."""
    # level by level: recursion would let a nested value exhaust the stack
    level: list[Any] = [value]
    count = 0
    for _ in range(depth + 1):
        if not level:
            return
        count += len(level)
        if count > nodes:
            raise _too_large("values", f"it has more than {nodes:,} values")
        level = [part for container in level for part in _parts(container, string)]
    raise _too_large("depth", f"it is nested deeper than {depth}")


def _parts(value: object, string: int) -> Iterable[Any]:
    """Return the values in ``value``; raise for a string that is too long or not valid."""
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
            raise _refuse("a string holds a lone surrogate") from error


def places(text: str) -> dict[tuple[At, bool], int]:
    """Return where each value of valid JSON begins, by its path; with True in the second element where its key does."""
    offsets: dict[tuple[At, bool], int] = {}
    _place_value(text, _past_space(text, 0), (), offsets)
    return offsets


def _place_value(text: str, start: int, at: At, offsets: dict[tuple[At, bool], int]) -> int:
    """Enter the places of the value at ``start`` and of those in it, and return where it ends."""
    offsets[at, False] = start
    if text[start] not in "{[":
        return _SCANNER.raw_decode(text, start)[1]
    position, count = _past_space(text, start + 1), 0
    while text[position] not in "}]":
        part: str | int = count
        if text[start] == "{":
            part, end = _SCANNER.raw_decode(text, position)
            offsets[(*at, part), True] = position
            position = _past_space(text, _past_space(text, end) + 1)
        position = _past_space(text, _place_value(text, position, (*at, part), offsets))
        if text[position] == ",":
            position = _past_space(text, position + 1)
        count += 1
    return position + 1


def _past_space(text: str, position: int) -> int:
    return _SPACE.match(text, position).end()  # type: ignore[union-attr]  # it always matches
