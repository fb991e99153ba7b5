"""The places of a schema in which a secret can be marked: every keyword of the metaschemas that applies a schema.

`schema_keywords` reads from a draft's metaschema which keywords these are. `APPLICATORS` has a schema and documents for
each of them. Neither uses lMaPS.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]

Json = Any
Object = dict[str, Any]

DRAFTS = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "2019-09": "https://json-schema.org/draft/2019-09/schema",
    "2020-12": "https://json-schema.org/draft/2020-12/schema",
}
ALL = tuple(DRAFTS)
SINCE_6, SINCE_7, SINCE_2019, BEFORE_2020 = ALL[1:], ALL[2:], ALL[3:], ALL[:4]
_ITSELF = ({"$ref": "#"}, {"$recursiveRef": "#"}, {"$dynamicRef": "#meta"})
"""How a metaschema says that a value is a schema."""


def schema_keywords(draft: str) -> set[str]:
    """Return the keywords of a draft whose value is or contains a schema, and those of references."""
    metaschema = REGISTRY.contents(DRAFTS[draft])
    base = DRAFTS[draft].rpartition("/")[0]
    parts = [metaschema, *(REGISTRY.contents(f"{base}/{part['$ref']}") for part in metaschema.get("allOf", []))]
    return {
        name
        for part in parts
        for name, value in part["properties"].items()
        if _holds_schema(value, part) or _is_reference(name, value)
    }


def _holds_schema(value: Json, metaschema: Object) -> bool:
    if not isinstance(value, dict):
        return isinstance(value, list) and any(_holds_schema(below, metaschema) for below in value)
    if any(value.items() >= itself.items() for itself in _ITSELF):
        return True
    local = value.get("$ref", "")
    if local.startswith("#/"):
        _, section, name = local.split("/")
        return _holds_schema(metaschema[section][name], metaschema)
    return any(_holds_schema(below, metaschema) for below in value.values())


def _is_reference(name: str, value: Object) -> bool:
    return name.lower().endswith("ref") and ("uri" in json.dumps(value).lower() or value.get("type") == "string")


@dataclass(frozen=True)
class Applicator:
    """A way in which a schema applies another one to a part of a value.

    ``schema(below, shared)`` returns the schema in which ``below`` is applied; ``shared`` are the definitions at the
    root. ``value(parts)`` returns a value in which ``below`` applies to ``parts``, or to the first of them. An
    applicator that ``begins_scope`` has an ``$id``, so nothing below it can refer to the ``shared`` ones (``is_rooted``).
    """

    name: str
    keywords: tuple[str, ...]
    schema: Callable[[Object, Object], Object]
    value: Callable[[Sequence[Json]], Json] = lambda parts: parts[0]
    drafts: tuple[str, ...] = ALL
    is_rooted: bool = False
    begins_scope: bool = False
    is_unknown: bool = False
    """Whether ``below`` stands where no keyword names a schema: an ``$id`` below it means nothing."""

    def fits_around(self, below: "Applicator") -> bool:
        """Return whether a schema with ``below`` has a meaning in this one."""
        return not (self.begins_scope and below.is_rooted) and not (self.is_unknown and below.begins_scope)

    @property
    def makes_objects(self) -> bool:
        """Whether its values are objects."""
        return isinstance(self.value([0]), dict)


_KNOWN: Object = {"other": {}, "id": {}}
_ROOT = "https://unit.invalid/root"
_numbers = itertools.count()


def _deep(parts: Sequence[Json]) -> Object:
    return {"other": 1, **{f"deep{number}": part for number, part in enumerate(parts)}}


def _after_one(parts: Sequence[Json]) -> list[Json]:
    return [0, *parts]


def _named(kind: str) -> Callable[[Object, Object], Object]:
    """Return the schema whose keyword ``kind`` has the names of the values."""
    return lambda below, _: {kind: {"other": {"properties": {f"deep{number}": below for number in range(3)}}}}


def _shared(section: str) -> Callable[[Object, Object], Object]:
    """Return a reference to a definition at the root."""

    def schema(below: Object, shared: Object) -> Object:
        name = f"leaf{next(_numbers)}"
        shared.setdefault(section, {})[name] = below
        return {"$ref": f"#/{section}/{name}"}

    return schema


def _with_id(scope: str, id_keyword: str, **keywords: Json) -> Object:
    return {id_keyword: f"https://unit.invalid/{scope}{next(_numbers)}", **keywords}


def _tree(id_keyword: str, reference: str, **extra: Json) -> Callable[[Object, Object], Object]:
    """Return a schema that refers to itself."""
    return lambda below, _: _with_id(
        "tree", id_keyword, properties={"leaf": below, "next": {reference: "#"}, "id": {}}, **extra
    )


def _anchored(below: Object, shared: Object) -> Object:
    name = f"anchor{next(_numbers)}"
    shared.setdefault("$defs", {})[name] = {"allOf": [below], "$anchor": name}
    return {"$ref": f"#{name}"}


def _by_id(id_keyword: str, section: str) -> Callable[[Object, Object], Object]:
    def schema(below: Object, shared: Object) -> Object:
        part = _with_id("part", id_keyword, allOf=[below])
        shared.setdefault(section, {})[f"part{next(_numbers)}"] = part
        return {"$ref": part[id_keyword]}

    return schema


def _by_relative_id(below: Object, shared: Object) -> Object:
    shared["$id"] = _ROOT
    name = f"parts/leaf{next(_numbers)}"
    shared.setdefault("definitions", {})[f"relative{next(_numbers)}"] = {"$id": name, "allOf": [below]}
    return {"$ref": name}


def _escaped(below: Object, shared: Object) -> Object:
    number = next(_numbers)
    shared.setdefault("definitions", {})[f"a/b~c d%{number}"] = below
    return {"$ref": f"#/definitions/a~1b~0c%20d%25{number}"}


def _dynamic_as_plain(below: Object, shared: Object) -> Object:
    name = f"plain{next(_numbers)}"
    shared.setdefault("$defs", {})[name] = {"$anchor": name, "allOf": [below]}
    return {"allOf": [{"$dynamicRef": f"#{name}"}, {"$dynamicRef": f"#/$defs/{name}"}]}


def _recursive_overridden(below: Object, _: Object) -> Object:
    """Return two scopes; the recursive reference of the inner one means the outer one."""
    inner = _with_id("inner", "$id", **{"$recursiveAnchor": True, "properties": {"next": {"$recursiveRef": "#"}}})
    properties = {"leaf": below, "next": inner, "id": {}}
    return _with_id("outer", "$id", **{"$recursiveAnchor": True, "properties": properties})


def _dynamic(below: Object, shared: Object) -> Object:
    name = f"node{next(_numbers)}"
    shared.setdefault("$defs", {})[name] = {"$dynamicAnchor": name, "allOf": [below]}
    return {"$dynamicRef": f"#{name}"}


def _overridden(below: Object, shared: Object) -> Object:
    """Return a reference into another scope whose dynamic reference comes back to the outermost anchor."""
    name = f"node{next(_numbers)}"
    shared["$id"] = _ROOT  # without one jsonschema does not look for anchors there
    scope = _with_id("scope", "$id", **{"$defs": {"default": {"$dynamicAnchor": name}}, "$dynamicRef": f"#{name}"})
    shared.setdefault("$defs", {}).update(
        {name: {"$dynamicAnchor": name, "allOf": [below]}, f"scope-{name}": scope},
    )
    return {"$ref": scope["$id"]}


def _next(parts: Sequence[Json]) -> Object:
    return {"next": {"next": {"leaf": parts[0]}}}


APPLICATORS = (
    Applicator(
        "properties",
        ("properties",),
        lambda below, _: {"properties": {f"deep{number}": below for number in range(3)}},
        _deep,
    ),
    Applicator(
        "patternProperties", ("patternProperties",), lambda below, _: {"patternProperties": {"^de": below}}, _deep
    ),
    Applicator(
        "additionalProperties",
        ("additionalProperties",),
        lambda below, _: {"properties": _KNOWN, "additionalProperties": below},
        _deep,
    ),
    Applicator(
        "unevaluatedProperties",
        ("unevaluatedProperties",),
        lambda below, _: {"allOf": [{"properties": _KNOWN}], "unevaluatedProperties": below},
        _deep,
        SINCE_2019,
    ),
    Applicator("items", ("items",), lambda below, _: {"items": below}, lambda parts: [*parts]),
    Applicator(
        "items, a list", ("items",), lambda below, _: {"items": [{}, below]}, lambda parts: [0, parts[0]], BEFORE_2020
    ),
    Applicator(
        "additionalItems",
        ("additionalItems",),
        lambda below, _: {"items": [{}], "additionalItems": below},
        _after_one,
        BEFORE_2020,
    ),
    Applicator(
        "prefixItems",
        ("prefixItems",),
        lambda below, _: {"prefixItems": [{}, below]},
        lambda parts: [0, parts[0]],
        ALL[4:],
    ),
    Applicator(
        "items after prefixItems",
        ("items", "prefixItems"),
        lambda below, _: {"prefixItems": [{}], "items": below},
        _after_one,
        ALL[4:],
    ),
    Applicator(
        "unevaluatedItems",
        ("unevaluatedItems",),
        lambda below, _: {"prefixItems": [{}], "unevaluatedItems": below},
        _after_one,
        ALL[4:],
    ),
    Applicator(
        "unevaluatedItems after contains",
        ("unevaluatedItems", "contains"),
        lambda below, _: {"contains": {"const": 0}, "unevaluatedItems": below},
        _after_one,
        ALL[4:],
    ),
    Applicator(
        "unevaluatedItems after items",
        ("unevaluatedItems",),
        lambda below, _: {"allOf": [{"items": [{}]}], "unevaluatedItems": below},
        _after_one,
        ALL[3:4],
    ),
    Applicator(
        "items beside prefixItems, which is unknown",
        ("items",),
        lambda below, _: {"prefixItems": [{}, {}], "items": below},
        lambda parts: [*parts],
        BEFORE_2020,
    ),
    Applicator(
        "items, a list, beside prefixItems, which is unknown",
        ("items",),
        lambda below, _: {"prefixItems": [{}, {}], "items": [{}, below]},
        lambda parts: [0, parts[0]],
        BEFORE_2020,
    ),
    Applicator("contains", ("contains",), lambda below, _: {"contains": below}, _after_one, SINCE_6),
    Applicator("allOf", ("allOf",), lambda below, _: {"allOf": [{}, below]}),
    Applicator("anyOf", ("anyOf",), lambda below, _: {"anyOf": [{"type": "null"}, below]}),
    Applicator("anyOf, beside", ("anyOf",), lambda below, _: {"anyOf": [{}, {"allOf": [below, {"type": "null"}]}]}),
    Applicator("oneOf", ("oneOf",), lambda below, _: {"oneOf": [{"type": "null"}, below]}),
    Applicator("not", ("not",), lambda below, _: {"not": {"allOf": [below, {"type": "null"}]}}),
    Applicator("if", ("if",), lambda below, _: {"if": below}, drafts=SINCE_7),
    Applicator("if, with branches", ("if",), lambda below, _: {"if": below, "then": {}, "else": {}}, drafts=SINCE_7),
    Applicator("then", ("then",), lambda below, _: {"if": {}, "then": below}, drafts=SINCE_7),
    Applicator("else", ("else",), lambda below, _: {"if": {"type": "null"}, "else": below}, drafts=SINCE_7),
    Applicator("dependentSchemas", ("dependentSchemas",), _named("dependentSchemas"), _deep, SINCE_2019),
    Applicator("dependencies", ("dependencies",), _named("dependencies"), _deep),
    Applicator("$ref", ("$ref", "definitions"), _shared("definitions"), is_rooted=True),
    Applicator("$ref to $defs", ("$ref", "$defs"), _shared("$defs"), drafts=SINCE_2019, is_rooted=True),
    Applicator("$ref to any place", ("$ref",), _shared("shapes"), is_rooted=True, is_unknown=True),
    Applicator("$ref to an anchor", ("$ref",), _anchored, drafts=SINCE_2019, is_rooted=True),
    Applicator(
        "$ref to an id", ("$ref",), _by_id("id", "definitions"), drafts=ALL[:1], is_rooted=True, begins_scope=True
    ),
    Applicator(
        "$ref to an $id", ("$ref",), _by_id("$id", "definitions"), drafts=SINCE_6, is_rooted=True, begins_scope=True
    ),
    Applicator("$ref to itself, by id", ("$ref",), _tree("id", "$ref"), _next, ALL[:1], begins_scope=True),
    Applicator("$ref to itself", ("$ref",), _tree("$id", "$ref"), _next, SINCE_6, begins_scope=True),
    Applicator(
        "$recursiveRef",
        ("$recursiveRef",),
        _tree("$id", "$recursiveRef", **{"$recursiveAnchor": True}),
        _next,
        ALL[3:4],
        begins_scope=True,
    ),
    Applicator("$ref to a relative $id", ("$ref",), _by_relative_id, drafts=SINCE_6, is_rooted=True, begins_scope=True),
    Applicator("$ref with escapes", ("$ref",), _escaped, is_rooted=True),
    Applicator(
        "$recursiveRef from another scope",
        ("$recursiveRef",),
        _recursive_overridden,
        _next,
        ALL[3:4],
        begins_scope=True,
    ),
    Applicator(
        "$dynamicRef to what is not dynamic", ("$dynamicRef",), _dynamic_as_plain, drafts=ALL[4:], is_rooted=True
    ),
    Applicator("$dynamicRef", ("$dynamicRef",), _dynamic, drafts=ALL[4:], is_rooted=True),
    Applicator("$dynamicRef from another scope", ("$dynamicRef",), _overridden, drafts=ALL[4:], is_rooted=True),
)
TRYING = {"not", "if", "if, with branches", "anyOf, beside", "contains", "$recursiveRef from another scope"}
"""Applicators below which nothing has to fit, or jsonschema does not look (the last one). ``dependencies`` is another
one since 2019-09, which only names it."""
REFUSED = {
    "propertyNames": (SINCE_6, lambda below: {"propertyNames": below}),
    "contentSchema": (SINCE_2019, lambda below: {"contentMediaType": "application/json", "contentSchema": below}),
}
"""Keywords whose schemas describe no value of the document: a mark there refuses the unit."""
DEAD = {"2020-12": {"$recursiveRef"}}
"""Keywords that a metaschema only keeps from an older draft: they apply nothing."""


@dataclass(frozen=True)
class Place:
    """Where a secret is marked: the ``applicators`` from the outermost to the innermost, in one draft.

    The schema stands at the property ``data`` of the document, or applies to the document itself (``at_root``).
    """

    draft: str
    applicators: tuple[Applicator, ...]
    at_root: bool = False

    def __str__(self) -> str:
        where = "the document" if self.at_root else "data"
        return f"{self.draft}: {' > '.join(part.name for part in self.applicators)} of {where}"

    @property
    def only_tries(self) -> bool:
        """Whether a rule below these applicators may refuse nothing."""
        old = self.draft in SINCE_2019
        return any(part.name in TRYING or (old and part.name == "dependencies") for part in self.applicators)

    def params(self, leaf: Object, beside: Object | None = None) -> Object:
        """Return the schema of an instance with ``leaf`` at the place; ``beside`` is a rule where the place begins."""
        shared: Object = {}
        schema = leaf
        for applicator in reversed(self.applicators):
            schema = applicator.schema(schema, shared)
        if beside is not None:
            schema = {"allOf": [schema, beside]}
        params: Object = {"$schema": DRAFTS[self.draft], "type": "object", "required": ["id"], **shared}
        properties: Object = {"id": {"type": "string"}, "note": {}, "other": {}}
        if self.at_root:
            return params | {"properties": properties, "allOf": [schema]}
        return params | {"properties": properties | {"data": schema}}

    def document(self, name: str, values: Sequence[Json]) -> Object:
        """Return the document ``name`` with ``values`` at the place, or the first of them."""
        *outer, inner = self.applicators
        parts = [inner.value(values)] if outer else []
        for applicator in reversed(outer):
            parts = [applicator.value([*parts])]
        [value] = parts or [inner.value(values)]
        return {"id": name, **(value if self.at_root else {"data": value})}


def places(depth: int = 1) -> Iterator[Place]:
    """Yield every place at which so many applicators lie above the mark."""
    for draft in DRAFTS:
        known = [applicator for applicator in APPLICATORS if draft in applicator.drafts]
        for chain in itertools.product(known, repeat=depth):
            if not all(outer.fits_around(inner) for outer, inner in itertools.combinations(chain, 2)):
                continue
            yield Place(draft, chain)
            shape = next((part for part in chain if part.value([0]) != 0), None)
            if shape is not None and shape.makes_objects:
                yield Place(draft, chain, at_root=True)
