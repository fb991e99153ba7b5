"""Secrets: the values of a document that a schema marks (``writeOnly`` or ``x-lmaps-secret``), and their masks.

A value that any branch of ``oneOf`` and its like marks is masked: a mask too many does less harm than one too few.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from typing import Any

from lmaps.errors import Finding
from lmaps.model.diff import MISSING, Difference, Path
from lmaps.model.schema import drafts, references
from lmaps.util.jsonio import JsonObject

MASK = {"$secret": "set"}
"""The mask of a secret value in JSON."""
CHANGED = {"$secret": "changed"}
"""The mask of the new value of a secret in a difference."""

MARKS = ("writeOnly", "x-lmaps-secret")
"""The keywords that mark a secret where they are true."""
_DATA = frozenset(("default", "example", "examples", "enum", "const"))
"""Keywords whose values are data, whatever they look like."""
_MAX_INDEX = 1_000
"""The highest place of an item for which a schema is asked; it describes the items above it as it does this one."""
_SEPARATORS = re.compile(r"[-_.:\s]")


def is_secret(schema: object) -> bool:
    """Return whether a schema marks the values that it describes."""
    return isinstance(schema, dict) and any(schema.get(mark) is True for mark in MARKS)


def secret_around(secrets: Collection[Path], at: Path) -> Path | None:
    """Return the path of the secret at or around ``at``, of those in ``secrets``; None where there is none."""
    return next((at[:length] for length in range(len(at) + 1) if at[:length] in secrets), None)


class Secrets:
    """The secrets of a schema, or of several: a value is secret that one of them marks."""

    def __init__(self, *definitions: object) -> None:
        self._schemas = [_Marked(definition) for definition in definitions]

    @cached_property
    def any(self) -> bool:
        """Whether a schema marks any value."""
        return any(schema.marks_any for schema in self._schemas)

    def __or__(self, other: "Secrets") -> "Secrets":
        """Return the secrets of both: all that one of them marks."""
        both = Secrets()
        both._schemas = list(dict.fromkeys([*self._schemas, *other._schemas]))
        return both

    def marks_all(self) -> bool:
        """Return whether a schema may mark a whole document, which has no place for a mask."""
        return () in self._find_all({})

    def may_mark(self, at: Path) -> bool:
        """Return whether a schema may mark the value at the path ``at`` of a document, or one around it."""
        if not self.any:
            return False
        place = tuple(min(key, _MAX_INDEX) if isinstance(key, int) else key for key in at)
        document: object = ""
        for key in reversed(place):
            document = [*[None] * key, document] if isinstance(key, int) else {key: document}
        return secret_around(self.paths(document), place) is not None

    def has_at(self, document: object, at: Path) -> bool:
        """Return whether the value at the path ``at`` of ``document`` is a secret, is in one, or has one in it."""
        if not self.any:
            return False
        names = tuple(map(str, at))  # a part of digits may be a key or an index
        secrets = (tuple(map(str, path)) for path in self.paths(document))
        return any(names[: len(secret)] == secret[: len(names)] for secret in secrets)

    def paths(self, document: object) -> frozenset[Path]:
        """Return the paths of the secret values of ``document``."""
        # A whole document is none: units that mark it are refused now, and the history of older ones stays readable.
        return frozenset(self.found_in(document))

    def found_in(self, document: object) -> Iterator[Path]:
        """Yield the same as `paths`, some perhaps twice; the document is searched when the first is asked for."""
        return filter(None, self._find_all(document))

    def masked(self, document: object) -> Any:
        """Return ``document`` with its secret values masked."""
        paths = self.paths(document)
        return _masked(document, _tree(paths)) if paths else document

    def values(self, document: Any) -> Iterator[Any]:
        """Yield the secret values of ``document``, and the names in secret objects that the schema does not have."""
        for path in self.paths(document):
            value = document
            for key in path:
                value = value[key]
            yield value
            for part in references.objects(value):
                yield from part.keys() - self._names

    @cached_property
    def _names(self) -> frozenset[str]:
        """Every name in the schemas: what their author wrote is no secret."""
        return frozenset(name for schema in self._schemas for name in schema.names())

    def _find_all(self, document: object) -> Iterator[Path]:
        return (path for schema in self._schemas for path in schema.find(document))


class _Marked:
    """The places that one schema marks."""

    def __init__(self, definition: object) -> None:
        self._definition = definition
        self._resolver = references.resolver(definition)

    @cached_property
    def marks_any(self) -> bool:
        # Any object counts: a reference may lead to a mark in a place that no keyword of a draft names.
        return any(map(is_secret, references.objects(self._definition)))

    @cached_property
    def _reference_keywords(self) -> tuple[str, ...]:
        return references.keywords(self._definition) if self._resolver is not None else ()

    @cached_property
    def _anchors(self) -> references.Anchors:
        return references.dynamic_anchors(self._definition)

    @cached_property
    def _draft(self) -> str | None:
        """The schema's draft; None if a part of it may be of another one."""
        names = references.drafts_of(self._definition)
        return names.pop() if len(names) == 1 else None

    def names(self) -> Iterator[str]:
        """Yield the names of all objects in the schema, keywords too."""
        return (name for part in references.objects(self._definition) for name in part)

    def find(self, document: object) -> Iterator[Path]:
        """Yield the paths of ``document`` that the schema marks."""
        return self._find(self._definition, self._resolver, document, (), set()) if self.marks_any else iter(())

    def _find(
        self, schema: object, resolver: Any, value: Any, at: Path, visited: set[tuple[int, Path]]
    ) -> Iterator[Path]:
        # A schema is looked at once for each value, by however many ways of references and branches it is reached.
        if not isinstance(schema, dict) or (id(schema), at) in visited:
            return
        visited.add((id(schema), at))
        if is_secret(schema):
            yield at
            if at:
                return
        for target in references.targets(schema, resolver, self._reference_keywords, self._anchors):
            if target is not None:
                yield from self._find(*target, value, at, visited)
            elif at:  # nobody knows what it would mark
                yield at
        for part in drafts.on_value(schema):
            scope = references.enter(resolver, part, self._definition)
            yield from self._find(part, scope, value, at, visited)
        for key, _, below in drafts.on_parts(schema, value, self._draft):
            scope = references.enter(resolver, below, self._definition)
            yield from self._find(below, scope, value[key], (*at, key), visited)


