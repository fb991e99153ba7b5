"""How data looks: YAML, JSON, Python's repr, or a table of plain aligned columns."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]"
WIDEST = 60
"""Characters of a cell that are shown."""


class Table(NamedTuple):
    """Rows of cells under headers; no headers, no header line."""

    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]


def safe(text: str) -> str:
    """``text`` with what could command a terminal written out."""
    return re.sub(_CONTROL, lambda found: found[0].encode("unicode_escape").decode(), text)


def render(value: Any, form: str) -> str:
    """``value`` as text: ``yaml``, ``json`` (one line), ``pretty`` (indented) or ``dict`` (Python's repr)."""
    import json  # noqa: PLC0415 (help does without)

    if form == "json":
        return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
    if form == "pretty":
        return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    if form == "dict":
        return f"{value!r}\n"
    from lmaps.util import fast_yaml  # noqa: PLC0415 (as above)

    if value and isinstance(value, dict):
        return fast_yaml.dump(value)
    if value and isinstance(value, list):
        return fast_yaml.items(value)
    from lmaps.util import yamlio  # noqa: PLC0415 (17 ms that only what is not plain has to pay)

    return yamlio.dump(value)


def table_text(table: Table, *, terminal: bool, color: bool = False) -> str:
    """The table as text, a line a row; on a terminal control bytes are written out; in colour headers are dim."""
    rows = [[_cell(cell, terminal) for cell in row] for row in table.rows]
    if not table.headers:
        return "".join("  ".join(row).rstrip() + "\n" for row in rows)
    widths = [max(len(row[place]) for row in [list(table.headers), *rows]) for place in range(len(table.headers))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    header = "  ".join(name.ljust(width) for name, width in zip(table.headers, widths, strict=True)).rstrip()
    if color:
        header = f"\x1b[2m{header}\x1b[0m"
    return "\n".join([header, *lines]) + "\n"


def aligned(rows: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Rows as aligned lines, without headers."""
    if not rows:
        return []
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _cell(value: Any, terminal: bool) -> str:
    text = _plain(value).replace("\n", "\\n")
    return safe(text) if terminal else text


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict) and value.keys() == {"$secret"}:
        return "(changed)" if value["$secret"] == "changed" else "(secret)"
    if isinstance(value, dict | list):
        from lmaps.util import jsonio  # noqa: PLC0415 (help does without)

        value = jsonio.encode(value)
    return str(value)


def short(value: Any) -> str:
    """A cell of no more than `WIDEST` characters."""
    text = _plain(value)
    return text if len(text) <= WIDEST else text[: WIDEST - 3] + "..."


def without_short(row: dict[str, Any]) -> dict[str, Any]:
    """A row of an instance without its short ID, which is for people."""
    return {name: value for name, value in row.items() if name != "short"}


def revision(number: int | None) -> str | None:
    """``r41``."""
    return None if number is None else f"r{number}"
