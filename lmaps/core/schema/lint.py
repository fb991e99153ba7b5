"""What is wrong with a schema itself: told when it is loaded, not when the first document meets it."""

import re
from collections.abc import Iterator
from re import _constants as codes  # type: ignore[attr-defined]  # how Python itself reads a pattern
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from referencing.exceptions import Unresolvable

from lmaps.core.schema import drafts
from lmaps.core.schema.findings import findings
from lmaps.core.schema.formats import CHECKER
from lmaps.core.schema.validation import Schema
from lmaps.core.words import nearest
from lmaps.errors import Finding, ValidationFailed

_ANNOTATIONS = frozenset(
    "$schema $id id $anchor $dynamicAnchor $recursiveAnchor $vocabulary $comment $defs definitions title description "
    "default example examples deprecated readOnly writeOnly format contentEncoding contentMediaType contentSchema "
    "then else minContains maxContains additionalItems dependencies".split()
)
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT)
_FEW = 9
"""Repeats up to so many times are quick, even in others."""
DRAFT4_CURE = "add $schema: http://json-schema.org/draft-04/schema#"


def lint(definition: Any) -> list[Finding]:
    """Everything that keeps a schema from being used; ``at`` leads through the schema."""
    if not isinstance(definition, dict | bool):
        return [Finding("a schema is an object (or true or false)")]
    if isinstance(definition, dict) and not drafts.known(definition):
        told = ", ".join(drafts.names())
        return [Finding(f"unknown $schema; known are {told}", ("$schema",), got=definition["$schema"])]
    broken = _against_metaschema(definition)
    if broken:
        return broken
    found = [*_bad_patterns(definition), *_bad_references(definition)]
    return found or list(_bad_defaults(definition))


def unknown_keywords(definition: Any) -> list[Finding]:
    """Keywords that no draft gives a meaning: typing errors, most of them. ``x-...`` is free to use."""
    known = _ANNOTATIONS | set(drafts.validator_class(definition).VALIDATORS)
    return [
        Finding(_unknown(keyword, known), (*at, keyword), on_key=True)
        for at, schema, _ in _subschemas(definition)
        for keyword in schema
        if keyword not in known and not keyword.startswith("x-")
    ]


def _unknown(keyword: str, known: frozenset[str]) -> str:
    near = nearest(keyword, known)
    return f"unknown keyword {keyword}" + (f"; did you mean {near}?" if near else ", it has no effect")


def _subschemas(definition: Any) -> Iterator[tuple[drafts.At, dict[str, Any], Any]]:
    return drafts.walk(definition, drafts.resolver(definition), drafts.specification(definition))


def _against_metaschema(definition: Any) -> list[Finding]:
    kind = drafts.validator_class(definition)
    checker = kind(kind.META_SCHEMA, registry=drafts.REGISTRY, format_checker=CHECKER)
    found = findings(checker.iter_errors(definition))
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


def _patterns(definition: Any) -> Iterator[tuple[drafts.At, str]]:
    for at, schema, _ in _subschemas(definition):
        if isinstance(schema.get("pattern"), str):
            yield (*at, "pattern"), schema["pattern"]
        for name in schema.get("patternProperties", {}):
            yield (*at, "patternProperties", name), name


def _bad_patterns(definition: Any) -> Iterator[Finding]:
    for at, pattern in _patterns(definition):
        try:
            re.compile(pattern)
        except re.error as error:
            yield Finding(f"the pattern {pattern} does not compile: {error}", at, got=pattern)


def slow_patterns(definition: Any) -> list[Finding]:
    """Patterns that can take for ever: what is repeated without end is itself made of such repeats alone."""
    text = "the pattern {} can take for ever on a value that does not fit: a repeat lies in a repeat"
    found = ((at, pattern) for at, pattern in _patterns(definition) if _is_slow(parser.parse(pattern), inside=False))
    return [Finding(text.format(pattern), at, got=pattern) for at, pattern in found]


def _is_slow(parts: Any, *, inside: bool) -> bool:
    """Whether a parsed pattern has repeats in repeats, ``inside`` one or not; text between them keeps it quick."""
    alone = inside and len(parts) == 1
    for kind, told in parts:
        if kind in _REPEATS:
            endless = told[1] > _FEW
            if endless and inside and all(each in _REPEATS for each, _ in parts):
                return True
            below, within = [told[2]], endless or alone
        elif kind in (codes.SUBPATTERN, codes.BRANCH):
            below, within = [told[3]] if kind is codes.SUBPATTERN else told[1], alone
        else:
            continue
        if any(_is_slow(each, inside=within) for each in below):
            return True
    return False


def _bad_references(definition: Any) -> Iterator[Finding]:
    for at, schema, resolver in _subschemas(definition):
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
    root = Schema(definition)
    for at, schema, resolver in _subschemas(definition):
        if "default" not in schema:
            continue
        try:
            wrong = root.default_findings(schema, resolver)
        except ValidationFailed as endless:
            wrong = [Finding(endless.message)]
        for finding in wrong:
            yield Finding(f"the default does not fit: {finding.message}", (*at, "default"), got=schema["default"])