def mark_faults(definition: object) -> Iterator[Finding]:
    """Yield a finding for each mark that is misspelt, or that marks no value: it would leave a secret public."""
    yield from _spelling_faults(definition)
    yield from _unfollowed_marks(definition)
    if not any(keyword in part for part in references.objects(definition) for keyword in drafts.OUTSIDE):
        return
    names = references.keywords(definition)
    anchors = references.dynamic_anchors(definition)
    for at, schema, scope in references.walk(definition):
        for keyword in drafts.OUTSIDE:
            below = schema.get(keyword)
            reached = _reached(definition, below, references.enter(scope, below, definition), names, anchors)
            if any(map(is_secret, reached)):
                message = f"nothing can be a secret under {keyword}: mark the value itself"
                yield Finding(message, (*at, keyword), on_key=True, property=keyword)


def _spelling_faults(definition: object) -> Iterator[Finding]:
    for at, schema in drafts.walk(definition):
        for keyword, value in schema.items():
            letters = _SEPARATORS.sub("", keyword).lower()
            if letters.startswith("xlmaps") and keyword != "x-lmaps-secret":
                message = f"unknown keyword {keyword}; the one keyword of lMaPS is x-lmaps-secret"
                yield Finding(message, (*at, keyword), on_key=True, property=keyword)
            elif letters == "writeonly" and keyword != "writeOnly":
                message = f"unknown keyword {keyword}; did you mean writeOnly?"
                yield Finding(message, (*at, keyword), on_key=True, property=keyword)
            elif keyword in MARKS and not isinstance(value, bool):
                yield Finding(f"{keyword} is true or false", (*at, keyword), got=value)


