"""What is wrong with a schema that is not plain."""

import re
from collections.abc import Iterator
from typing import Any

from referencing.exceptions import Unresolvable

from lmaps.errors import Finding, ValidationFailed
from lmaps.model.schema import backend, drafts, references
from lmaps.model.schema.formats import UNCOMPILABLE
from lmaps.model.schema.full import Whole
from lmaps.model.schema.messages import findings, misfits
from lmaps.util.text import nearest

_ANNOTATIONS = frozenset(
    "$schema $id id $anchor $dynamicAnchor $recursiveAnchor $vocabulary $comment $defs definitions title description "
    "default example examples deprecated readOnly writeOnly format contentEncoding contentMediaType contentSchema "
    "then else minContains maxContains additionalItems dependencies".split()
)
DRAFT4_CURE = "add $schema: http://json-schema.org/draft-04/schema#"


def faults(definition: Any) -> list[Finding]:
    """As `lint` tells them."""
    broken = _against_metaschema(definition)
    if broken:
        return broken
    found = [*_bad_patterns(definition), *_bad_references(definition)]
    return found or list(_bad_defaults(definition))


def unknown_keywords(definition: Any) -> list[Finding]:
    """As `lint.unknown_keywords` tells them."""
    known = _ANNOTATIONS | set(backend.validator_class(definition).VALIDATORS)
    return [
        Finding(_unknown(keyword, known), (*at, keyword), on_key=True, property=keyword)
        for at, schema in drafts.walk(definition)
        for keyword in schema
        if keyword not in known and not keyword.startswith("x-")
    ]


def _unknown(keyword: str, known: frozenset[str]) -> str:
    near = nearest(keyword, known)
    return f"unknown keyword {keyword}" + (f"; did you mean {near}?" if near else ", it has no effect")


def _against_metaschema(definition: Any) -> list[Finding]:
    found = findings(backend.metaschema_errors(definition))
    if found and "$schema" not in definition and _looks_like_draft4(definition):
        return [
            Finding(f"{each.message}; this looks like draft 4: {DRAFT4_CURE}", each.at, hint=DRAFT4_CURE)
            for each in found
        ]
    return found


def _looks_like_draft4(definition: Any) -> bool:
    """Whether it is spelled as draft 4 did: exclusive limits and ``required`` as booleans, ``items`` as a list."""
    if isinstance(definition, list):
        return any(_looks_like_draft4(part) for part in definition)
    if not isinstance(definition, dict):
        return False
    flags = ("exclusiveMinimum", "exclusiveMaximum", "required")
    if any(isinstance(definition.get(flag), bool) for flag in flags) or isinstance(definition.get("items"), list):
        return True
    return any(_looks_like_draft4(part) for part in definition.values())


def _bad_patterns(definition: Any) -> Iterator[Finding]:
    for at, pattern in drafts.patterns(definition):
        try:
            re.compile(pattern)
        except UNCOMPILABLE as error:
            yield Finding(f"the pattern {pattern} does not compile: {error}", at, got=pattern)


def _bad_references(definition: Any) -> Iterator[Finding]:
    for at, schema, resolver in references.walk(definition):
        target = schema.get("$ref")
        if not isinstance(target, str):
            continue
        try:
            resolver.lookup(target)
        except Unresolvable:
            remote = ":" in target.partition("#")[0]
            reason = "nothing is ever fetched, put it under $defs" if remote else "there is nothing there"
            yield Finding(f"cannot resolve $ref {target}: {reason}", (*at, "$ref"), got=target)


def _bad_defaults(definition: Any) -> Iterator[Finding]:
    whole = Whole(definition)
    for at, part, resolver in references.walk(definition):
        if "default" not in part:
            continue
        try:
            wrong = whole.default_findings(part, resolver)
        except ValidationFailed as endless:
            wrong = [Finding(endless.message)]
        yield from misfits(wrong, at, part)
