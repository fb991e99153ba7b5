"""A validation error in plain words: what was got, what was expected, and where.

The value of a secret property (``writeOnly`` or ``x-lmaps-secret``) is never quoted, an object or array neither.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

from lmaps.errors import Finding
from lmaps.util.jsonio import type_name
from lmaps.util.text import nearest

Error = Any
"""A `jsonschema.ValidationError`: its fields are declared as if they could be unset, which raised ones never are."""

QUOTED = 60
"""Characters of a value that are quoted."""
GUESSED = 100
"""Properties of an object that are looked at for what they were meant to be: it takes long."""


def findings(errors: Iterable[Error]) -> list[Finding]:
    """All ``errors`` in plain words, in the order of their places."""
    found = [finding for error in errors for finding in _told(error)]
    each_once = {(finding.at, finding.message): finding for finding in found}.values()
    return sorted(each_once, key=lambda finding: [(isinstance(key, str), key) for key in finding.at])


def misfits(wrong: Iterable[Finding], at: tuple[str | int, ...], part: dict[str, Any]) -> Iterator[Finding]:
    """What is ``wrong`` with the default of a subschema."""
    for finding in wrong:
        yield Finding(f"the default does not fit: {finding.message}", (*at, "default"), got=part["default"])


def is_secret(schema: Any) -> bool:
    """Whether what the schema describes must not be shown."""
    return isinstance(schema, dict) and (schema.get("writeOnly") is True or schema.get("x-lmaps-secret") is True)


def _told(error: Error) -> Iterator[Finding]:
    if error.validator in ("oneOf", "anyOf") and error.context:
        for inner in _closest_branch(error.context):
            yield from _told(inner)
        return
    at = tuple(error.absolute_path)
    if error.validator in ("additionalProperties", "unevaluatedProperties"):
        yield from _unknown_properties(error, at)
        return
    if error.validator == "required":
        name = _missing(error)
        yield Finding(f"{name} is missing", at, allowed=error.validator_value, property=name)
        return
    explain = _WORDS.get(str(error.validator), _as_jsonschema_says)
    message, allowed, hint = explain(error, _quote(error))
    got = error.instance if _may_quote(error) else None
    yield Finding(message, at, got=got, allowed=allowed, hint=hint)


def _closest_branch(errors: list[Error]) -> list[Error]:
    """The errors of the branch that the document came nearest to: right in kind first, then fewest errors."""
    ordered = sorted(errors, key=_branch)
    branches = [list(branch) for _, branch in groupby(ordered, key=_branch)]

    def distance(branch: list[Error]) -> tuple[bool, bool, int]:
        own = [error for error in branch if len(error.path) == 0]
        of_kind = any(error.validator == "type" for error in own)
        chosen = any(error.validator in ("const", "enum") for error in branch)
        return of_kind, chosen, len(branch)

    return min(branches, key=distance)


def _branch(error: Error) -> int:
    """The number of the branch; a branch that is ``false`` has none."""
    return int(error.relative_schema_path[0]) if error.relative_schema_path else -1


def _unknown_properties(error: Error, at: tuple[str | int, ...]) -> Iterator[Finding]:
    schema = error.schema if isinstance(error.schema, dict) else {}
    known = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    for number, name in enumerate(error.instance):
        if name in known or any(re.search(pattern, name) for pattern in patterns):
            continue
        if error.validator == "unevaluatedProperties" and repr(name) not in error.message:
            continue
        missing = [each for each in known if each not in error.instance]
        near = nearest(name, missing) or nearest(name, known) if number < GUESSED else None
        text = f"unknown property; did you mean {near}?" if near else "unknown property"
        yield Finding(text, (*at, name), on_key=True, allowed=list(known) or None, hint=near, property=name)


def _may_quote(error: Error) -> bool:
    return not is_secret(error.schema) and not isinstance(error.instance, dict | list)


def _quote(error: Error) -> str:
    if is_secret(error.schema):
        return "the value"
    if isinstance(error.instance, dict | list):
        return f"the {type_name(error.instance)}"
    return quote(error.instance)


def quote(value: Any) -> str:
    """A value as messages show it: short, strings in quotes, words as JSON has them."""
    if isinstance(value, str):
        text = repr(value)
        return text if len(text) <= QUOTED else text[: QUOTED - 4] + "...'"
    if isinstance(value, dict | list):
        return f"the {type_name(value)}"
    return {None: "null", True: "true", False: "false"}.get(value, str(value)) if not _is_number(value) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


Told = tuple[str, Any, str | None]


def _of_type(error: Error, got: str) -> Told:
    allowed = error.validator_value
    if isinstance(allowed, list):
        return f"{got} is none of {', '.join(allowed)}", allowed, None
    article = "an" if allowed[0] in "aeiou" else "a"
    return (f"{got} is not null" if allowed == "null" else f"{got} is not {article} {allowed}"), allowed, None


def _one_of(error: Error, got: str) -> Told:
    allowed = error.validator_value
    near = nearest(error.instance, [each for each in allowed if isinstance(each, str)]) if _is_text(error) else None
    told = ", ".join(quote(each) for each in allowed[:12]) + (", ..." if len(allowed) > 12 else "")
    return f"{got} is not one of {told}" + (f"; did you mean {near}?" if near else ""), allowed, near


def _is_text(error: Error) -> bool:
    return isinstance(error.instance, str) and not is_secret(error.schema)


def _missing(error: Error) -> str:
    """Return the property that is missing: jsonschema makes each an error, and names it in the message alone."""
    names = [name for name in error.validator_value if name not in error.instance]
    return next((name for name in names if error.message.startswith(repr(name))), names[0] if names else "?")


def _limit(text: str) -> Callable[[Error, str], Told]:
    def told(error: Error, got: str) -> Told:
        return f"{got} {text} {quote(error.validator_value)}", error.validator_value, None

    return told


def _length(text: str, noun: str) -> Callable[[Error, str], Told]:
    def told(error: Error, got: str) -> Told:
        count = error.validator_value
        things = noun if count == 1 else ("properties" if noun == "property" else noun + "s")
        return f"{got} has {len(error.instance)}, {text} {count} {things} allowed", count, None

    return told


def _format(error: Error, got: str) -> Told:
    article = "an" if error.validator_value[0] in "aeio" else "a"
    return f"{got} is not {article} valid {error.validator_value}", error.validator_value, None


def _unique(error: Error, got: str) -> Told:
    return f"{got} holds an item twice", None, None


def _not_allowed(error: Error, got: str) -> Told:
    return f"{got} is not allowed here", None, None


def _one_only(error: Error, got: str) -> Told:
    return f"{got} fits more than one of the forms that are allowed", None, None


def _as_jsonschema_says(error: Error, got: str) -> Told:
    if not _may_quote(error):
        return f"{got} does not fit {error.validator}", None, None
    return error.message, error.validator_value, None


_WORDS: dict[str, Callable[[Error, str], Told]] = {
    "type": _of_type,
    "enum": _one_of,
    "const": _limit("is not"),
    "pattern": lambda error, got: (f"{got} does not match {error.validator_value}", error.validator_value, None),
    "format": _format,
    "minimum": _limit("is less than"),
    "maximum": _limit("is more than"),
    "exclusiveMinimum": _limit("is not more than"),
    "exclusiveMaximum": _limit("is not less than"),
    "multipleOf": _limit("is no multiple of"),
    "minLength": _length("at least", "character"),
    "maxLength": _length("at most", "character"),
    "minItems": _length("at least", "item"),
    "maxItems": _length("at most", "item"),
    "minProperties": _length("at least", "property"),
    "maxProperties": _length("at most", "property"),
    "uniqueItems": _unique,
    "oneOf": _one_only,
    "not": _not_allowed,
    "None": _not_allowed,
}
