"""The names that a document's properties may have, as far as a schema says for certain.

The answer may name too much, never too little: whatever is not understood lets every name in.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lmaps.model.schema import drafts, references
from lmaps.model.schema.patterns import beginnings
from lmaps.util.jsonio import JsonObject

_OPENING = ("additionalProperties", "unevaluatedProperties")
_SINCE = {"propertyNames": 1, "const": 1, "if": 2, "unevaluatedProperties": 3}
"""The first draft, by its index in `drafts.NAMES`, in which a keyword has a meaning."""
_EVALUATING = drafts.ON_VALUE - {"not", "dependencies"}
"""Keywords whose subschemas describe the same object, and whose properties count as evaluated."""


@dataclass(frozen=True, slots=True)
class Names:
    """Every name that a property may have: it is in ``named``, or begins with one of ``beginnings`` ("" is any name).

    Each comes with the path of the keyword that lets it in; the path of a schema stands for its missing keywords.
    """

    named: Mapping[str, drafts.At] = field(default_factory=dict)
    beginnings: Mapping[str, drafts.At] = field(default_factory=dict)

    def __or__(self, other: "Names") -> "Names":
        return Names({**other.named, **self.named}, {**other.beginnings, **self.beginnings})

    def __and__(self, other: "Names") -> "Names":
        """Return the names that both may have."""
        named = {name: at for name, at in self.named.items() if other.may_have(name)}
        named |= {name: at for name, at in other.named.items() if name not in named and self.may_have(name)}
        common: dict[str, drafts.At] = {}
        for mine, here in self.beginnings.items():
            for theirs, there in other.beginnings.items():
                if mine.startswith(theirs):
                    common.setdefault(mine, there if mine == theirs and len(there) > len(here) else here)
                elif theirs.startswith(mine):
                    common.setdefault(theirs, there)
        return Names(named, common)

    def may_have(self, name: str) -> bool:
        """Return whether a property may have this name."""
        return name in self.named or name.startswith(tuple(self.beginnings))


_NONE = Names()


def property_names(definition: object) -> Names:
    """Return the names that the properties of an object may have if it fits ``definition``, which has no faults."""
    finder = _Finder(definition)
    return finder.admitted(definition, finder.resolver, ())


def _any(at: drafts.At) -> Names:
    return Names(beginnings={"": at})


class _Finder:
    """Finds the names in one schema."""

    def __init__(self, definition: object) -> None:
        self._definition = definition
        self.resolver = references.resolver(definition)
        self._references = references.keywords(definition) if self.resolver is not None else ()
        self._anchors = references.dynamic_anchors(definition) if self.resolver is not None else {}
        self._draft = drafts.NAMES.index(drafts.name(definition))
        self._places = {id(schema): at for at, schema in drafts.walk(definition)}
        self._admitted_names: dict[int, Names] = {}

    def admitted(self, schema: object, resolver: object, at: drafts.At) -> Names:
        """Return the names in an object that fits ``schema``, which is at ``at``."""
        if schema is False:
            return _NONE
        if not isinstance(schema, dict):
            return _any(at)
        if id(schema) not in self._admitted_names:
            self._admitted_names[id(schema)] = _any(at)  # until it is known: a schema may lead back to itself
            self._admitted_names[id(schema)] = self._admitted(schema, self._enter(resolver, schema), at)
        return self._admitted_names[id(schema)]

    def _admitted(self, schema: JsonObject, resolver: object, at: drafts.At) -> Names:
        opened = [word for word in _OPENING if schema.get(word, False) is not False]
        names = _any((*at, *opened[:1]))
        for step in self._restrictions(schema, resolver, at):
            names &= step
        return names

    def _restrictions(self, schema: JsonObject, resolver: object, at: drafts.At) -> Iterator[Names]:
        """Yield, for each keyword that restricts the names, those that it lets through."""
        for keyword in self._references:
            if isinstance(schema.get(keyword), str):
                yield _union(self.admitted(*target) for target in self._targets(schema, keyword, resolver, at))
        if "$ref" in schema and drafts.NAMES[self._draft] in drafts.OLD:
            return  # these drafts ignore the keywords beside it
        types = schema.get("type", "object")
        if "object" not in (types if isinstance(types, list) else [types]):
            yield _NONE
        if schema.get("additionalProperties") is False:
            yield self._own(schema, at)
        if schema.get("unevaluatedProperties") is False and self._knows("unevaluatedProperties"):
            yield self._evaluated(schema, resolver, at, set())
        if "propertyNames" in schema and self._knows("propertyNames"):
            yield self._from_property_names(schema["propertyNames"], (*at, "propertyNames"))
        for index, part in enumerate(schema.get("allOf", ())):
            yield self.admitted(part, resolver, (*at, "allOf", index))
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                branches = enumerate(schema[keyword])
                yield _union(self.admitted(part, resolver, (*at, keyword, index)) for index, part in branches)
        if "if" in schema and self._knows("if"):
            condition, then, otherwise = (
                self.admitted(schema.get(keyword, True), resolver, (*at, keyword)) for keyword in ("if", "then", "else")
            )
            yield (condition & then) | otherwise

    def _own(self, schema: JsonObject, at: drafts.At) -> Names:
        """Return the names that ``properties`` and ``patternProperties`` of ``schema`` itself know."""
        properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        return Names(
            {name: (*at, "properties", name) for name, below in properties.items() if below is not False},
            {
                beginning: (*at, "patternProperties", pattern)
                for pattern, below in patterns.items()
                if below is not False
                for beginning in beginnings(pattern)
            },
        )

    def _evaluated(self, schema: object, resolver: object, at: drafts.At, visited: set[int]) -> Names:
        """Return the names that ``unevaluatedProperties``, beside or around ``schema``, regards as known."""
        if not isinstance(schema, dict) or id(schema) in visited:
            return _NONE
        if visited and not {"$id", "id"}.isdisjoint(schema):
            return _any(at)  # jsonschema looks its references up outside of the scope that begins here
        visited.add(id(schema))
        names = self._own(schema, at)
        for keyword in _OPENING:
            if schema.get(keyword, False) is not False:
                names |= _any((*at, keyword))
        for keyword in self._references:
            if isinstance(schema.get(keyword), str):
                for target in self._targets(schema, keyword, resolver, at):
                    names |= self._evaluated(*target, visited)
        for step, part in drafts.subschemas(schema):
            if step[0] in _EVALUATING:
                names |= self._evaluated(part, resolver, at + step, visited)
        return names

    def _from_property_names(self, schema: Any, at: drafts.At) -> Names:
        if schema is False:
            return _NONE
        if not isinstance(schema, dict) or "$ref" in schema:
            return _any(at)
        if "const" in schema:
            return Names({name: (*at, "const") for name in [schema["const"]] if isinstance(name, str)})
        if "enum" in schema:
            return Names({name: (*at, "enum") for name in schema["enum"] if isinstance(name, str)})
        if "pattern" not in schema:
            return _any(at)
        return Names(beginnings=dict.fromkeys(beginnings(schema["pattern"]), (*at, "pattern")))

    def _targets(
        self, schema: JsonObject, keyword: str, resolver: Any, at: drafts.At
    ) -> Iterator[tuple[object, object, drafts.At]]:
        """Yield each schema that a reference may lead to, with the resolver there and its place."""
        for target in references.targets(schema, resolver, (keyword,), self._anchors):
            contents, scope = target or (True, resolver)
            yield contents, scope, self._places.get(id(contents), (*at, keyword))

    def _knows(self, keyword: str) -> bool:
        return self._draft >= _SINCE[keyword]

    def _enter(self, resolver: object, schema: JsonObject) -> object:
        return resolver if schema is self._definition else references.enter(resolver, schema, self._definition)


def _union(several: Iterator[Names]) -> Names:
    union = _NONE
    for names in several:
        union |= names
    return union
