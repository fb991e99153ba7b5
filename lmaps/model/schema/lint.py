"""Faults of a schema itself, reported when it is loaded, not when the first document meets them."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lmaps.errors import Finding, ValidationFailed
from lmaps.model.schema import drafts, references
from lmaps.model.schema.compiled import compile_check
from lmaps.model.schema.formats import UNCOMPILABLE
from lmaps.model.schema.messages import default_findings, to_findings
from lmaps.model.schema.patterns import is_slow
from lmaps.model.schema.schema import Schema
from lmaps.model.schema.secrets import Secrets, mark_faults
from lmaps.util.lazy import LazyModule
from lmaps.util.text import nearest

if TYPE_CHECKING:
    from lmaps.model.schema import backend, full
else:
    # jsonschema: 30 ms and 4 MB, which plain schemas do without
    backend = LazyModule("lmaps.model.schema.backend")
    full = LazyModule("lmaps.model.schema.full")

_ANNOTATIONS = frozenset(
    "$schema $id id $anchor $dynamicAnchor $recursiveAnchor $vocabulary $comment $defs definitions title description "
    "default example examples deprecated readOnly writeOnly format contentEncoding contentMediaType contentSchema "
    "then else minContains maxContains additionalItems dependencies".split()
)
"""Keywords that jsonschema has no validator for."""
_DRAFT4_HINT = "add $schema: http://json-schema.org/draft-04/schema#"
_DRAFT4_FLAGS = ("exclusiveMinimum", "exclusiveMaximum", "required")


def lint(definition: object) -> list[Finding]:
    """Return every fault that keeps a schema from being used; ``at`` of a finding is its path in the schema."""
    if not isinstance(definition, dict | bool):
        return [Finding("a schema is an object (or true or false)")]
    if isinstance(definition, dict) and drafts.name(definition) not in drafts.NAMES:
        message = f"unknown $schema; known are {', '.join(drafts.NAMES)}"
        return [Finding(message, ("$schema",), got=definition["$schema"])]
    other_drafts = list(_other_drafts(definition))
    if other_drafts:
        return other_drafts
    faults = lint_plain(definition) if compile_check(definition) is not None else lint_fully(definition)
    return faults or list(_bad_marks(definition))


def _other_drafts(definition: object) -> Iterator[Finding]:
    """Yield each part in another draft than the whole: whoever walks over a schema takes it to be written in one."""
    for at, part in drafts.walk(definition):
        draft = part.get("$schema")
        if isinstance(draft, str) and drafts.name(part) != drafts.name(definition):
            yield Finding(
                "this part is in another draft than the whole schema: leave its $schema out",
                (*at, "$schema"),
                got=draft,
            )


def _bad_marks(definition: object) -> Iterator[Finding]:
    if Secrets(definition).marks_all():
        yield Finding("a whole instance cannot be a secret: mark its properties")
    yield from mark_faults(definition)


def lint_plain(definition: object) -> list[Finding]:
    """Return the faults of a plain schema: only its defaults can be wrong, and each part of it can stand alone."""
    findings: list[Finding] = []
    quoting = not Secrets(definition).any  # which defaults are those of secrets depends on more than their places
    for at, part in drafts.walk(definition):
        if "default" in part:
            # A default that does not fit would make every document without the property invalid.
            schema = Schema(part)
            wrong = schema.findings(schema.apply_defaults(part["default"]), quoting=quoting)
            findings += default_findings(wrong, at, part, quoting=quoting)
    return findings


def lint_fully(definition: object) -> list[Finding]:
    """Return the faults of any schema; those of one kind hide those of the next, which may follow from them."""
    return (
        _metaschema_findings(definition)
        or [*_bad_patterns(definition), *_bad_references(definition)]
        or list(_endless_references(definition))
        or list(_bad_defaults(definition))
    )


def unknown_keywords(definition: object) -> list[Finding]:
    """Return a finding for each keyword that has no meaning, most of them typing errors. ``x-...`` is free to use."""
    if compile_check(definition) is not None:
        return []
    keywords = _ANNOTATIONS | set(backend.validator_class(definition).VALIDATORS)
    return [
        Finding(_unknown_keyword(keyword, keywords), (*at, keyword), on_key=True, property=keyword)
        for at, schema in drafts.walk(definition)
        for keyword in schema
        if keyword not in keywords and not keyword.startswith("x-")
    ]


def _unknown_keyword(keyword: str, keywords: frozenset[str]) -> str:
    near = nearest(keyword, keywords)
    return f"unknown keyword {keyword}" + (f"; did you mean {near}?" if near else ", it has no effect")


def slow_patterns(definition: object) -> list[Finding]:
    """Return a finding for each regular expression that can take exponential time."""
    message = "the pattern {} can take for ever on a value that does not fit: a repeat lies in a repeat"
    slow = ((at, pattern) for at, pattern in drafts.patterns(definition) if is_slow(pattern))
    return [Finding(message.format(pattern), at, got=pattern) for at, pattern in slow]


def _metaschema_findings(definition: Any) -> list[Finding]:
    findings = to_findings(backend.metaschema_errors(definition))
    if findings and "$schema" not in definition and _looks_like_draft4(definition):
        hint = _DRAFT4_HINT
        return [
            Finding(f"{finding.message}; this looks like draft 4: {hint}", finding.at, hint=hint)
            for finding in findings
        ]
    return findings


def _looks_like_draft4(definition: object) -> bool:
    """Return whether a schema has exclusive limits or ``required`` as booleans, or ``items`` as a list."""
    if isinstance(definition, list):
        return any(_looks_like_draft4(part) for part in definition)
    if not isinstance(definition, dict):
        return False
    has_flag = any(isinstance(definition.get(flag), bool) for flag in _DRAFT4_FLAGS)
    if has_flag or isinstance(definition.get("items"), list):
        return True
    return any(_looks_like_draft4(part) for part in definition.values())


def _bad_patterns(definition: object) -> Iterator[Finding]:
    for at, pattern in drafts.patterns(definition):
        try:
            re.compile(pattern)
        except UNCOMPILABLE as error:
            yield Finding(f"the pattern {pattern} does not compile: {error}", at, got=pattern)


def _bad_references(definition: object) -> Iterator[Finding]:
    keywords = references.keywords(definition)
    for at, schema, resolver in references.walk(definition):
        for keyword in keywords:
            target = schema.get(keyword)
            if isinstance(target, str) and backend.find(resolver, target) is None:
                is_remote = ":" in target.partition("#")[0]
                reason = "nothing is ever fetched, put it under $defs" if is_remote else "there is nothing there"
                yield Finding(f"cannot resolve {keyword} {target}: {reason}", (*at, keyword), got=target)


def _endless_references(definition: object) -> Iterator[Finding]:
    """Yield a finding for the first reference that leads back to its own schema around the same value."""
    overrides = drafts.name(definition) in drafts.OLD
    is_open: dict[int, bool] = {}  # by schema: whether it is being followed, or was and has an end

    def is_endless(schema: object, scope: Any) -> bool:
        if not isinstance(schema, dict):
            return False
        if id(schema) in is_open:
            return is_open[id(schema)]
        is_open[id(schema)] = True
        around = [*filter(None, references.targets(schema, scope, ("$ref",), {}))]
        if not (around and overrides):
            around += [(part, references.enter(scope, part, definition)) for part in drafts.on_value(schema)]
        leads_back = any(is_endless(part, inside) for part, inside in around)
        is_open[id(schema)] = False
        return leads_back

    for at, schema, scope in references.walk(definition):
        if "$ref" in schema and is_endless(schema, scope):
            yield Finding("the schema refers to itself around the same value: nothing can be checked by it", at)
            return


def _bad_defaults(definition: object) -> Iterator[Finding]:
    schema, quoting = full.FullSchema(definition), not Secrets(definition).any
    for at, part, resolver in references.walk(definition):
        if "default" not in part:
            continue
        try:
            findings = schema.default_findings(part, resolver, quoting=quoting)
        except ValidationFailed as endless:
            findings = [Finding(endless.message)]
        yield from default_findings(findings, at, part, quoting=quoting)
