"""Text: the nearest word, counted nouns, and the value of a plain word of YAML."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lmaps.util.jsonio import INTEGERS
from lmaps.util.lazy import LazyModule

if TYPE_CHECKING:
    import difflib
else:
    difflib = LazyModule("difflib")  # 1 ms, needed only after a typing error

MAX_WORD = 64
"""Characters of a word that is compared with others: difflib takes quadratic time."""


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the one of ``words`` that ``word`` was most likely meant to be, or None if none is near."""
    if len(word) > MAX_WORD:
        return None
    candidates = {candidate.lower(): candidate for candidate in words}
    matches = difflib.get_close_matches(word.lower(), candidates, n=1, cutoff=0.6)
    return candidates[matches[0]] if matches else None


def plural(count: int, noun: str, many: str | None = None) -> str:
    """Return ``1 unit`` or ``2 units``; ``many`` is a plural that does not end in s alone."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_FLOAT = r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]+)?\Z"


def scalar(text: str) -> object:
    """Return the value that ``text`` has in YAML without quotes. Raises ValueError for a number that JSON cannot hold.

    Only null, true, false and decimal numbers are no strings: YAML 1.1 would read ``no`` as false, ``12:30`` as 750.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-0123456789":
        return text
    if _is_integer(text):
        if len(text) > 20 or int(text) not in INTEGERS:
            raise ValueError("the integer does not fit into 64 bits: quote it")
        return int(text)
    if "." in text and re.match(_FLOAT, text):
        number = float(text)
        if number - number != 0:  # infinity: no JSON number
            raise ValueError("the number is too large: quote it")
        return number
    return text


def _is_integer(text: str) -> bool:
    digits = text[1:] if text[0] in "+-" else text
    return digits.isascii() and digits.isdigit() and (digits[0] != "0" or digits == "0")
