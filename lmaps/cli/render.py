"""Text forms of data: YAML, JSON, Python's repr, and tables of plain aligned columns."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lmaps.util.lazy import LazyModule

if TYPE_CHECKING:
    import json

    from lmaps.util import fast_yaml, jsonio, yamlio
else:
    json, jsonio = LazyModule("json"), LazyModule("lmaps.util.jsonio")  # --help prints no data
    fast_yaml = LazyModule("lmaps.util.fast_yaml")
    yamlio = LazyModule("lmaps.util.yamlio")  # 17 ms, needed only for a document that is a bare value

_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]"
"""Characters that command a terminal or reorder the text on it."""
MAX_CELL = 60
"""Characters of a cell that are shown."""


class Table(NamedTuple):
    """Rows of cells under headers; without headers there is no header line."""

    headers: Sequence[str]
    rows: Sequence[Sequence[object]]


def safe(text: str) -> str:
    """Return ``text`` with control characters escaped, so that stored text cannot command a terminal."""
    return re.sub(_CONTROL, lambda match: match[0].encode("unicode_escape").decode(), text)


def render(value: object, form: str) -> str:
    """Return ``value`` as ``yaml``, ``json`` (one line), ``pretty`` (indented JSON) or ``dict`` (Python's repr)."""
    if form == "json":
        return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
    if form == "pretty":
        return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    if form == "dict":
        return f"{value!r}\n"
    # Empty ones are "{}" and "[]" in YAML, which the fast writer does not write.
    if value and isinstance(value, dict):
        return fast_yaml.dump(value)
    if value and isinstance(value, list):
        return fast_yaml.items(value)
    return yamlio.dump(value)


def table_text(table: Table, *, terminal: bool, color: bool = False) -> str:
    """Return the table as text, a line per row. For a terminal cells are made `safe`; in colour headers are dim."""
    rows = [[_cell(cell, terminal) for cell in row] for row in table.rows]
    if not table.headers:
        return "".join("  ".join(row).rstrip() + "\n" for row in rows)
    header, *lines = aligned([list(table.headers), *rows], indent="")
    if color:
        header = f"\x1b[2m{header}\x1b[0m"
    return "\n".join([header, *lines]) + "\n"


def aligned(rows: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Return rows of equal length as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _cell(value: object, terminal: bool) -> str:
    # A line break inside a cell would look like another row.
    text = _plain(value).replace("\n", "\\n")
    return safe(text) if terminal else text


def _plain(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict) and value.keys() == {"$secret"}:
        return "(changed)" if value["$secret"] == "changed" else "(secret)"
    if isinstance(value, dict | list):
        return jsonio.encode(value)
    return str(value)


def short(value: object) -> str:
    """Return ``value`` as text of at most `MAX_CELL` characters."""
    text = _plain(value)
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 3] + "..."


def without_short(row: dict[str, Any]) -> dict[str, Any]:
    """Return an instance's row without its short ID, which is for people only."""
    return {name: value for name, value in row.items() if name != "short"}


def revision(number: int | None) -> str | None:
    """Return a revision as people write it: ``r41``; None for None."""
    return None if number is None else f"r{number}"


def revision_or_zero(number: int | None) -> str:
    """Return a revision as people write it; ``r0`` is the state before the first change."""
    return f"r{number or 0}"