def _unfollowed_marks(definition: object) -> Iterator[Finding]:
    """Yield a finding for each mark below a keyword that no draft knows, unless a reference leads there."""
    marking = {id(part) for part in references.objects(definition) if is_secret(part)}
    if not marking:
        return
    names, anchors = references.keywords(definition), references.dynamic_anchors(definition)
    reached = _reached(definition, definition, references.resolver(definition), names, anchors)
    marking -= {id(part) for part in reached}
    if not marking:
        return
    for at, schema in drafts.walk(definition):
        followed = {step[0] for step, _ in drafts.subschemas(schema)}
        for keyword in schema.keys() - followed - _DATA:
            if any(id(part) in marking for part in references.objects(schema[keyword])):
                message = (
                    f"a mark below {keyword} marks nothing: {keyword} is no keyword that applies a schema, and no $ref "
                    "leads to it; what is only for a $ref stands under $defs"
                )
                yield Finding(message, (*at, keyword), on_key=True, property=keyword)


def _reached(
    definition: object, schema: object, scope: object, names: tuple[str, ...], anchors: references.Anchors
) -> Iterator[JsonObject]:
    """Yield ``schema``, whose resolver is ``scope``, and every schema below it and its references."""
    waiting: list[tuple[object, object]] = [(schema, scope)]
    visited: set[int] = set()
    while waiting:
        part, inside = waiting.pop()
        if not isinstance(part, dict) or id(part) in visited:
            continue
        visited.add(id(part))
        yield part
        waiting += filter(None, references.targets(part, inside, names, anchors))
        for _, below in drafts.subschemas(part):
            waiting.append((below, references.enter(inside, below, definition)))


_Tree = dict[str | int, "_Tree | None"]
"""Paths as a tree: below each key a tree of what follows it, None where a secret is."""
_NONE: _Tree = {}


def _tree(paths: Iterable[Path]) -> _Tree:
    """Return ``paths`` as a tree. A path below another one is part of that one's secret."""
    root: _Tree = {}
    for path in sorted(paths, key=len):
        node = root
        for key in path[:-1]:
            below = node.setdefault(key, {})
            if below is None:
                break
            node = below
        else:
            node[path[-1]] = None
    return root


def masked_differences(differences: Iterable[Difference], paths: Collection[Path]) -> Iterator[Difference]:
    """Yield ``differences`` with every secret masked, each secret once.

    ``paths`` are those of the secrets of both documents: what is secret in one of them is masked in both.
    """
    tree = _tree(paths)
    yielded: set[Path] = set()
    for change in differences:
        node = tree
        for depth, key in enumerate(change.path, 1):
            below = node.get(key, _NONE)
            if below is not None:
                node = below
            else:
                secret = change.path[:depth]
                if secret not in yielded:
                    yielded.add(secret)
                    yield _hidden(secret, change)
                break
        else:
            yield change._replace(before=_masked(change.before, node), after=_masked(change.after, node))


def _hidden(path: Path, change: Difference) -> Difference:
    """Return the difference that says that the secret at ``path`` was added, removed or changed, without values."""
    is_whole = change.path == path
    added, removed = is_whole and change.before is MISSING, is_whole and change.after is MISSING
    return Difference(path, MISSING if added else MASK, MISSING if removed else MASK if added else CHANGED)


def _masked(value: object, tree: _Tree | None) -> object:
    """Return ``value`` with the values at the paths in ``tree`` masked; what has no secret is shared, not copied."""
    if tree is None:
        return MASK
    if not tree:
        return value
    if isinstance(value, dict):
        return {key: _masked(below, tree.get(key, _NONE)) for key, below in value.items()}
    if isinstance(value, list):
        return [_masked(below, tree.get(index, _NONE)) for index, below in enumerate(value)]
    return value
