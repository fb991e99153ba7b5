"""Validation errors in plain words: the value, the values allowed, and the place.

The value of a secret property (``writeOnly`` or ``x-lmaps-secret``) is never quoted, nor is an object or array.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

from lmaps.errors import Finding
from lmaps.util.jsonio import JsonObject, type_name
from lmaps.util.text import nearest

Error = Any
"""A `jsonschema.ValidationError`: its fields are declared as if they could be unset, which raised ones never are."""

MAX_QUOTED = 60
"""Characters of a value in a message."""
MAX_SUGGESTIONS = 100
"""Properties of one object for which the nearest known name is searched: the search is slow."""
MAX_LISTED = 12
"""Allowed values in a message."""


def to_findings(errors: Iterable[Error]) -> list[Finding]:
    """Return ``errors`` as findings in the order of their places, each once."""
    findings = [finding for error in errors for finding in _explain(error)]
    # Two branches of a schema may report the same error.
    unique = {(finding.at, finding.message): finding for finding in findings}.values()
    return sorted(unique, key=lambda finding: [(isinstance(key, str), key) for key in finding.at])


def default_findings(findings: Iterable[Finding], at: tuple[str | int, ...], part: JsonObject) -> Iterator[Finding]:
    """Yield the findings about the default of the subschema ``part``, which is at ``at``, as findings of the schema."""
    for finding in findings:
        yield Finding(f"the default does not fit: {finding.message}", (*at, "default"), got=part["default"])


def is_secret(schema: object) -> bool:
    """Return whether the values of a schema must not be shown."""
    return isinstance(schema, dict) and (schema.get("writeOnly") is True or schema.get("x-lmaps-secret") is True)


def _explain(error: Error) -> Iterator[Finding]:
    if error.validator in ("oneOf", "anyOf") and error.context:
        for inner in _closest_branch(error.context):
            yield from _explain(inner)
        return
    at = tuple(error.absolute_path)
    if error.validator in ("additionalProperties", "unevaluatedProperties"):
        yield from _unknown_properties(error, at)
        return
    if error.validator == "required":
        name = _missing(error)
        yield Finding(f"{name} is missing", at, allowed=error.validator_value, property=name)
        return
    to_message = _MESSAGES.get(str(error.validator), _jsonschema_message)
    message, allowed, hint = to_message(error, _quote_instance(error))
    got = error.instance if _may_quote(error) else None
    yield Finding(message, at, got=got, allowed=allowed, hint=hint)


def _closest_branch(errors: list[Error]) -> list[Error]:
    """Return the errors of the branch nearest to the document: one of the right type first, then the fewest errors."""
    ordered = sorted(errors, key=_branch)  # groupby groups neighbours alone
    branches = [list(branch) for _, branch in groupby(ordered, key=_branch)]

    def distance(branch: list[Error]) -> tuple[bool, bool, int]:
        own = [error for error in branch if len(error.path) == 0]
        has_wrong_type = any(error.validator == "type" for error in own)
        has_wrong_constant = any(error.validator in ("const", "enum") for error in branch)  # such as a "kind" property
        return has_wrong_type, has_wrong_constant, len(branch)

    return min(branches, key=distance)


def _branch(error: Error) -> int:
    """Return the number of the branch, -1 for an error of no branch (one that is ``false``)."""
    return int(error.relative_schema_path[0]) if error.relative_schema_path else -1


def _unknown_properties(error: Error, at: tuple[str | int, ...]) -> Iterator[Finding]:
    schema = error.schema if isinstance(error.schema, dict) else {}
    properties = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    for number, name in enumerate(error.instance):
        if name in properties or any(re.search(pattern, name) for pattern in patterns):
            continue
        # jsonschema names the unevaluated ones in the message alone.
        if error.validator == "unevaluatedProperties" and repr(name) not in error.message:
            continue
        missing = [candidate for candidate in properties if candidate not in error.instance]
        # A property that is missing is more likely meant than one that is there already.
        near = nearest(name, missing) or nearest(name, properties) if number < MAX_SUGGESTIONS else None
        message = f"unknown property; did you mean {near}?" if near else "unknown property"
        yield Finding(message, (*at, name), on_key=True, allowed=list(properties) or None, hint=near, property=name)


def _may_quote(error: Error) -> bool:
    return not is_secret(error.schema) and not isinstance(error.instance, dict | list)


def _quote_instance(error: Error) -> str:
    if is_secret(error.schema):
        return "the value"
    if isinstance(error.instance, dict | list):
        return f"the {type_name(error.instance)}"
    return quote(error.instance)


def quote(value: Any) -> str:
    """Return a value as messages show it: short, strings in quotes, true, false and null as in JSON."""
    if isinstance(value, str):
        text = repr(value)
        return text if len(text) <= MAX_QUOTED else text[: MAX_QUOTED - 4] + "...'"
    if isinstance(value, dict | list):
        return f"the {type_name(value)}"
    return {None: "null", True: "true", False: "false"}.get(value, str(value)) if not _is_number(value) else str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


Explanation = tuple[str, Any, str | None]
"""A message, the values allowed, and a hint."""


def _of_type(error: Error, got: str) -> Explanation:
    allowed = error.validator_value
    if isinstance(allowed, list):
        return f"{got} is none of {', '.join(allowed)}", allowed, None
    article = "an" if allowed[0] in "aeiou" else "a"
    return (f"{got} is not null" if allowed == "null" else f"{got} is not {article} {allowed}"), allowed, None


def _one_of(error: Error, got: str) -> Explanation:
    allowed = error.validator_value
    near = nearest(error.instance, [value for value in allowed if isinstance(value, str)]) if _is_text(error) else None
    listed = ", ".join(map(quote, allowed[:MAX_LISTED])) + (", ..." if len(allowed) > MAX_LISTED else "")
    return f"{got} is not one of {listed}" + (f"; did you mean {near}?" if near else ""), allowed, near


def _is_text(error: Error) -> bool:
    return isinstance(error.instance, str) and not is_secret(error.schema)


def _missing(error: Error) -> str:
    """Return the property that is missing: jsonschema makes each an error, and names it in the message alone."""
    names = [name for name in error.validator_value if name not in error.instance]
    return next((name for name in names if error.message.startswith(repr(name))), names[0] if names else "?")


def _limit(text: str) -> Callable[[Error, str], Explanation]:
    def to_message(error: Error, got: str) -> Explanation:
        return f"{got} {text} {quote(error.validator_value)}", error.validator_value, None

    return to_message


def _length(text: str, noun: str) -> Callable[[Error, str], Explanation]:
    def to_message(error: Error, got: str) -> Explanation:
        count = error.validator_value
        nouns = noun if count == 1 else ("properties" if noun == "property" else noun + "s")
        return f"{got} has {len(error.instance)}, {text} {count} {nouns} allowed", count, None

    return to_message


def _format(error: Error, got: str) -> Explanation:
    article = "an" if error.validator_value[0] in "aeio" else "a"
    return f"{got} is not {article} valid {error.validator_value}", error.validator_value, None


def _unique(error: Error, got: str) -> Explanation:
    return f"{got} holds an item twice", None, None


def _not_allowed(error: Error, got: str) -> Explanation:
    return f"{got} is not allowed here", None, None


def _more_than_one(error: Error, got: str) -> Explanation:
    return f"{got} fits more than one of the forms that are allowed", None, None


def _jsonschema_message(error: Error, got: str) -> Explanation:
    if not _may_quote(error):
        return f"{got} does not fit {error.validator}", None, None
    return error.message, error.validator_value, None


_MESSAGES: dict[str, Callable[[Error, str], Explanation]] = {
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
    "oneOf": _more_than_one,
    "not": _not_allowed,
    "None": _not_allowed,
}
