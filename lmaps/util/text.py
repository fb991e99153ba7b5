"""Words for people: the nearest name, and counted things."""

from collections.abc import Iterable

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
