"""Text that people read, on a terminal or in a file: nothing in it commands a terminal, reorders text or hides.

Escaped are control characters (C0, DEL, C1), format characters (Unicode's category Cf: bidi controls, zero-width
characters, soft hyphen, byte order mark), line and paragraph separators, lone surrogates, and what Unicode calls
default ignorable (variation selectors, fillers): each by Python's escape, as ``\\x1b`` or ``\\u202e``. A backslash
stays as it is, so the text is not for programs.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from lmaps.util.lazy import LazyModule

if TYPE_CHECKING:
    import unicodedata
else:
    unicodedata = LazyModule("unicodedata")  # 1 MB of tables that ASCII does without

_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
_BIDI = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_HIDDEN = (
    _CONTROL
    + _BIDI
    + r"\xad\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200d\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"
    + r"\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    # Default ignorable characters of other categories: nothing is seen of them, and terminals disagree on their width.
    + r"\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff"
)
"""The characters that are escaped, as ranges of a regular expression; a test compares them with Unicode's tables."""


def visible(text: str) -> str:
    """Return ``text`` as one line: with everything escaped that is not seen, line breaks and tabs too."""
    if text.isascii() and text.isprintable():
        return text
    return re.sub(f"[{_HIDDEN}]", _escape, text)


def visible_lines(text: str) -> str:
    """Return ``text`` as `visible` does, but keep its line breaks."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return re.sub(rf"(?!\n)[{_HIDDEN}]", _escape, text)


def visible_output(line: str) -> str:
    """Return a line that a program has printed as `visible` does; its tabs become spaces, which keeps its columns."""
    return visible(line.expandtabs())


def visible_json(text: str) -> str:
    """Return JSON, the same value, with JSON's own escapes for what is not seen."""
    # JSON itself escapes C0 in strings, and nothing outside of them is hidden.
    if text.isascii() and "\x7f" not in text:
        return text
    return re.sub(rf"(?!\n)[{_HIDDEN}]", _json_escape, text)


def _escape(match: "re.Match[str]") -> str:
    return match[0].encode("unicode_escape").decode()


def _json_escape(match: "re.Match[str]") -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def forbidden_in_names(text: str) -> str | None:
    """Return the first character of ``text`` that no new ID may have, None if there is none.

    These are control characters, line separators and bidi controls. Other format characters belong to words of some
    languages, such as the zero-width non-joiner of Persian.
    """
    if text.isascii() and text.isprintable():
        return None
    match = re.search(f"[{_CONTROL}{_BIDI}]", text)
    return match[0] if match else None


def width(text: str) -> int:
    """Return how many columns of a terminal a `visible` text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


@lru_cache(4096)  # a text has few different characters, and asking Unicode's tables takes ten times as long
def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me") or "\u1160" <= character <= "\u11ff":
        return 0  # marks, and the vowels and finals of Korean, are drawn on the character before them
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def padded(text: str, columns: int) -> str:
    """Return a `visible` text followed by spaces up to a number of columns."""
    return text + " " * (columns - width(text))


def shortened(text: str, columns: int) -> str:
    """Return ``text`` as `visible` does; of one wider than ``columns`` its beginning and ``...``. No escape is cut."""
    parts: list[str] = []
    used = fitting = 0
    for part in map(visible, text):
        used += width(part)
        if used > columns:
            return "".join(parts[:fitting]) + "..."
        parts.append(part)
        if used <= columns - len("..."):
            fitting = len(parts)
    return "".join(parts)


def aligned(rows: Iterable[Sequence[str]], indent: str = "  ") -> list[str]:
    """Return rows of equal length as lines, each `visible`, with aligned columns."""
    cells = [list(map(visible, row)) for row in rows]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    return [indent + "  ".join(map(padded, row, widths)).rstrip() for row in cells]
