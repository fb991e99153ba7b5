"""Mixes a schema's defaults into a document, the same way whatever the order of its keys.

In this order: ``$ref``, ``allOf``, ``properties`` (a missing one takes its own default, or that of the schema it
refers to), the other subschemas of objects and arrays, ``if``/``then``/``else``, and of ``oneOf`` and ``anyOf`` only
the branch that fits: each is tried on a copy. ``not``, ``contains`` and dynamic references fill nothing. A missing
object appears only if it has a default itself.
"""

import re
from typing import Any

from jsonschema.protocols import Validator

from lmaps.errors import ValidationFailed
from lmaps.model.schema import backend, drafts, references
from lmaps.model.schema.compiled import copied

_NONE = object()

MAX_DEPTH = 256
"""Schemas that one value may lie within."""
HOPS = 32
"""References that are followed in search of one default."""


class Filler:
    """Fills documents by one schema."""

    def __init__(self, definition: Any, validator: Validator) -> None:
        self._definition = definition
        self._validator = validator
        self._refs_alone = drafts.name(definition) in drafts.OLD
        self._resolver = backend.resolver(definition)

    def fill(self, document: Any) -> Any:
        """A deep copy of ``document`` with the defaults in it."""
        filled = copied(document)
        self.fill_in_place(filled)
        return filled

    def fill_part(self, schema: Any, resolver: Any, value: Any) -> Any:
        """A deep copy of ``value`` filled by ``schema``, a part of the whole in which ``resolver`` holds."""
        filled = copied(value)
        self._fill(schema, resolver, filled, set())
        return filled

    def fill_in_place(self, document: Any) -> None:
        """Mix the defaults into ``document`` itself."""
        self._fill(self._definition, self._resolver, document, set())

    def _fill(self, schema: Any, resolver: Any, value: Any, inside: set[tuple[int, int]]) -> None:
        """``inside`` are the pairs of schema and value being filled: a reference cannot lead round for ever."""
        if not isinstance(schema, dict) or not isinstance(value, dict | list) or (id(schema), id(value)) in inside:
            return
        if len(inside) > MAX_DEPTH:
            raise ValidationFailed("cannot mix in the defaults: they never end, one leads to itself")
        inside = inside | {(id(schema), id(value))}
        resolver = references.enter(resolver, schema, self._definition) if schema is not self._definition else resolver
        if isinstance(schema.get("$ref"), str):
            target = resolver.lookup(schema["$ref"])
            self._fill(target.contents, target.resolver, value, inside)
            if self._refs_alone:
                return
        for part in schema.get("allOf", ()):
            self._fill(part, resolver, value, inside)
        if isinstance(value, dict):
            self._fill_object(schema, resolver, value, inside)
        else:
            self._fill_array(schema, resolver, value, inside)
        self._fill_condition(schema, resolver, value, inside)
        self._fill_branch(schema, resolver, value, inside)

    def _fill_object(self, schema: dict[str, Any], resolver: Any, value: dict[str, Any], inside: Any) -> None:
        properties = schema.get("properties", {})
        patterns = schema.get("patternProperties", {})
        for name, below in properties.items():
            if name not in value:
                default = self._default(below, resolver)
                if default is not _NONE:
                    value[name] = copied(default)
        for name, part in list(value.items()):
            if not isinstance(part, dict | list):
                continue
            covering = [properties[name]] if name in properties else []
            covering += [below for pattern, below in patterns.items() if re.search(pattern, name)]
            for below in covering or [schema.get("additionalProperties")]:
                self._fill(below, resolver, part, inside)
        for trigger, below in {**schema.get("dependencies", {}), **schema.get("dependentSchemas", {})}.items():
            if trigger in value:
                self._fill(below, resolver, value, inside)

    def _fill_array(self, schema: dict[str, Any], resolver: Any, value: list[Any], inside: Any) -> None:
        items = schema.get("items")
        first = schema.get("prefixItems", items if isinstance(items, list) else [])
        rest = schema.get("additionalItems") if isinstance(items, list) else items
        for index, part in enumerate(value):
            self._fill(first[index] if index < len(first) else rest, resolver, part, inside)

    def _fill_condition(self, schema: dict[str, Any], resolver: Any, value: Any, inside: Any) -> None:
        if "if" in schema:
            branch = "then" if self._fits(schema["if"], resolver, value) else "else"
            self._fill(schema.get(branch), resolver, value, inside)

    def _fill_branch(self, schema: dict[str, Any], resolver: Any, value: Any, inside: Any) -> None:
        for keyword in ("oneOf", "anyOf"):
            fitting = []
            for branch in schema.get(keyword, ()):
                trial = copied(value)
                self._fill(branch, resolver, trial, inside)
                if self._fits(branch, resolver, trial):
                    fitting.append(trial)
            if fitting and (keyword == "anyOf" or len(fitting) == 1):
                _replace(value, fitting[0])

    def _fits(self, schema: Any, resolver: Any, value: Any) -> bool:
        return self._validator.evolve(schema=schema, _resolver=resolver).is_valid(value)

    def _default(self, schema: Any, resolver: Any) -> Any:
        """The default of ``schema``, or of the schema that it refers to."""
        for _ in range(HOPS):
            if not isinstance(schema, dict):
                return _NONE
            if "default" in schema and not (self._refs_alone and "$ref" in schema):
                return schema["default"]
            if not isinstance(schema.get("$ref"), str):
                return _NONE
            target = references.enter(resolver, schema, self._definition).lookup(schema["$ref"])
            schema, resolver = target.contents, target.resolver
        return _NONE


def _replace(value: Any, filled: Any) -> None:
    """Make ``value`` what ``filled`` is."""
    value.clear()
    if isinstance(value, dict):
        value.update(filled)
    else:
        value.extend(filled)
