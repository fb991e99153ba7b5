"""Text forms of data: YAML, JSON, Python's repr, and tables of plain aligned columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lmaps.util.lazy import LazyModule
from lmaps.util.terminal import aligned, shortened, visible, visible_json, visible_lines

if TYPE_CHECKING:
    import json

    from lmaps.util import fast_yaml, jsonio, yamlio
else:
    json, jsonio = LazyModule("json"), LazyModule("lmaps.util.jsonio")  # --help prints no data
    fast_yaml = LazyModule("lmaps.util.fast_yaml")
    yamlio = LazyModule("lmaps.util.yamlio")  # 17 ms, needed only for a document that is a bare value

MAX_CELL = 60
"""Columns of a terminal that a cell takes."""


class Table(NamedTuple):
    """Rows of cells under headers; without headers there is no header line."""

    headers: Sequence[str]
    rows: Sequence[Sequence[object]]


def render(value: object, form: str) -> str:
    """Return ``value`` as ``yaml``, ``json`` (one line), ``pretty`` (indented JSON) or ``dict`` (Python's repr).

    Characters that command a terminal or are not seen are escaped as the format does it, so the value is the same.
    """
    if form == "json":
        return json_text(value) + "\n"
    if form == "pretty":
        return visible_json(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2)) + "\n"
    if form == "dict":
        return visible_lines(f"{value!r}\n")
    # Empty ones are "{}" and "[]" in YAML, which the fast writer does not write.
    if value and isinstance(value, dict):
        return fast_yaml.dump(value)
    if value and isinstance(value, list):
        return fast_yaml.items(value)
    return yamlio.dump(value)


def json_text(value: object) -> str:
    """Return ``value`` as JSON in one line."""
    return visible_json(json.dumps(value, ensure_ascii=False, allow_nan=False))


def table_lines(table: Table) -> list[str]:
    """Return the lines of a table, first that of the headers if it has any."""
    # A line break inside a cell would look like another row: `visible` escapes it.
    rows = [[_plain(cell) for cell in row] for row in table.rows]
    if not table.headers:
        return ["  ".join(map(visible, row)).rstrip() for row in rows]
    return aligned([list(table.headers), *rows], indent="")


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
    """Return ``value`` as text that takes at most `MAX_CELL` columns."""
    return shortened(_plain(value), MAX_CELL)


def without_short(row: dict[str, Any]) -> dict[str, Any]:
    """Return an instance's row without its short ID, which is for people only."""
    return {name: value for name, value in row.items() if name != "short"}


def revision(number: int | None) -> str | None:
    """Return a revision as people write it: ``r41``; None for None."""
    return None if number is None else f"r{number}"


def revision_or_zero(number: int | None) -> str:
    """Return a revision as people write it; ``r0`` is the state before the first change."""
    return f"r{number or 0}"
