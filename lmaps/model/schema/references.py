"""References within a schema, and what holds where they lead; a schema without any does without jsonschema."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from lmaps.model.schema import drafts

_IDS = frozenset(("$id", "id"))


def resolver(definition: Any) -> Any:
    """Resolves references from the schema's root; None for a schema that has none."""
    if any("$ref" in schema for _, schema in drafts.walk(definition)):
        return _validators().resolver(definition)
    return None


def enter(resolver: Any, schema: dict[str, Any], definition: Any) -> Any:
    """The resolver that holds inside ``schema``, a part of ``definition``: its own ``$id`` counts from here on."""
    if resolver is None or _IDS.isdisjoint(schema):
        return resolver
    return resolver.in_subresource(_validators().specification(definition).create_resource(schema))


def walk(definition: Any) -> Iterator[tuple[drafts.At, dict[str, Any], Any]]:
    """As `drafts.walk`, with the resolver that holds in each subschema."""

    def below(schema: Any, outside: Any, at: drafts.At) -> Iterator[tuple[drafts.At, dict[str, Any], Any]]:
        if not isinstance(schema, dict):
            return
        inside = enter(outside, schema, definition) if at else outside
        yield at, schema, inside
        for step, subschema in drafts.subschemas(schema):
            yield from below(subschema, inside, at + step)

    return below(definition, _validators().resolver(definition), ())


def _validators() -> Any:
    return import_module("lmaps.model.schema.backend")  # and with it jsonschema, which plain schemas do without
