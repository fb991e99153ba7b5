"""Secrets: which values of a document a schema marks (``writeOnly`` or ``x-lmaps-secret``), and how they are masked.

Whatever branch of ``oneOf`` and its like marks a value, it is masked: rather too much than too little.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from lmaps.model.diff import MISSING, Difference, Path, changed, leaves, look_up
from lmaps.model.schema import drafts, references
from lmaps.model.schema.messages import is_secret

MASK = {"$secret": "set"}
"""What stands for a secret value."""
CHANGED = {"$secret": "changed"}
"""What stands in a difference for the new value of a secret."""
HIDDEN = "(secret)"
"""What stands for one in text."""
SHORTEST = 6
"""Characters of a secret that is looked for in text: shorter ones would hide half of it."""

_SAME_VALUE = ("allOf", "anyOf", "oneOf")
_BRANCHES = ("if", "then", "else")


class Secrets:
    """The secrets of one schema."""

    def __init__(self, definition: Any) -> None:
        self._definition = definition
        self._resolver = references.resolver(definition)

    @cached_property
    def any(self) -> bool:
        """Whether the schema marks anything."""
        return any(is_secret(schema) for _, schema in drafts.walk(self._definition))

    def paths(self, document: Any) -> frozenset[Path]:
        """Where the secret values of ``document`` stand."""
        if not self.any:
            return frozenset()
        return frozenset(
            path for path in self._find(self._definition, self._resolver, document, (), frozenset()) if path
        )

    def masked(self, document: Any) -> Any:
        """``document`` with its secret values masked."""
        paths = self.paths(document)
        return _replaced(document, (), paths) if paths else document

    def unmasked(self, document: Any, stored: Any) -> Any:
        """``document`` with each mask replaced by what ``stored`` has there; a mask stays where that has nothing."""
        masks = [path for path in self.paths(document) if look_up(document, path) == MASK]
        known = [Difference(path, MASK, look_up(stored, path)) for path in masks]
        return changed(document, [each for each in known if each.after is not MISSING])

    def still_masked(self, document: Any) -> list[Path]:
        """Where ``document`` has a mask instead of a secret."""
        if not self.any:
            return []
        return sorted((path for path in self.paths(document) if look_up(document, path) == MASK), key=str)

    def values(self, document: Any) -> Iterator[Any]:
        """The secret values of ``document``."""
        for path in self.paths(document):
            value = document
            for key in path:
                value = value[key]
            yield value

    def differences(self, found: Iterable[Difference], before: Any, after: Any) -> Iterator[Difference]:
        """``found``, which is how ``before`` differs from ``after``, with every secret masked."""
        paths = self.paths(before) | self.paths(after)
        told: set[Path] = set()
        for each in found:
            above = next((path for path in paths if each.path[: len(path)] == path), None)
            if above is None:
                below = {path[len(each.path) :] for path in paths if path[: len(each.path)] == each.path}
                yield each._replace(before=_replaced(each.before, (), below), after=_replaced(each.after, (), below))
            elif above not in told:
                told.add(above)
                yield _hidden(above, each)

    def _find(
        self, schema: Any, resolver: Any, value: Any, at: Path, inside: frozenset[tuple[int, int]]
    ) -> Iterator[Path]:
        if not isinstance(schema, dict) or (id(schema), id(value)) in inside:
            return
        if is_secret(schema) and at:
            yield at
            return
        inside = inside | {(id(schema), id(value))}
        resolver = references.enter(resolver, schema, self._definition) if at else resolver
        if isinstance(schema.get("$ref"), str):
            target = resolver.lookup(schema["$ref"])
            yield from self._find(target.contents, target.resolver, value, at, inside)
        parts = [part for keyword in _SAME_VALUE for part in schema.get(keyword, ())]
        parts += [schema.get(keyword) for keyword in _BRANCHES]
        parts += [*schema.get("dependentSchemas", {}).values(), *schema.get("dependencies", {}).values()]
        for part in parts:
            yield from self._find(part, resolver, value, at, inside)
        for key, below in _below(schema, value):
            yield from self._find(below, resolver, value[key], (*at, key), inside)


def _below(schema: dict[str, Any], value: Any) -> Iterator[tuple[Any, Any]]:
    """The parts of ``value``, each with the schemas that may hold for it."""
    if isinstance(value, dict):
        patterns = schema.get("patternProperties", {})
        for name in value:
            yield name, schema.get("properties", {}).get(name)
            yield from ((name, below) for pattern, below in patterns.items() if re.search(pattern, name))
            yield name, schema.get("additionalProperties")
            yield name, schema.get("unevaluatedProperties")
    elif isinstance(value, list):
        items = schema.get("items")
        first = schema.get("prefixItems", items if isinstance(items, list) else [])
        for index in range(len(value)):
            yield index, first[index] if index < len(first) else None
            yield index, items if isinstance(items, dict) else schema.get("additionalItems")


def _hidden(path: Path, found: Difference) -> Difference:
    """That a secret came, went, or changed; not from what to what."""
    whole = found.path == path
    came, went = whole and found.before is MISSING, whole and found.after is MISSING
    return Difference(path, MISSING if came else MASK, MISSING if went else MASK if came else CHANGED)


def _replaced(value: Any, at: Path, paths: Iterable[Path]) -> Any:
    """``value`` with what stands at ``paths`` masked."""
    if at in paths:
        return MASK
    if isinstance(value, dict):
        return {key: _replaced(below, (*at, key), paths) for key, below in value.items()}
    if isinstance(value, list):
        return [_replaced(below, (*at, index), paths) for index, below in enumerate(value)]
    return value


def scrubber(values: Iterable[Any]) -> Callable[[str], str]:
    """What hides ``values`` in a text, as they stand there or as JSON writes them, each line of one by itself.

    How long that takes does not depend on how many there are.
    """
    words: set[str] = set()
    for value in (scalar for each in values for _, scalar in leaves(each)):
        texts = [value, *value.splitlines()] if isinstance(value, str) else [json.dumps(value)]
        for text in texts:
            words |= {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    lengths: dict[str, set[int]] = {}
    for word in words:
        if len(word) >= SHORTEST:
            lengths.setdefault(word[:SHORTEST], set()).add(len(word))
    return (lambda text: _hide(text, words, lengths)) if lengths else lambda text: text


def _hide(text: str, words: set[str], lengths: Mapping[str, Iterable[int]]) -> str:
    """``text`` without ``words``, the longest first; how long they are ``lengths`` says by their beginnings."""
    parts, done = [], 0
    for at in range(len(text) - SHORTEST + 1):
        if text[at : at + SHORTEST] in lengths and at >= done:
            possible = sorted(lengths[text[at : at + SHORTEST]], reverse=True)
            long = next((length for length in possible if text[at : at + length] in words), 0)
            if long:
                parts += [text[done:at], HIDDEN]
                done = at + long
    return "".join([*parts, text[done:]])
