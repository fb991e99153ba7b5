"""The JSON Schema of a dataclass: configuration and arguments of endpoints are described once, by their class.

    @dataclass(frozen=True, kw_only=True)
    class Show:
        unit: Annotated[str, Keywords(minLength=1)]
        limit: int = 20

A field without a default is required. A default is part of the schema, but for None: such a property may only be left
out, it is never null. A name that is a keyword of Python ends in ``_`` (``from_`` is ``from``). The metadata of a field
may have ``schema``, keywords for its property, and ``required``, False for a field that the schema does not require.
"""

from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from lmaps.util.jsonio import JsonObject

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


class Keywords:
    """Keywords of JSON Schema that a type of Python does not say, for ``Annotated``; ``doc`` is for the reference."""

    def __init__(self, doc: str = "", **keywords: object) -> None:
        self.doc = doc
        self.keywords = keywords


def object_schema(kind: object, *, is_nested: bool = False) -> JsonObject:
    """Return the JSON Schema of a dataclass. Properties that it does not have are refused."""
    hints, parts = get_type_hints(kind, include_extras=True), ordered_fields(kind)
    required = [property_name(part) for part in parts if is_required(part)]
    return {
        "type": "object",
        "properties": {property_name(part): _schema(hints[part.name]) | _keywords(part) for part in parts},
        **({"required": required} if required or not is_nested else {}),
        "additionalProperties": False,
    }


def property_name(part: Field[Any]) -> str:
    """Return the name that a field has in JSON."""
    return part.name.removesuffix("_")


def is_required(part: Field[Any]) -> bool:
    """Return whether the schema requires a field."""
    has_default = part.default is not MISSING or part.default_factory is not MISSING
    return not has_default and bool(part.metadata.get("required", True))


def ordered_fields(kind: Any) -> list[Field[Any]]:
    """Return the fields of a class: its own before those that it has from its bases."""
    return sorted(fields(kind), key=lambda part: part.name not in kind.__annotations__)


def doc_of(hint: object) -> str:
    """Return what the reference says of a type."""
    hint = without_none(hint)
    annotations = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((annotation.doc for annotation in annotations if isinstance(annotation, Keywords)), "")


def without_none(hint: object) -> Any:
    """Return ``X`` for ``X | None``."""
    if isinstance(hint, UnionType) or get_origin(hint) is Union:  # the latter where X is annotated
        [hint] = [part for part in get_args(hint) if part is not NoneType]
        return hint
    return hint


def _keywords(part: Field[Any]) -> JsonObject:
    """Return what a field adds to the schema of its type."""
    keywords: JsonObject = part.metadata.get("schema", {})
    if part.default_factory is not MISSING:
        return {"default": part.default_factory(), **keywords}
    return {**keywords} if part.default in (MISSING, None) else {"default": part.default, **keywords}


def _schema(hint: object) -> JsonObject:
    """Return the JSON Schema of a type."""
    hint = without_none(hint)
    base, *annotations = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    base = without_none(base)
    keywords: JsonObject = {}
    for annotation in annotations:
        keywords |= annotation.keywords
    origin, parts = get_origin(base) or base, get_args(base)
    if base in (Any, object):
        schema: JsonObject = {}
    elif origin is Literal:
        schema = {"enum": list(parts)}
    elif is_dataclass(base):
        schema = object_schema(base, is_nested=True)
    else:
        schema = {"type": _TYPES[origin]}
    items = {"items": _schema(parts[0])} if origin is list and parts != (Any,) else {}
    if items and "properties" in items["items"]:  # short keywords before the long one
        return schema | keywords | items
    return schema | items | keywords
