"""A unit's properties as rows for people: path, type, default, limits, text."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from lmaps.errors import NotFound
from lmaps.model.diff import MISSING, Path
from lmaps.model.schema.messages import quote
from lmaps.model.schema.references import resolver
from lmaps.model.schema.secrets import is_secret
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


class PropertyRow(NamedTuple):
    """A property of an instance; ``limits`` are its other keywords in words, ``default`` is `MISSING` without one."""

    path: str
    type: str
    required: bool
    limits: str
    description: str | None
    default: object
    secret: bool

    def to_json(self) -> JsonObject:
        """Return the row as it goes over the wire: without what does not apply."""
        row = self._asdict()
        if self.default is MISSING:
            del row["default"]
        if not self.secret:
            del row["secret"]
        return row


def property_rows(unit: Unit, wanted: str | None = None) -> list[PropertyRow]:
    """Return a row for each property of an instance, or for ``wanted`` and the properties below it.

    Nested ones have paths such as ``a.b`` and ``a[].b``. Raises `NotFound` with the nearest name if there is no such
    property.
    """
    # A mark may stand elsewhere than with the property's type.
    rows = [
        row._replace(secret=row.secret or unit.secrets.may_mark(at))
        for row, at in _rows(unit.params, resolver(unit.params), "", ())
    ]
    if not wanted:
        return rows
    below = [row for row in rows if row.path == wanted or row.path.startswith((f"{wanted}.", f"{wanted}[]"))]
    if not below:
        near = nearest(wanted, [row.path for row in rows])
        raise NotFound(
            f"cannot explain {unit.name}.{wanted}: no such property" + (f"; did you mean {near}?" if near else "")
        )
    return below


def _rows(schema: object, scope: object, prefix: str, above: Path) -> Iterator[tuple[PropertyRow, Path]]:
    """Yield the rows of the properties of ``schema``, each with its place in a document; of lists the first item."""
    schema, scope = _target(schema, scope)
    if not isinstance(schema, dict) or sum(isinstance(key, str) for key in above) == MAX_DEPTH:
        return
    for part in schema.get("allOf", ()):
        yield from _rows(part, scope, prefix, above)
    required = schema.get("required", [])
    for name, below in schema.get("properties", {}).items():
        inner, _ = _target(below, scope)
        path, at = f"{prefix}{name}", (*above, name)
        yield _row(path, below, inner, required=isinstance(required, list) and name in required), at
        yield from _rows(below, scope, f"{path}.", at)
        if isinstance(inner, dict) and isinstance(inner.get("items"), dict):
            yield from _rows(inner["items"], scope, f"{path}[].", (*at, 0))


def _target(schema: object, scope: Any) -> tuple[Any, Any]:
    """Return the schema that ``schema`` refers to, with its own keywords on top; ``schema`` if it has no reference."""
    if isinstance(schema, dict) and isinstance(schema.get("$ref"), str):
        target = scope.lookup(schema["$ref"])
        contents = target.contents if isinstance(target.contents, dict) else {}
        return {**contents, **{key: value for key, value in schema.items() if key != "$ref"}}, target.resolver
    return schema, scope


def _row(path: str, schema: object, inner: object, *, required: bool) -> PropertyRow:
    keywords = {**(inner if isinstance(inner, dict) else {}), **(schema if isinstance(schema, dict) else {})}
    limits = [text.format(_listed(keywords[keyword])) for keyword, text in _LIMITS.items() if keyword in keywords]
    return PropertyRow(
        path=path,
        type=_type(keywords),
        required=required,
        limits=", ".join(limits),
        description=keywords.get("description") or keywords.get("title"),
        default=keywords.get("default", MISSING),
        secret=is_secret(keywords),
    )


def _type(keywords: JsonObject) -> str:
    kind = keywords.get("type", "any")
    if kind == "array" and isinstance(keywords.get("items"), dict):
        return f"array of {keywords['items'].get('type', 'any')}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _listed(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(quote, value))
    return str(value)
