"""A unit's properties as rows for people: path, type, default, limits, text."""

from collections.abc import Iterator
from typing import Any

from lmaps.errors import NotFound
from lmaps.model.schema.messages import is_secret, quote
from lmaps.model.schema.references import resolver
from lmaps.model.units.unit import Unit
from lmaps.util.jsonio import JsonObject
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
MAX_DEPTH = 8
"""Levels of nested properties in the rows; a schema may contain itself."""


def property_rows(unit: Unit, wanted: str | None = None) -> list[JsonObject]:
    """Return a row for each property of an instance, or for ``wanted`` and the properties below it.

    Nested ones have paths such as ``a.b`` and ``a[].b``. Each row has ``path``, ``type``, ``required``, ``limits``,
    ``description``, and ``default`` and ``secret`` where they apply. Raises `NotFound` with the nearest name if there
    is no such property.
    """
    rows = list(_rows(unit.params, resolver(unit.params), "", MAX_DEPTH))
    if not wanted:
        return rows
    below = [row for row in rows if row["path"] == wanted or row["path"].startswith((f"{wanted}.", f"{wanted}[]"))]
    if not below:
        near = nearest(wanted, [row["path"] for row in rows])
        raise NotFound(
            f"cannot explain {unit.name}.{wanted}: no such property" + (f"; did you mean {near}?" if near else "")
        )
    return below


def _rows(schema: object, scope: object, prefix: str, depth: int) -> Iterator[JsonObject]:
    schema, scope = _target(schema, scope)
    if not isinstance(schema, dict) or depth == 0:
        return
    for part in schema.get("allOf", ()):
        yield from _rows(part, scope, prefix, depth)
    required = schema.get("required", [])
    for name, below in schema.get("properties", {}).items():
        inner, _ = _target(below, scope)
        path = f"{prefix}{name}"
        yield _row(path, below, inner, required=isinstance(required, list) and name in required)
        yield from _rows(below, scope, f"{path}.", depth - 1)
        if isinstance(inner, dict) and isinstance(inner.get("items"), dict):
            yield from _rows(inner["items"], scope, f"{path}[].", depth - 1)


def _target(schema: object, scope: Any) -> tuple[Any, Any]:
    """Return the schema that ``schema`` refers to, with its own keywords on top; ``schema`` if it has no reference."""
    if isinstance(schema, dict) and isinstance(schema.get("$ref"), str):
        target = scope.lookup(schema["$ref"])
        contents = target.contents if isinstance(target.contents, dict) else {}
        return {**contents, **{key: value for key, value in schema.items() if key != "$ref"}}, target.resolver
    return schema, scope


def _row(path: str, schema: object, inner: object, *, required: bool) -> JsonObject:
    keywords = {**(inner if isinstance(inner, dict) else {}), **(schema if isinstance(schema, dict) else {})}
    row = {
        "path": path,
        "type": _type(keywords),
        "required": required,
        "limits": ", ".join(
            text.format(_listed(keywords[keyword])) for keyword, text in _LIMITS.items() if keyword in keywords
        ),
        "description": keywords.get("description") or keywords.get("title"),
    }
    default = {"default": keywords["default"]} if "default" in keywords else {}
    return row | default | ({"secret": True} if is_secret(keywords) else {})


def _type(keywords: JsonObject) -> str:
    kind = keywords.get("type", "any")
    if kind == "array" and isinstance(keywords.get("items"), dict):
        return f"array of {keywords['items'].get('type', 'any')}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _listed(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(quote, value))
    return str(value)
