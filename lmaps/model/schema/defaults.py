"""Applies a schema's defaults to a document, in an order that does not depend on the order of the schema's keys.

The order is: ``$ref``, ``allOf``, ``properties`` (a missing one takes its own default, or that of the schema it refers
to), the other subschemas of objects and arrays, ``if``/``then``/``else``, and of ``oneOf`` and ``anyOf`` only the
branch that fits: each is tried on a copy. ``not``, ``contains``, ``unevaluatedProperties``, ``unevaluatedItems`` and
dynamic references apply nothing. A missing object is added only if it has a default itself.
"""

from typing import Any

from jsonschema.protocols import Validator

from lmaps.errors import ValidationFailed
from lmaps.model.schema import backend, drafts, references
from lmaps.model.schema.compiled import copied
from lmaps.util.jsonio import JsonObject

_NO_DEFAULT = object()
_APPLY_NOTHING = ("contains", *drafts.UNEVALUATED)

MAX_DEPTH = 256
"""Levels of schemas around one value; a schema whose default leads to itself has no end."""
MAX_HOPS = 32
"""References that are followed in search of one default."""


class Defaults:
    """The defaults of one schema."""

    def __init__(self, definition: object, validator: Validator) -> None:
        self._definition = definition
        self._validator = validator
        self._draft = drafts.name(definition)
        self._ref_overrides = self._draft in drafts.OLD
        self._apply_nothing = {*_APPLY_NOTHING, *(() if self._draft == drafts.DEFAULT else ("prefixItems",))}
        self._resolver = backend.resolver(definition)

    def apply(self, document: object) -> object:
        """Return a deep copy of ``document`` with the defaults."""
        filled = copied(document)
        self.apply_in_place(filled)
        return filled

    def apply_part(self, schema: object, resolver: object, value: object) -> Any:
        """Return a deep copy of ``value`` with the defaults of a subschema; ``resolver`` is the one in its scope."""
        filled = copied(value)
        self._fill(schema, resolver, filled, set())
        return filled

    def apply_in_place(self, document: object) -> None:
        """Add the defaults to ``document`` itself."""
        self._fill(self._definition, self._resolver, document, set())

    def _fill(self, schema: object, resolver: Any, value: Any, inside: set[tuple[int, int]]) -> None:
        # A pair of schema and value that is being filled already was reached by a reference to itself.
        if not isinstance(schema, dict) or not isinstance(value, dict | list) or (id(schema), id(value)) in inside:
            return
        if len(inside) > MAX_DEPTH:
            raise ValidationFailed("cannot fill in the defaults: they never end, as one leads to itself")
        inside = inside | {(id(schema), id(value))}
        if isinstance(schema.get("$ref"), str):
            target = resolver.lookup(schema["$ref"])
            self._fill(target.contents, target.resolver, value, inside)
            if self._ref_overrides:
                return
        for part in schema.get("allOf", ()):
            self._fill_below(part, resolver, value, inside)
        if isinstance(value, dict):
            self._fill_object(schema, resolver, value, inside)
        else:
            self._fill_parts(schema, resolver, value, inside)
        self._fill_condition(schema, resolver, value, inside)
        self._fill_branch(schema, resolver, value, inside)

    def _fill_below(self, schema: object, resolver: object, value: object, inside: Any) -> None:
        """Fill by a subschema, given with the resolver around it."""
        self._fill(schema, references.enter(resolver, schema, self._definition), value, inside)

    def _fill_object(self, schema: JsonObject, resolver: Any, value: JsonObject, inside: Any) -> None:
        for name, below in schema.get("properties", {}).items():
            if name not in value:
                default = self._default(below, resolver)
                if default is not _NO_DEFAULT:
                    value[name] = copied(default)
        self._fill_parts(schema, resolver, value, inside)
        for trigger, below in {**schema.get("dependencies", {}), **schema.get("dependentSchemas", {})}.items():
            if trigger in value:
                self._fill_below(below, resolver, value, inside)

    def _fill_parts(self, schema: JsonObject, resolver: Any, value: Any, inside: Any) -> None:
        parts = list(drafts.on_parts(schema, value, self._draft))  # a list, as filling adds properties
        for key, keyword, below in parts:
            if keyword not in self._apply_nothing:
                self._fill_below(below, resolver, value[key], inside)

    def _fill_condition(self, schema: JsonObject, resolver: object, value: object, inside: Any) -> None:
        if "if" in schema:
            branch = "then" if self._fits(schema["if"], resolver, value) else "else"
            self._fill_below(schema.get(branch), resolver, value, inside)

    def _fill_branch(self, schema: JsonObject, resolver: Any, value: Any, inside: Any) -> None:
        for keyword in ("oneOf", "anyOf"):
            fitting = []
            for branch in schema.get(keyword, ()):
                trial = copied(value)  # a branch that does not fit must leave nothing behind
                self._fill_below(branch, resolver, trial, inside)
                if self._fits(branch, resolver, trial):
                    fitting.append(trial)
            if fitting and (keyword == "anyOf" or len(fitting) == 1):
                _replace(value, fitting[0])

    def _fits(self, schema: Any, resolver: Any, value: Any) -> bool:
        scope = references.enter(resolver, schema, self._definition)
        return self._validator.evolve(schema=schema, _resolver=scope).is_valid(value)

    def _default(self, schema: object, resolver: Any) -> object:
        """Return the default of ``schema``, or of the schema that it refers to; else `_NO_DEFAULT`."""
        resolver = references.enter(resolver, schema, self._definition)
        for _ in range(MAX_HOPS):
            if not isinstance(schema, dict):
                return _NO_DEFAULT
            if "default" in schema and not (self._ref_overrides and "$ref" in schema):
                return schema["default"]
            if not isinstance(schema.get("$ref"), str):
                return _NO_DEFAULT
            target = resolver.lookup(schema["$ref"])
            schema, resolver = target.contents, target.resolver
        return _NO_DEFAULT


def _replace(value: Any, filled: Any) -> None:
    """Replace the content of ``value`` by that of ``filled``: the document around it refers to ``value``."""
    value.clear()
    if isinstance(value, dict):
        value.update(filled)
    else:
        value.extend(filled)
