"""Plain schemas as functions: whether a value fits, without a reason, and a document with its defaults.

A plain schema has only keywords whose meaning is the same in every draft since draft 6, with the values that the drafts
ask for. It becomes one function, ten times as fast as jsonschema's walk through it. Any other keyword makes the whole
schema not plain: then `lmaps.model.schema.full` does all, as it does for every explanation.
"""

import re
from collections.abc import Callable, Iterator, Sized
from operator import ge, gt, le, lt
from typing import Any

from lmaps.model.schema import drafts
from lmaps.model.schema.formats import UNCOMPILABLE, conforms
from lmaps.util.jsonio import JsonObject

Check = Callable[[Any], bool]

_TYPES: dict[str, Check] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
    ),
}


_ANNOTATIONS: dict[str, type] = {
    "title": str,
    "description": str,
    "$comment": str,
    "default": object,
    "example": object,
    "examples": list,
    "deprecated": bool,
    "readOnly": bool,
    "writeOnly": bool,
    "contentEncoding": str,
    "contentMediaType": str,
}
"""Keywords that check nothing, with the type of their values."""
_AT_ROOT = ("$schema", "$id")
_ID = re.compile(r"[A-Za-z0-9:/._~-]+\Z")


class _NotPlain(Exception):
    """The schema is not plain."""


def _expect(is_plain: bool) -> None:
    if not is_plain:
        raise _NotPlain


def compile_check(definition: object) -> Check | None:
    """Return a function that returns whether a JSON value fits ``definition``; None if the schema is not plain.

    A plain schema fits its draft's metaschema, and has no references.
    """
    try:
        return _check(_without_names(definition))
    except _NotPlain:
        return None


def _without_names(definition: object) -> object:
    """Return ``definition`` without the names of its draft and of itself.

    Draft 4 is not plain: its exclusive limits are flags, and 1.0 is no integer.
    """
    if not isinstance(definition, dict):
        return definition
    draft, name = drafts.name(definition), definition.get("$id", "it")
    _expect(draft in drafts.NAMES and draft != drafts.DRAFT4 and isinstance(name, str) and _ID.match(name) is not None)
    return {keyword: value for keyword, value in definition.items() if keyword not in _AT_ROOT}


def _all_checks(schema: Any) -> tuple[Check, ...]:
    if isinstance(schema, bool):
        return (lambda _value: schema,)
    _expect(isinstance(schema, dict))
    return tuple(_checks(schema))


def _check(schema: object) -> Check:
    checks = _all_checks(schema)
    if len(checks) == 1:
        return checks[0]

    def all_of(value: object) -> bool:
        for check in checks:  # noqa: SIM110 (a generator here costs more than the checks)
            if not check(value):
                return False
        return True

    return all_of


def _checks(schema: JsonObject) -> Iterator[Check]:
    for keyword, value in schema.items():
        if keyword == "properties":
            _expect(isinstance(value, dict))
            yield _properties({name: _all_checks(subschema) for name, subschema in value.items()})
        elif keyword == "additionalProperties":
            properties = schema.get("properties", {})
            _expect(isinstance(properties, dict))
            yield _additional_properties(frozenset(properties), value, _check(value))
        elif keyword == "items":
            yield _items(_check(value))
        elif keyword in _CHECKS:
            yield _CHECKS[keyword](value)
        else:
            _expect(keyword.startswith("x-") or isinstance(value, _ANNOTATIONS.get(keyword, ())))


def _properties(checks: dict[str, tuple[Check, ...]]) -> Check:
    # In one list, not a function for each property that calls its checks: a call costs more than a check.
    pairs = [(name, check) for name, several in checks.items() for check in several]

    def properties_fit(value: object) -> bool:
        if isinstance(value, dict):
            for name, check in pairs:
                if name in value and not check(value[name]):
                    return False
        return True

    return properties_fit


def _additional_properties(properties: frozenset[str], schema: object, check: Check) -> Check:
    if schema is False:
        return lambda value: not isinstance(value, dict) or value.keys() <= properties
    return lambda value: (
        not isinstance(value, dict) or all(check(part) for name, part in value.items() if name not in properties)
    )


def _items(check: Check) -> Check:
    return lambda value: not isinstance(value, list) or all(map(check, value))


def _unique_strings(value: Any) -> list[str]:
    """Return ``value``, which has to be a list of different strings."""
    _expect(isinstance(value, list) and all(isinstance(item, str) for item in value) and len({*value}) == len(value))
    strings: list[str] = value
    return strings


def _type(value: object) -> Check:
    names = _unique_strings(value if isinstance(value, list) else [value])
    _expect(bool(names) and _TYPES.keys() >= {*names})
    checks = [_TYPES[name] for name in names]
    return checks[0] if len(checks) == 1 else lambda value: any(check(value) for check in checks)


