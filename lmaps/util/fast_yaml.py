"""YAML of plain values, read and written much faster than PyYAML does, with exactly the same outcome.

Whatever might not come out the same is left to `yamlio`, which takes a command 12 ms to import: when reading a block
scalar, an anchor, a list of mappings or any error; when writing text that needs quotes, a long line or an odd number.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from lmaps.util.lazy import LazyModule
from lmaps.util.text import scalar

if TYPE_CHECKING:
    from lmaps.util import yamlio
else:
    yamlio = LazyModule("lmaps.util.yamlio")  # 17 ms that plain values need not pay

MAX_BYTES, MAX_INDENT = 10_000, 32
"""The largest text and the deepest indentation (spaces) that are read here: reading recurses, and backtracks."""
_WORD = r"[\w/.~](?:[\w/.~@+=-]|:(?=[\w/.]))*"
"""Text without quotes that ends at the next space, comma or bracket."""
_VALUE = rf"""\"[^"\\]*\"|'[^']*'|\[(?:{_WORD}(?:, *{_WORD})*)?\]|{_WORD}(?: {_WORD})*"""
_LINE = rf"""( *)(?:([A-Za-z_][\w-]*):|-)(?: +({_VALUE}))?(?: +#.*)? *\Z"""


class _NotPlain(Exception):
    """Raised for YAML that is left to PyYAML."""


class _Line(NamedTuple):
    """``pad`` spaces, then a key, or the dash of an item; ``text`` if a value stands in the line."""

    pad: int
    key: str | None
    text: str | None


def read(data: bytes) -> dict[str, Any] | None:
    """Return the mapping in ``data`` as `yamlio.load` would, or None if only `yamlio` can read it.

    Read here are mappings of plain or quoted words, of lists of words, and of such mappings, one per line.
    """
    texts = data.decode("ascii", "replace").split("\n")
    if len(data) > MAX_BYTES or not all(text.isascii() and text.isprintable() for text in texts):
        return None
    try:
        lines = [_parse_line(text) for text in reversed(texts) if text.lstrip(" ")[:1] not in ("", "#")]
        mapping = _read_mapping(lines, 0)
    except (_NotPlain, ValueError):
        return None
    return mapping if mapping and not lines else None


def _parse_line(text: str) -> _Line:
    match = re.match(_LINE, text)
    if match is None or len(match[1]) > MAX_INDENT:
        raise _NotPlain
    return _Line(len(match[1]), match[2], match[3])


def _read_mapping(lines: list[_Line], pad: int) -> dict[str, Any]:
    """Return the mapping that starts at the last of ``lines``, and remove its lines. ``lines`` are in reverse order."""
    mapping: dict[str, Any] = {}
    while lines and lines[-1].pad == pad and (key := lines[-1].key) is not None:
        text = lines.pop().text
        if key in mapping or not isinstance(scalar(key), str):
            raise _NotPlain
        mapping[key] = _read_below(lines, pad) if text is None else _read_value(text)
    return mapping


def _read_below(lines: list[_Line], pad: int) -> object:
    """Return the value of a key whose value starts on the next line."""
    if lines and lines[-1].key is None and lines[-1].pad >= pad:
        return _read_items(lines, lines[-1].pad)
    if lines and lines[-1].pad > pad:
        return _read_mapping(lines, lines[-1].pad)
    return None


def _read_items(lines: list[_Line], pad: int) -> list[Any]:
    items = []
    while lines and lines[-1].pad == pad and lines[-1].key is None:
        text = lines.pop().text
        if text is None:
            raise _NotPlain
        items.append(_read_value(text))
    return items


def _read_value(text: str) -> object:
    if text[0] == "[":
        return [scalar(word.strip(" ")) for word in text[1:-1].split(",")] if text != "[]" else []
    return text[1:-1] if text[0] in "\"'" else scalar(text)


MAX_LINE = 100
"""Characters of a line: PyYAML folds longer ones at 120, counted differently."""
_PLAIN = re.compile(r"[A-Za-z/_](?:[A-Za-z0-9_./@+=,-]|[: ](?=[A-Za-z0-9_./@+]))*\Z")
"""Text that needs no quotes as a value, unless it is one of `_WORDS`."""
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off"})
_QUOTED = re.compile(r"[0-9][0-9.,:]*\Z")
"""Text that some reader of YAML takes for a number; it is quoted."""
_SIGNS = {"": "''", "+": "+", "-": "'-'", "~": "'~'"}
"""Texts without letters, and how PyYAML writes them."""
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z\Z")
"""A moment as lMaPS writes it; YAML 1.1 has a type for it, so it is quoted."""
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?\Z")


def dump(value: Mapping[str, object]) -> str:
    """Return a mapping that is not empty as a document in block style; the order of keys is kept."""
    try:
        return _mapping(value, "")
    except _NotPlain:
        return yamlio.dump(value)


def items(values: Sequence[object]) -> str:
    """Return the items of a list in block style."""
    return "".join(map(_item, values))


def _item(value: object) -> str:
    try:
        return _sequence((value,), "")
    except _NotPlain:
        return yamlio.dump([value])


def _mapping(value: Mapping[str, object], pad: str) -> str:
    lines = []
    for name, below in value.items():
        if below and isinstance(below, dict):
            lines.append(f"{pad}{_key(name)}:\n{_mapping(below, pad + '  ')}")
        elif below and isinstance(below, list):
            lines.append(f"{pad}{_key(name)}:\n{_sequence(below, pad)}")
        else:
            lines.append(_line(f"{pad}{_key(name)}: {_scalar(below)}\n"))
    return "".join(lines)


def _sequence(values: Sequence[object], pad: str) -> str:
    lines = []
    inner = pad + "  "
    for value in values:
        if value and isinstance(value, dict):
            lines.append(f"{pad}- {_mapping(value, inner)[len(inner) :]}")
        elif value and isinstance(value, list):
            lines.append(f"{pad}- {_sequence(value, inner)[len(inner) :]}")
        else:
            lines.append(_line(f"{pad}- {_scalar(value)}\n"))
    return "".join(lines)


def _line(line: str) -> str:
    if len(line) > MAX_LINE:
        raise _NotPlain
    return line


@lru_cache(1024)
def _key(name: str) -> str:
    if len(name) > MAX_LINE or " " in name:
        raise _NotPlain
    return _text(name)


def _scalar(value: object) -> str:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true" if value else "false"
    if isinstance(value, dict | list):
        return "{}" if isinstance(value, dict) else "[]"
    text = repr(value)
    if not _NUMBER.match(text):
        raise _NotPlain
    return text


def _text(text: str) -> str:
    if _PLAIN.match(text) and text.lower() not in _WORDS:
        return text
    if text in _SIGNS:
        return _SIGNS[text]
    if _QUOTED.match(text):
        return f'"{text}"'
    if _TIME.match(text):
        return f"'{text}'"
    raise _NotPlain
