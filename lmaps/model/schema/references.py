"""References within a schema. A schema without references does without jsonschema."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lmaps.model.schema import drafts
from lmaps.util.jsonio import JsonObject
from lmaps.util.lazy import LazyModule

if TYPE_CHECKING:
    from lmaps.model.schema import backend
else:
    backend = LazyModule("lmaps.model.schema.backend")  # jsonschema: 30 ms and 4 MB

_IDS = frozenset(("$id", "id"))


def resolver(definition: object) -> object:
    """Return a resolver of references at the schema's root; None for a schema without references."""
    if any("$ref" in schema for _, schema in drafts.walk(definition)):
        return backend.resolver(definition)
    return None


def enter(resolver: Any, schema: JsonObject, definition: Any) -> Any:
    """Return the resolver for the scope of ``schema``, a part of ``definition``: its own ``$id`` begins a new scope."""
    if resolver is None or _IDS.isdisjoint(schema):
        return resolver
    return resolver.in_subresource(backend.specification(definition).create_resource(schema))


def walk(definition: object) -> Iterator[tuple[drafts.At, JsonObject, object]]:
    """Yield the same as `drafts.walk`, with the resolver for each subschema's scope."""

    def below(schema: object, outside: object, at: drafts.At) -> Iterator[tuple[drafts.At, JsonObject, object]]:
        if not isinstance(schema, dict):
            return
        inside = enter(outside, schema, definition) if at else outside
        yield at, schema, inside
        for step, subschema in drafts.subschemas(schema):
            yield from below(subschema, inside, at + step)

    return below(definition, backend.resolver(definition), ())
