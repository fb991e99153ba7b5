"""Text: the nearest word, counted things, and what a plain word of YAML stands for."""

import re
from collections.abc import Iterable
from typing import Any

from lmaps.util.jsonio import INTEGERS

LONGEST = 64
"""Characters of a word: what is longer is near to none, and would take long to compare."""


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of ``words`` that ``word`` was most likely meant to be; None if none is near, or it is no word."""
    if len(word) > LONGEST:
        return None
    from difflib import get_close_matches  # noqa: PLC0415 (1 ms that only typing errors have to pay)

    known = {each.lower(): each for each in words}
    found = get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return known[found[0]] if found else None


def plural(count: int, noun: str, many: str | None = None) -> str:
    """``1 unit``, ``2 units``; ``many`` is the plural where an s does not make it."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_FLOAT = r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]+)?\Z"


def scalar(text: str) -> Any:
    """The value of ``text``; ValueError says why a number cannot be kept."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-0123456789":
        return text
    if _is_integer(text):
        if len(text) > 20 or int(text) not in INTEGERS:
            raise ValueError(f"the integer {text[:24]} does not fit into 64 bits: quote it")
        return int(text)
    if "." in text and re.match(_FLOAT, text):
        number = float(text)
        if number - number != 0:
            raise ValueError(f"the number {text[:24]} is too large: quote it")
        return number
    return text


def _is_integer(text: str) -> bool:
    digits = text[1:] if text[0] in "+-" else text
    return digits.isascii() and digits.isdigit() and (digits[0] != "0" or digits == "0")
