"""What is wrong with a schema itself: told when it is loaded, not when the first document meets it."""

from collections.abc import Iterator
from re import _constants as codes  # type: ignore[attr-defined]  # how Python itself reads a pattern
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from lmaps.errors import Finding
from lmaps.model.schema import drafts
from lmaps.model.schema.compiled import plain_check
from lmaps.model.schema.messages import misfits
from lmaps.model.schema.schema import Schema

_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT)
_FEW = 9
"""Repeats up to so many times are quick, even in others."""


def lint(definition: Any) -> list[Finding]:
    """Everything that keeps a schema from being used; ``at`` leads through the schema."""
    if not isinstance(definition, dict | bool):
        return [Finding("a schema is an object (or true or false)")]
    if isinstance(definition, dict) and drafts.name(definition) not in drafts.NAMES:
        told = ", ".join(drafts.NAMES)
        return [Finding(f"unknown $schema; known are {told}", ("$schema",), got=definition["$schema"])]
    if plain_check(definition) is not None:
        return list(_bad_defaults(definition))
    from lmaps.model.schema import faults  # noqa: PLC0415 (jsonschema, which plain schemas do without)

    return faults.faults(definition)


def _bad_defaults(definition: Any) -> Iterator[Finding]:
    """Those of a plain schema: each of its parts can stand alone."""
    for at, part in drafts.walk(definition):
        if "default" in part:
            schema = Schema(part)
            yield from misfits(schema.findings(schema.fill(part["default"])), at, part)


def unknown_keywords(definition: Any) -> list[Finding]:
    """Keywords that no draft gives a meaning: typing errors, most of them. ``x-...`` is free to use."""
    if plain_check(definition) is not None:
        return []
    from lmaps.model.schema import faults  # noqa: PLC0415 (as above)

    return faults.unknown_keywords(definition)


def slow_patterns(definition: Any) -> list[Finding]:
    """Patterns that can take for ever: what is repeated without end is itself made of such repeats alone."""
    text = "the pattern {} can take for ever on a value that does not fit: a repeat lies in a repeat"
    found = (
        (at, pattern) for at, pattern in drafts.patterns(definition) if _is_slow(parser.parse(pattern), inside=False)
    )
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
