"""The drafts of JSON Schema: which one a schema is written in, and where its subschemas lie."""

from collections.abc import Iterator
from typing import Any

import jsonschema_specifications  # type: ignore[import-untyped]  # it has no types
from jsonschema import (
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
)
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.jsonschema import (
    DRAFT4,
    DRAFT6,
    DRAFT7,
    DRAFT201909,
    DRAFT202012,
    SchemaRegistry,
    SchemaResource,
)

REGISTRY: SchemaRegistry = Registry().combine(jsonschema_specifications.REGISTRY)
"""The drafts' own metaschemas, and no way to fetch anything else."""

_DRAFTS: dict[str, tuple[Any, Any]] = {
    "http://json-schema.org/draft-04/schema": (Draft4Validator, DRAFT4),
    "http://json-schema.org/draft-06/schema": (Draft6Validator, DRAFT6),
    "http://json-schema.org/draft-07/schema": (Draft7Validator, DRAFT7),
    "https://json-schema.org/draft/2019-09/schema": (Draft201909Validator, DRAFT201909),
    "https://json-schema.org/draft/2020-12/schema": (Draft202012Validator, DRAFT202012),
}
DEFAULT = "https://json-schema.org/draft/2020-12/schema"

At = tuple[str | int, ...]

_MAPPINGS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_SINGLES = tuple(
    "items additionalItems additionalProperties contains not if then else propertyNames "
    "unevaluatedItems unevaluatedProperties contentSchema".split()
)


def known(definition: Any) -> bool:
    """Whether the schema's ``$schema``, if it has one, names a draft that is spoken here."""
    return _uri(definition) in _DRAFTS


def names() -> list[str]:
    """The ``$schema`` of each draft that is spoken here."""
    return list(_DRAFTS)


def _uri(definition: Any) -> str:
    told = definition.get("$schema", DEFAULT) if isinstance(definition, dict) else DEFAULT
    return told.removesuffix("#") if isinstance(told, str) else ""


def validator_class(definition: Any) -> type[Validator]:
    """The validator of the schema's draft, 2020-12 where it names none."""
    found: type[Validator] = _DRAFTS.get(_uri(definition), _DRAFTS[DEFAULT])[0]
    return found


def specification(definition: Any) -> Any:
    """How the schema's draft spells identity and references."""
    return _DRAFTS.get(_uri(definition), _DRAFTS[DEFAULT])[1]


def refs_stand_alone(spec: Any) -> bool:
    """Whether what stands beside a ``$ref`` is ignored: up to draft 7."""
    return spec in (DRAFT4, DRAFT6, DRAFT7)


def resolver(definition: Any) -> Any:
    """Resolves references from the schema's root; what is not in the schema itself is unresolvable."""
    resource: SchemaResource = Resource.from_contents(definition, default_specification=specification(definition))
    return REGISTRY.resolver_with_root(resource)


def enter(resolver: Any, schema: dict[str, Any], spec: Any) -> Any:
    """The resolver that holds inside ``schema``: its own ``$id`` counts from here on."""
    if "$id" in schema or "id" in schema:
        return resolver.in_subresource(spec.create_resource(schema))
    return resolver


def subschemas(schema: Any) -> Iterator[tuple[At, Any]]:
    """The schemas right below ``schema``, with the way to each."""
    if not isinstance(schema, dict):
        return
    for keyword in _MAPPINGS:
        if isinstance(schema.get(keyword), dict):
            for name, below in schema[keyword].items():
                yield (keyword, name), below
    for keyword in _LISTS:
        if isinstance(schema.get(keyword), list):
            for index, below in enumerate(schema[keyword]):
                yield (keyword, index), below
    for keyword in _SINGLES:
        if isinstance(schema.get(keyword), dict | bool):
            yield (keyword,), schema[keyword]


def walk(schema: Any, resolver: Any, spec: Any, at: At = ()) -> Iterator[tuple[At, dict[str, Any], Any]]:
    """Every subschema that is an object, the root first: the way to it, itself, and the resolver that holds in it."""
    if not isinstance(schema, dict):
        return
    inside = enter(resolver, schema, spec) if at else resolver
    yield at, schema, inside
    for below, subschema in subschemas(schema):
        yield from walk(subschema, inside, spec, at + below)
