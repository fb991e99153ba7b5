"""The drafts of JSON Schema: the one that a schema is written in, and the keywords by which all drafts apply schemas.

Every walk over a schema takes the subschemas from here: `subschemas` has all of them, `on_value` those that describe
the same value as the schema around them, `on_parts` those that describe a part of a value.
"""

import re
from collections.abc import Iterator
from typing import Any

from lmaps.util.jsonio import JsonObject

DRAFT4 = "http://json-schema.org/draft-04/schema"
DEFAULT = "https://json-schema.org/draft/2020-12/schema"
OLD = (DRAFT4, "http://json-schema.org/draft-06/schema", "http://json-schema.org/draft-07/schema")
"""The drafts that ignore the keywords beside a ``$ref``."""
NAMES = (*OLD, "https://json-schema.org/draft/2019-09/schema", DEFAULT)
"""The ``$schema`` of each supported draft."""
_SPELLED = {name.partition(":")[2]: name for name in NAMES}

At = tuple[str | int, ...]

_MAPPINGS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_SINGLES = tuple(
    "items additionalItems additionalProperties contains not if then else propertyNames "
    "unevaluatedItems unevaluatedProperties contentSchema".split()
)
ON_VALUE = frozenset("allOf anyOf oneOf not if then else dependentSchemas dependencies".split())
"""Keywords whose schemas may describe the value that the schema around them describes."""
OUTSIDE = ("propertyNames", "contentSchema")
"""Keywords whose schemas describe no value of a document: a name, or what a text encodes."""
UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
"""Keywords whose schemas apply to parts that nothing else applies to, which depends on the whole value."""


def name(definition: object) -> str:
    """Return the schema's ``$schema``, that of 2020-12 where it has none, and "" where it is no string.

    It is as `NAMES` spells it: many schemas have https where a draft has http.
    """
    value = definition.get("$schema", DEFAULT) if isinstance(definition, dict) else DEFAULT
    if not isinstance(value, str):
        return ""
    value = value.removesuffix("#")
    scheme, _, rest = value.partition(":")
    return _SPELLED.get(rest, value) if scheme in ("http", "https") else value


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


def on_value(schema: JsonObject) -> Iterator[object]:
    """Yield the subschemas that may describe the value that ``schema`` describes."""
    return (below for step, below in subschemas(schema) if step[0] in ON_VALUE)


def on_parts(schema: JsonObject, value: object, draft: str | None) -> Iterator[tuple[Any, str, object]]:
    """Yield each subschema that may describe a part of ``value``: the part's key, the keyword, the subschema.

    ``draft`` is the `name` of the schema's draft, None if it may be any. There may be some too many: keywords that the
    draft does not know are among them.
    """
    if isinstance(value, dict):
        yield from _on_properties(schema, value)
    elif isinstance(value, list):
        yield from _on_items(schema, value, draft)


def _on_properties(schema: JsonObject, value: JsonObject) -> Iterator[tuple[str, str, object]]:
    properties, patterns = (_mapping(schema, keyword) for keyword in ("properties", "patternProperties"))
    others = [
        (keyword, schema[keyword]) for keyword in ("additionalProperties", "unevaluatedProperties") if keyword in schema
    ]
    for name in value:
        own = [("properties", properties[name])] if name in properties else []
        own += [("patternProperties", below) for pattern, below in patterns.items() if re.search(pattern, name)]
        yield from ((name, *pair) for pair in own or others)


def _on_items(schema: JsonObject, value: list[Any], draft: str | None) -> Iterator[tuple[int, str, object]]:
    items, prefix = schema.get("items"), schema.get("prefixItems")
    lists = [(keyword, part) for keyword, part in (("prefixItems", prefix), ("items", items)) if isinstance(part, list)]
    # To an older draft prefixItems means nothing: it keeps no item from the other keywords.
    covering = len(prefix) if isinstance(prefix, list) and draft == DEFAULT else 0
    covering = max(covering, len(items)) if isinstance(items, list) and draft is not None else covering
    others = [("items", items)] if isinstance(items, dict) else []
    others += [(keyword, schema[keyword]) for keyword in ("additionalItems", "unevaluatedItems") if keyword in schema]
    for index in range(len(value)):
        yield from ((index, keyword, part[index]) for keyword, part in lists if index < len(part))
        if index >= covering:
            yield from ((index, *pair) for pair in others)
        if "contains" in schema:
            yield index, "contains", schema["contains"]


def _mapping(schema: JsonObject, keyword: str) -> JsonObject:
    """Return the schemas of a keyword by name; none where a draft that does not know it let something else through."""
    value = schema.get(keyword)
    return value if isinstance(value, dict) else {}


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
