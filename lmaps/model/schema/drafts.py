"""The drafts of JSON Schema: the one that a schema is written in, and the subschemas of a schema."""

from collections.abc import Iterator

from lmaps.util.jsonio import JsonObject

DRAFT4 = "http://json-schema.org/draft-04/schema"
DEFAULT = "https://json-schema.org/draft/2020-12/schema"
OLD = (DRAFT4, "http://json-schema.org/draft-06/schema", "http://json-schema.org/draft-07/schema")
"""The drafts that ignore the keywords beside a ``$ref``."""
NAMES = (*OLD, "https://json-schema.org/draft/2019-09/schema", DEFAULT)
"""The ``$schema`` of each supported draft."""

At = tuple[str | int, ...]

_MAPPINGS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_SINGLES = tuple(
    "items additionalItems additionalProperties contains not if then else propertyNames "
    "unevaluatedItems unevaluatedProperties contentSchema".split()
)


def name(definition: object) -> str:
    """Return the schema's ``$schema``, that of 2020-12 where it has none, and "" where it is no string."""
    value = definition.get("$schema", DEFAULT) if isinstance(definition, dict) else DEFAULT
    return value.removesuffix("#") if isinstance(value, str) else ""


def subschemas(schema: object) -> Iterator[tuple[At, object]]:
    """Yield the subschemas directly below ``schema``, each with its path."""
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


def walk(schema: object, at: At = ()) -> Iterator[tuple[At, JsonObject]]:
    """Yield every subschema that is an object, the root first, with its path."""
    if not isinstance(schema, dict):
        return
    yield at, schema
    for below, subschema in subschemas(schema):
        yield from walk(subschema, at + below)


def patterns(definition: object) -> Iterator[tuple[At, str]]:
    """Yield every regular expression in a schema, with its path."""
    for at, schema in walk(definition):
        if isinstance(schema.get("pattern"), str):
            yield (*at, "pattern"), schema["pattern"]
        for name in schema.get("patternProperties", {}):
            yield (*at, "patternProperties", name), name
