"""A unit's properties as rows for people: path, type, default, limits, text."""

from collections.abc import Iterator
from typing import Any

from lmaps.errors import NotFound
from lmaps.model.schema.messages import is_secret, quote
from lmaps.model.schema.references import resolver
from lmaps.model.units.unit import Unit
from lmaps.util.text import nearest

_LIMITS = {
    "enum": "one of {}",
    "const": "only {}",
    "pattern": "matches {}",
    "format": "a valid {}",
    "minimum": "from {}",
    "maximum": "to {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}
DEPTH = 8
"""Levels of nested properties that are shown."""


def property_rows(unit: Unit, wanted: str | None = None) -> list[dict[str, Any]]:
    """The properties of an instance, nested ones as ``a.b`` and ``a[].b``; or ``wanted`` and what lies below it.

    Each row has ``path``, ``type``, ``required``, ``limits``, ``description``, and ``default`` and ``secret`` where
    they apply.
    `NotFound` with the nearest name if there is no such property.
    """
    rows = list(_rows(unit.params, resolver(unit.params), "", DEPTH))
    if not wanted:
        return rows
    below = [row for row in rows if row["path"] == wanted or row["path"].startswith((f"{wanted}.", f"{wanted}[]"))]
    if not below:
        near = nearest(wanted, [row["path"] for row in rows])
        raise NotFound(
            f"cannot explain {unit.name}.{wanted}: no such property" + (f"; did you mean {near}?" if near else "")
        )
    return below


def _rows(schema: Any, where: Any, prefix: str, depth: int) -> Iterator[dict[str, Any]]:
    schema, where = _target(schema, where)
    if not isinstance(schema, dict) or depth == 0:
        return
    for part in schema.get("allOf", ()):
        yield from _rows(part, where, prefix, depth)
    required = schema.get("required", [])
    for name, below in schema.get("properties", {}).items():
        inner, _ = _target(below, where)
        path = f"{prefix}{name}"
        yield _row(path, below, inner, required=isinstance(required, list) and name in required)
        yield from _rows(below, where, f"{path}.", depth - 1)
        if isinstance(inner, dict) and isinstance(inner.get("items"), dict):
            yield from _rows(inner["items"], where, f"{path}[].", depth - 1)


def _target(schema: Any, where: Any) -> tuple[Any, Any]:
    """What a schema refers to, with its own keywords on top; itself where it refers to nothing."""
    if isinstance(schema, dict) and isinstance(schema.get("$ref"), str):
        found = where.lookup(schema["$ref"])
        contents = found.contents if isinstance(found.contents, dict) else {}
        return {**contents, **{key: value for key, value in schema.items() if key != "$ref"}}, found.resolver
    return schema, where


def _row(path: str, schema: Any, inner: Any, *, required: bool) -> dict[str, Any]:
    facts = {**(inner if isinstance(inner, dict) else {}), **(schema if isinstance(schema, dict) else {})}
    row = {
        "path": path,
        "type": _type(facts),
        "required": required,
        "limits": ", ".join(
            text.format(_listed(facts[keyword])) for keyword, text in _LIMITS.items() if keyword in facts
        ),
        "description": facts.get("description") or facts.get("title"),
    }
    known = {"default": facts["default"]} if "default" in facts else {}
    return row | known | ({"secret": True} if is_secret(facts) else {})


def _type(facts: dict[str, Any]) -> str:
    kind = facts.get("type", "any")
    if kind == "array" and isinstance(facts.get("items"), dict):
        return f"array of {facts['items'].get('type', 'any')}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _listed(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(quote(each) for each in value)
    return str(value)
