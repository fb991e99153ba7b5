"""Quick ways for plain schemas: whether a value fits, without a reason, and a document with its defaults.

A schema whose keywords are all plain, and as the drafts want them, becomes one function, ten times as quick as a walk
through it. Any other keyword makes the whole schema not plain; jsonschema then decides alone, and `Filler` fills.
jsonschema has every explanation.
"""

import re
from collections.abc import Callable, Iterator, Sized
from operator import ge, gt, le, lt
from typing import Any

from lmaps.model.schema import drafts
from lmaps.model.schema.formats import UNCOMPILABLE, conforms

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
"""Keywords that check nothing, and what they hold."""
_AT_ROOT = ("$schema", "$id")
_ID = re.compile(r"[A-Za-z0-9:/._~-]+\Z")


class _NotPlain(Exception):
    """The schema has something that is left to others."""


def _expect(plain: bool) -> None:
    if not plain:
        raise _NotPlain


def plain_check(definition: Any) -> Check | None:
    """Whether a JSON value fits ``definition``, as a function; None if the schema is not plain.

    One that is plain is a schema of its draft, and refers to nothing.
    """
    try:
        return _check(_without_names(definition))
    except _NotPlain:
        return None


def _without_names(definition: Any) -> Any:
    """``definition`` without what names its draft and itself. The limits and integers of draft 4 are others."""
    if not isinstance(definition, dict):
        return definition
    draft, name = drafts.name(definition), definition.get("$id", "it")
    _expect(draft in drafts.NAMES and draft != drafts.DRAFT4 and isinstance(name, str) and _ID.match(name) is not None)
    return {keyword: value for keyword, value in definition.items() if keyword not in _AT_ROOT}


def _check(schema: Any) -> Check:
    if isinstance(schema, bool):
        return lambda _value: schema
    _expect(isinstance(schema, dict))
    checks = tuple(_checks(schema))
    if len(checks) == 1:
        return checks[0]

    def all_of(value: Any) -> bool:
        for check in checks:  # noqa: SIM110 (a generator here costs more than the checks)
            if not check(value):
                return False
        return True

    return all_of


def _checks(schema: dict[str, Any]) -> Iterator[Check]:
    for keyword, told in schema.items():
        if keyword == "properties":
            _expect(isinstance(told, dict))
            yield _properties({name: _check(below) for name, below in told.items()})
        elif keyword == "additionalProperties":
            known = schema.get("properties", {})
            _expect(isinstance(known, dict))
            yield _others(frozenset(known), told, _check(told))
        elif keyword == "items":
            yield _items(_check(told))
        elif keyword in _PLAIN:
            yield _PLAIN[keyword](told)
        else:
            _expect(keyword.startswith("x-") or isinstance(told, _ANNOTATIONS.get(keyword, ())))


def _properties(checks: dict[str, Check]) -> Check:
    def _property_fits(value: Any) -> bool:
        if isinstance(value, dict):
            for name, check in checks.items():
                if name in value and not check(value[name]):
                    return False
        return True

    return _property_fits


def _others(known: frozenset[str], schema: Any, check: Check) -> Check:
    if schema is False:
        return lambda value: not isinstance(value, dict) or value.keys() <= known
    return lambda value: (
        not isinstance(value, dict) or all(check(part) for name, part in value.items() if name not in known)
    )


def _items(check: Check) -> Check:
    return lambda value: not isinstance(value, list) or all(map(check, value))


def _texts(told: Any) -> list[str]:
    """What is told, which is to be a list of different strings."""
    _expect(isinstance(told, list) and all(isinstance(each, str) for each in told) and len({*told}) == len(told))
    texts: list[str] = told
    return texts


def _type(told: Any) -> Check:
    names = _texts(told if isinstance(told, list) else [told])
    _expect(bool(names) and _TYPES.keys() >= {*names})
    kinds = [_TYPES[name] for name in names]
    return kinds[0] if len(kinds) == 1 else lambda value: any(kind(value) for kind in kinds)


def _enum(members: Any) -> Check:
    """Of strings alone: equality of other values has rules of its own."""
    texts = frozenset(_texts(members))
    _expect(bool(texts))
    return lambda value: isinstance(value, str) and value in texts


def _required(names: Any) -> Check:
    needed = frozenset(_texts(names))
    return lambda value: not isinstance(value, dict) or needed <= value.keys()


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
    def of(limit: Any) -> Check:
        _expect(isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0)
        return lambda value: not isinstance(value, kind) or fits(len(value), limit)

    return of


def _limit(fits: Callable[[float, float], bool]) -> Callable[[Any], Check]:
    number = _TYPES["number"]

    def of(limit: Any) -> Check:
        _expect(number(limit))
        return lambda value: not number(value) or fits(value, limit)

    return of


_PLAIN: dict[str, Callable[[Any], Check]] = {
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


def plain_filler(definition: Any) -> Fill | None:
    """What `Filler.fill` does, as a function; None if defaults depend on more than on places.

    Parts of a document that take no defaults are not copied.
    """
    try:
        return _filler(definition) or _same
    except _NotPlain:
        return None


def _same(value: Any) -> Any:
    return value


_STEERING = frozenset(
    """
    $ref allOf patternProperties dependencies dependentSchemas prefixItems additionalItems if oneOf anyOf
    """.split()
)
"""Keywords by which a default depends on more than on its place."""


def _filler(schema: Any) -> Fill | None:
    """What fills a value; None if it stays as it is."""
    if not isinstance(schema, dict):
        return None
    if not _STEERING.isdisjoint(schema) or isinstance(schema.get("items"), list):
        raise _NotPlain
    in_object = _object_filler(schema)
    items = _filler(schema.get("items"))
    if in_object is None and items is None:
        return None

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return value if in_object is None else in_object(value)
        return [items(part) for part in value] if items is not None and isinstance(value, list) else value

    return fill


def _object_filler(schema: dict[str, Any]) -> Fill | None:
    properties = schema.get("properties", {})
    fillers = ((name, _filler(part)) for name, part in properties.items())
    below = {name: filler for name, filler in fillers if filler is not None}
    others = _filler(schema.get("additionalProperties"))
    defaults = [
        (name, _made(part["default"], below.get(name))) for name, part in properties.items() if _has_default(part)
    ]
    if not below and others is None and not defaults:
        return None

    def fill(value: dict[str, Any]) -> dict[str, Any]:
        filled = dict(value)
        if below or others is not None:
            for name, part in value.items():
                fill_part = below.get(name) if name in properties else others
                if fill_part is not None:
                    filled[name] = fill_part(part)
        for name, make in defaults:
            if name not in filled:
                filled[name] = make()
        return filled

    return fill


def _made(default: Any, fill: Fill | None) -> Callable[[], Any]:
    """What makes a default: anew each time if it can be changed."""
    if not isinstance(default, dict | list):
        return lambda: default
    return lambda: copied(default) if fill is None else fill(copied(default))


def _has_default(schema: Any) -> bool:
    return isinstance(schema, dict) and "default" in schema


def copied(value: Any) -> Any:
    """A deep copy of a JSON value."""
    if isinstance(value, dict):
        return {name: copied(part) for name, part in value.items()}
    return [copied(part) for part in value] if isinstance(value, list) else value
