"""Validation errors in plain words: the value, the values allowed, and the place.

Whether a value is secret is decided by its place in the document, whichever part of the schema it does not fit: at or
below a secret nothing is quoted, no value, no length and no key. An object or array is never quoted.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from lmaps.errors import Finding
from lmaps.model.diff import MISSING, Path
from lmaps.model.schema.secrets import secret_around
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


def to_findings(
    errors: Iterable[Error], secrets: Iterable[Path] = (), *, is_marked: bool = False, quoting: bool = True
) -> list[Finding]:
    """Return ``errors`` as findings in the order of their places, each once.

    ``secrets`` are the paths of the secret values of the document. What is wrong at or below one of them is reported at
    that path, by the rule alone. With a schema that ``is_marked``, a value in the place of an object or array is not
    quoted: it may be the secret that belongs there. Without ``quoting`` no value at all is quoted.
    """
    places = _Places(secrets, is_marked, quoting)
    findings = [finding for error in errors for finding in _explain(error, places)]
    # Two branches of a schema may report the same error.
    unique = {(finding.at, finding.message): finding for finding in findings}.values()
    return sorted(unique, key=lambda finding: [(isinstance(key, str), key) for key in finding.at])


def default_findings(
    findings: Iterable[Finding], at: Path, part: JsonObject, *, quoting: bool = True
) -> Iterator[Finding]:
    """Yield the findings about the default of the subschema ``part``, which is at ``at``, as findings of the schema."""
    for finding in findings:
        got = part["default"] if quoting else None
        yield Finding(f"the default does not fit: {finding.message}", (*at, "default"), got=got)


class _Places:
    """Which places of a document may be quoted; ``secrets`` are the paths of those that must not."""

    def __init__(self, secrets: Iterable[Path], is_marked: bool, quoting: bool) -> None:
        self.secrets = frozenset(secrets)
        self._holders = frozenset(path[:length] for path in self.secrets for length in range(len(path)))
        self._is_marked = is_marked
        self._quoting = quoting

    def may_quote(self, at: Path, wanted: Iterable[Error]) -> bool:
        """Return whether the value at ``at``, which is in no secret, may be quoted: it holds none, and may be none.

        ``wanted`` are all errors of the value there.
        """
        if not self._quoting or at in self._holders:
            return False
        return not (self._is_marked and any(map(_wants_container, wanted)))


class _Rule(NamedTuple):
    """A keyword that a value breaks: its ``limit`` in the schema, and ``got``, the value as messages show it.

    ``instance`` is the value and ``text`` the message of jsonschema. Where the value must not be quoted there is
    neither, so no message can.
    """

    keyword: str
    limit: Any
    got: str
    instance: Any = MISSING
    text: str | None = None


def _explain(error: Error, places: _Places, beside: Sequence[Error] = ()) -> Iterator[Finding]:
    """Yield what is told of an error; ``beside`` are those of the other branches of the same value."""
    if error.validator in ("oneOf", "anyOf") and error.context:
        same_value = [*beside, *(inner for inner in error.context if not inner.path)]
        for inner in _closest_branch(error.context):
            yield from _explain(inner, places, () if inner.path else same_value)
        return
    at = tuple(error.absolute_path)
    secret = secret_around(places.secrets, at) if places.secrets else None
    if secret is not None:
        yield _to_finding(_Rule(str(error.validator), error.validator_value, "the value"), secret)
    elif error.validator in ("additionalProperties", "unevaluatedProperties"):
        yield from _unknown_properties(error, at)
    elif error.validator == "required":
        name = _missing(error)
        yield Finding(f"{name} is missing", at, allowed=error.validator_value, property=name)
    elif places.may_quote(at, [error, *beside]):
        value = error.instance
        yield _to_finding(_Rule(str(error.validator), error.validator_value, quote(value), value, error.message), at)
    else:
        yield _to_finding(_Rule(str(error.validator), error.validator_value, in_words(error.instance)), at)


def _to_finding(rule: _Rule, at: Path) -> Finding:
    message, allowed, hint = _MESSAGES.get(rule.keyword, _other)(rule)
    is_scalar = rule.instance is not MISSING and not isinstance(rule.instance, dict | list)
    return Finding(message, at, got=rule.instance if is_scalar else None, allowed=allowed, hint=hint)


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


def _unknown_properties(error: Error, at: Path) -> Iterator[Finding]:
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


def in_words(value: object) -> str:
    """Return what messages call a value that they do not quote."""
    return f"the {type_name(value)}" if isinstance(value, dict | list) else "the value"


def _wants_container(error: Error) -> bool:
    """Return whether an object or an array is expected, and no other value, at least by one of several forms."""
    # A text in the place of an object that holds a password may be the password.
    if error.validator in ("oneOf", "anyOf"):
        return any(_wants_container(inner) for inner in error.context if not inner.path)
    expected = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    return error.validator == "type" and not {*expected} - {"object", "array"}


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


def _of_type(rule: _Rule) -> Explanation:
    allowed = rule.limit
    if isinstance(allowed, list):
        return f"{rule.got} is none of {', '.join(allowed)}", allowed, None
    article = "an" if allowed[0] in "aeiou" else "a"
    message = f"{rule.got} is not null" if allowed == "null" else f"{rule.got} is not {article} {allowed}"
    return message, allowed, None


def _one_of(rule: _Rule) -> Explanation:
    allowed = rule.limit
    words = [value for value in allowed if isinstance(value, str)]
    near = nearest(rule.instance, words) if isinstance(rule.instance, str) else None
    listed = ", ".join(map(quote, allowed[:MAX_LISTED])) + (", ..." if len(allowed) > MAX_LISTED else "")
    return f"{rule.got} is not one of {listed}" + (f"; did you mean {near}?" if near else ""), allowed, near


def _missing(error: Error) -> str:
    """Return the property that is missing: jsonschema makes each an error, and names it in the message alone."""
    names = [name for name in error.validator_value if name not in error.instance]
    return next((name for name in names if error.message.startswith(repr(name))), names[0] if names else "?")


def _limit(text: str) -> Callable[[_Rule], Explanation]:
    return lambda rule: (f"{rule.got} {text} {quote(rule.limit)}", rule.limit, None)


def _length(text: str, noun: str, wrong: str) -> Callable[[_Rule], Explanation]:
    """Return the explanation of a limit of the length; ``wrong`` is what stands for a length that is not told."""

    def to_message(rule: _Rule) -> Explanation:
        count = rule.limit
        nouns = noun if count == 1 else ("properties" if noun == "property" else noun + "s")
        has = wrong if rule.instance is MISSING else f"has {len(rule.instance)}"
        return f"{rule.got} {has}, {text} {count} {nouns} allowed", count, None

    return to_message


def _format(rule: _Rule) -> Explanation:
    article = "an" if rule.limit[0] in "aeio" else "a"
    return f"{rule.got} is not {article} valid {rule.limit}", rule.limit, None


def _plain(text: str) -> Callable[[_Rule], Explanation]:
    return lambda rule: (f"{rule.got} {text}", None, None)


def _listing(text: str) -> Callable[[_Rule], Explanation]:
    """Return the explanation of a keyword whose limit is a list of names."""
    return lambda rule: (f"{rule.got} {text} {', '.join(map(str, rule.limit))}", rule.limit, None)


def _other(rule: _Rule) -> Explanation:
    if rule.text is None or isinstance(rule.instance, dict | list):
        return f"{rule.got} does not fit {rule.keyword}", None, None
    return rule.text, rule.limit, None


_MESSAGES: dict[str, Callable[[_Rule], Explanation]] = {
    "type": _of_type,
    "enum": _one_of,
    "const": _limit("is not"),
    "pattern": lambda rule: (f"{rule.got} does not match {rule.limit}", rule.limit, None),
    "format": _format,
    "minimum": _limit("is less than"),
    "maximum": _limit("is more than"),
    "exclusiveMinimum": _limit("is not more than"),
    "exclusiveMaximum": _limit("is not less than"),
    "multipleOf": _limit("is no multiple of"),
    "minLength": _length("at least", "character", "is too short"),
    "maxLength": _length("at most", "character", "is too long"),
    "minItems": _length("at least", "item", "has too few"),
    "maxItems": _length("at most", "item", "has too many"),
    "minProperties": _length("at least", "property", "has too few"),
    "maxProperties": _length("at most", "property", "has too many"),
    "uniqueItems": _plain("holds an item twice"),
    "oneOf": _plain("fits more than one of the forms that are allowed"),
    "not": _plain("is not allowed here"),
    "None": _plain("is not allowed here"),
    "required": _listing("lacks one of"),
    "additionalProperties": _plain("has an unknown property"),
    "unevaluatedProperties": _plain("has an unknown property"),
}
