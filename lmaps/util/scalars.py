"""What a plain word of YAML stands for: null, true, false, a decimal number, else itself (``no``, ``0777``)."""

import re
from typing import Any

from lmaps.util.jsonio import INTEGERS

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
