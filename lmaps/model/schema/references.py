"""References within a schema. A schema without references does without jsonschema."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lmaps.model.schema import drafts
from lmaps.util.jsonio import JsonObject
from lmaps.util.lazy import LazyModule

if TYPE_CHECKING:
    from lmaps.model.schema import backend
else:
    backend = LazyModule("lmaps.model.schema.backend")  # jsonschema: 30 ms and 4 MB

_DYNAMIC = {drafts.DEFAULT: "$dynamicRef", drafts.NAMES[3]: "$recursiveRef"}
"""The second keyword of references in the drafts that have one."""
Anchors = dict[str, list[tuple[object, object]]]
_IDS = frozenset(("$id", "id"))


def resolver(definition: object) -> object:
    """Return a resolver of references at the schema's root; None for a schema without references."""
    # Any object counts: a reference may lead to a place that no keyword of a draft names, and on from there.
    names = keywords(definition)
    if any(keyword in part for part in objects(definition) for keyword in names):
        return backend.resolver(definition)
    return None


def objects(value: object) -> Iterator[JsonObject]:
    """Yield every object in a JSON value, whether it is a schema or not."""
    if isinstance(value, dict):
        yield value
    for below in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(below)


def keywords(definition: object) -> tuple[str, ...]:
    """Return the keywords of references in the drafts of the schema and its parts; the others have no meaning in it."""
    written_in = drafts_of(definition)
    return ("$ref", *(keyword for draft, keyword in _DYNAMIC.items() if draft in written_in))


def drafts_of(definition: object) -> set[str]:
    """Return the names of the drafts that a schema and its parts are written in, by ``$schema``.

    There are several only in texts that an older lMaPS has recorded: `lint` refuses parts in another draft.
    """
    return {drafts.name(definition)} | {drafts.name(part) for part in objects(definition) if "$schema" in part}


def targets(
    schema: JsonObject, resolver: Any, names: Sequence[str], anchors: Anchors
) -> Iterator[tuple[object, object] | None]:
    """Yield every schema that the references in ``schema`` may lead to, with the resolver for its scope.

    ``names`` are the `keywords` of the draft. Which of the ``anchors`` a dynamic reference means depends on the way to
    it: every one is yielded. None stands for a reference that leads to nothing.
    """
    for keyword in names:
        reference = schema.get(keyword)
        if isinstance(reference, str):
            yield backend.find(resolver, reference)
            if keyword != "$ref":
                yield from anchors.get(reference.rpartition("#")[2], ())


def dynamic_anchors(definition: object) -> Anchors:
    """Return the subschemas that dynamic references may mean, by their anchors; "" is that of ``$recursiveAnchor``."""
    anchors: Anchors = {}
    if any("$dynamicAnchor" in part or "$recursiveAnchor" in part for part in objects(definition)):
        for _, schema, scope in walk(definition):
            name = schema.get("$dynamicAnchor", "" if schema.get("$recursiveAnchor") is True else None)
            if isinstance(name, str):
                anchors.setdefault(name, []).append((schema, scope))
    return anchors


def enter(resolver: Any, schema: object, definition: Any) -> Any:
    """Return the resolver for the scope of ``schema``, a part of ``definition``: its own ``$id`` begins a new scope."""
    if resolver is None or not isinstance(schema, dict) or _IDS.isdisjoint(schema):
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