def _enum(members: object) -> Check:
    # Strings alone: to JSON Schema 1 equals 1.0 but not true, to Python all three are equal.
    strings = frozenset(_unique_strings(members))
    _expect(bool(strings))
    return lambda value: isinstance(value, str) and value in strings


def _required(names: object) -> Check:
    required = frozenset(_unique_strings(names))
    return lambda value: not isinstance(value, dict) or required <= value.keys()


def _pattern(pattern: Any) -> Check:
    _expect(isinstance(pattern, str))
    try:
        search = re.compile(pattern).search
    except UNCOMPILABLE:
        raise _NotPlain from None
    return lambda value: not isinstance(value, str) or search(value) is not None


def _format(name: Any) -> Check:
    _expect(isinstance(name, str))
    return lambda value: conforms(value, name)


def _length(kind: type[Sized], fits: Callable[[int, int], bool]) -> Callable[[Any], Check]:
    def with_limit(limit: Any) -> Check:
        _expect(isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0)
        return lambda value: not isinstance(value, kind) or fits(len(value), limit)

    return with_limit


def _limit(fits: Callable[[float, float], bool]) -> Callable[[Any], Check]:
    is_number = _TYPES["number"]

    def with_limit(limit: Any) -> Check:
        _expect(is_number(limit))
        return lambda value: not is_number(value) or fits(value, limit)

    return with_limit


_CHECKS: dict[str, Callable[[Any], Check]] = {
    "type": _type,
    "enum": _enum,
    "const": lambda member: _enum([member]),
    "required": _required,
    "pattern": _pattern,
    "format": _format,
    "minLength": _length(str, ge),
    "maxLength": _length(str, le),
    "minItems": _length(list, ge),
    "maxItems": _length(list, le),
    "minProperties": _length(dict, ge),
    "maxProperties": _length(dict, le),
    "minimum": _limit(ge),
    "maximum": _limit(le),
    "exclusiveMinimum": _limit(gt),
    "exclusiveMaximum": _limit(lt),
}


Fill = Callable[[Any], Any]
"""Returns a value with its defaults. Parts that take none are not copied."""


def compile_defaults(definition: object) -> Fill | None:
    """Return a function that does what `Defaults.apply` does; None if a default depends on more than on its place."""
    try:
        return _filler(definition) or _unchanged
    except _NotPlain:
        return None


def _unchanged(value: object) -> object:
    return value


_STEERING = frozenset(
    """
    $ref allOf patternProperties dependencies dependentSchemas prefixItems additionalItems if oneOf anyOf
    """.split()
)
"""Keywords by which a default depends on more than on its place."""


def _filler(schema: object) -> Fill | None:
    """Return a function that fills a value by ``schema``; None if the schema has no defaults."""
    if not isinstance(schema, dict):
        return None
    if not _STEERING.isdisjoint(schema) or isinstance(schema.get("items"), list):
        raise _NotPlain
    in_object = _object_filler(schema)
    items = _filler(schema.get("items"))
    if in_object is None and items is None:
        return None

    def fill(value: object) -> object:
        if isinstance(value, dict):
            return value if in_object is None else in_object(value)
        return [items(part) for part in value] if items is not None and isinstance(value, list) else value

    return fill


def _object_filler(schema: JsonObject) -> Fill | None:
    properties = schema.get("properties", {})
    fillers = ((name, _filler(part)) for name, part in properties.items())
    below = {name: filler for name, filler in fillers if filler is not None}
    additional = _filler(schema.get("additionalProperties"))
    defaults = [
        (name, _default_maker(part["default"], below.get(name)))
        for name, part in properties.items()
        if _has_default(part)
    ]
    if not below and additional is None and not defaults:
        return None

    def fill(value: JsonObject) -> JsonObject:
        filled = dict(value)
        if below or additional is not None:
            for name, part in value.items():
                fill_part = below.get(name) if name in properties else additional
                if fill_part is not None:
                    filled[name] = fill_part(part)
        for name, make_default in defaults:
            if name not in filled:
                filled[name] = make_default()
        return filled

    return fill


def _default_maker(default: object, fill: Fill | None) -> Callable[[], object]:
    """Return a function that returns the default: a new copy each time, as documents must not share a list or dict."""
    if not isinstance(default, dict | list):
        return lambda: default
    return lambda: copied(default) if fill is None else fill(copied(default))


def _has_default(schema: object) -> bool:
    return isinstance(schema, dict) and "default" in schema


def copied(value: object) -> object:
    """Return a deep copy of a JSON value."""
    if isinstance(value, dict):
        return {name: copied(part) for name, part in value.items()}
    return [copied(part) for part in value] if isinstance(value, list) else value
