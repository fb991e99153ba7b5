"""Writing: what needs quotes, a long line, an odd number are left to `strict_yaml`."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

WIDEST = 100
"""Characters of a line that certainly is not folded."""
_PLAIN = re.compile(r"[A-Za-z/_](?:[A-Za-z0-9_./@+=,-]|[: ](?=[A-Za-z0-9_./@+]))*\Z")
"""Text that stands without quotes wherever a value may stand, unless it is one of `_WORDS`."""
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off"})
_QUOTED = re.compile(r"[0-9][0-9.,:]*\Z")
"""Text that some reader of YAML may take for a number."""
_SIGNS = {"": "''", "+": "+", "-": "'-'", "~": "'~'"}
"""Texts that are no words, and how they are written."""
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z\Z")
"""A moment as lMaPS writes it, which YAML would take for one of its own."""
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?\Z")


class _NotPlain(Exception):
    """Left to PyYAML."""


def dump(value: Mapping[str, Any]) -> str:
    """A mapping that is not empty, as a document in block style, the order of keys kept."""
    try:
        return _mapping(value, "")
    except _NotPlain:
        from lmaps.util import yamlio  # noqa: PLC0415 (17 ms that plain values need not pay)

        return yamlio.dump(value)


def items(values: Sequence[Any]) -> str:
    """The items of a list in block style."""
    return "".join(map(_item, values))


def _item(value: Any) -> str:
    try:
        return _sequence((value,), "")
    except _NotPlain:
        from lmaps.util import yamlio  # noqa: PLC0415

        return yamlio.dump([value])


def _mapping(value: Mapping[str, Any], pad: str) -> str:
    lines = []
    for name, below in value.items():
        if below and isinstance(below, dict):
            lines.append(f"{pad}{_key(name)}:\n{_mapping(below, pad + '  ')}")
        elif below and isinstance(below, list):
            lines.append(f"{pad}{_key(name)}:\n{_sequence(below, pad)}")
        else:
            lines.append(_line(f"{pad}{_key(name)}: {_scalar(below)}\n"))
    return "".join(lines)


def _sequence(values: Sequence[Any], pad: str) -> str:
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
    if len(line) > WIDEST:
        raise _NotPlain
    return line


@lru_cache(1024)
def _key(name: str) -> str:
    if len(name) > WIDEST or " " in name:
        raise _NotPlain
    return _text(name)


def _scalar(value: Any) -> str:
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
