"""Reading: a block scalar, an anchor, a list of mappings, any error are left to `strict_yaml`."""

import re
from typing import Any, NamedTuple

from lmaps.util.scalars import scalar

LARGEST, DEEPEST = 10_000, 32
"""Bytes of a text, and spaces before a line of it, that are read here."""
_WORD = r"[\w/.~](?:[\w/.~@+=-]|:(?=[\w/.]))*"
"""Text without quotes that ends at the next space, comma or bracket."""
_VALUE = rf"""\"[^"\\]*\"|'[^']*'|\[(?:{_WORD}(?:, *{_WORD})*)?\]|{_WORD}(?: {_WORD})*"""
_LINE = rf"""( *)(?:([A-Za-z_][\w-]*):|-)(?: +({_VALUE}))?(?: +#.*)? *\Z"""


class _NotPlain(Exception):
    """Left to PyYAML."""


class _Line(NamedTuple):
    """``pad`` spaces, then a key, or the dash of an item; ``text`` if a value stands in the line."""

    pad: int
    key: str | None
    text: str | None


def read(data: bytes) -> dict[str, Any] | None:
    """The mapping in ``data``, as `strict_yaml` reads it; None if that has to be asked.

    Read here are mappings of plain or quoted words, of lists of them, and of such mappings, a line each.
    """
    texts = data.decode("ascii", "replace").split("\n")
    if len(data) > LARGEST or not all(text.isascii() and text.isprintable() for text in texts):
        return None
    try:
        lines = [_line(text) for text in reversed(texts) if text.lstrip(" ")[:1] not in ("", "#")]
        made = _read_mapping(lines, 0)
    except (_NotPlain, ValueError):
        return None
    return made if made and not lines else None


def _line(text: str) -> _Line:
    found = re.match(_LINE, text)
    if found is None or len(found[1]) > DEEPEST:
        raise _NotPlain
    return _Line(len(found[1]), found[2], found[3])


def _read_mapping(lines: list[_Line], pad: int) -> dict[str, Any]:
    """The mapping whose first line is the last one of ``lines``; what was read is taken away from them."""
    made: dict[str, Any] = {}
    while lines and lines[-1].pad == pad and (key := lines[-1].key) is not None:
        text = lines.pop().text
        if key in made or not isinstance(scalar(key), str):
            raise _NotPlain
        made[key] = _read_below(lines, pad) if text is None else _read_value(text)
    return made


def _read_below(lines: list[_Line], pad: int) -> Any:
    """The value of a key that stands below it."""
    if lines and lines[-1].key is None and lines[-1].pad >= pad:
        return _read_items(lines, lines[-1].pad)
    if lines and lines[-1].pad > pad:
        return _read_mapping(lines, lines[-1].pad)
    return None


def _read_items(lines: list[_Line], pad: int) -> list[Any]:
    made = []
    while lines and lines[-1].pad == pad and lines[-1].key is None:
        text = lines.pop().text
        if text is None:
            raise _NotPlain
        made.append(_read_value(text))
    return made


def _read_value(text: str) -> Any:
    if text[0] == "[":
        return [scalar(word.strip(" ")) for word in text[1:-1].split(",")] if text != "[]" else []
    return text[1:-1] if text[0] in "\"'" else scalar(text)
