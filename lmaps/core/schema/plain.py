"""Quick ways for plain schemas: whether a value fits, without a reason, and a document with its defaults.

A schema whose keywords are all plain becomes one function, ten times as quick as a walk through it. Any other keyword
makes the whole schema not plain; jsonschema then decides alone, and `Filler` fills. jsonschema has every explanation.
"""

import re
from collections.abc import Callable, Iterator, Sized
from operator import ge, gt, le, lt
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.protocols import Validator

from lmaps.core.schema import drafts
from lmaps.core.schema.defaults import copied
from lmaps.core.schema.formats import CHECKER

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


class _NotPlain(Exception):
    """The schema has something that is left to others."""


def plain_check(definition: Any) -> Check | None:
    """Whether a JSON value fits ``definition``, as a function; None if the schema is not plain.

    ``definition`` must be free of what `lint` finds.
    """
    validator = drafts.validator_class(definition)
    if validator is Draft4Validator:  # its limits and integers are others
        return None
    try:
        return _check(definition, validator)
    except _NotPlain:
        return None


def _check(schema: Any, validator: type[Validator]) -> Check:
    if isinstance(schema, bool):
        return lambda _value: schema
    checks = tuple(_checks(schema, validator))
    if len(checks) == 1:
        return checks[0]

    def all_of(value: Any) -> bool:
        for check in checks:  # noqa: SIM110 (a generator here costs more than the checks)
            if not check(value):
                return False
        return True

    return all_of


def _checks(schema: dict[str, Any], validator: type[Validator]) -> Iterator[Check]:
    for keyword in validator.VALIDATORS.keys() & schema.keys():
        if keyword == "properties":
            yield _properties({name: _check(below, validator) for name, below in schema[keyword].items()})
        elif keyword == "additionalProperties":
            yield _others(frozenset(schema.get("properties", ())), schema[keyword], _check(schema[keyword], validator))
        elif keyword == "items" and isinstance(schema[keyword], dict | bool):
            yield _items(_check(schema[keyword], validator))
        elif keyword in _PLAIN:
            yield _PLAIN[keyword](schema[keyword])
        else:
            raise _NotPlain


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


def _type(names: Any) -> Check:
    if isinstance(names, str):
        return _TYPES[names]
    kinds = [_TYPES[name] for name in names]
    return lambda value: any(kind(value) for kind in kinds)


def _enum(members: list[Any]) -> Check:
    if not all(isinstance(member, str) for member in members):  # equality of other values has rules of its own
        raise _NotPlain
    texts = frozenset(members)
    return lambda value: isinstance(value, str) and value in texts


def _required(names: list[str]) -> Check:
    needed = frozenset(names)
    return lambda value: not isinstance(value, dict) or needed <= value.keys()


def _pattern(pattern: str) -> Check:
    search = re.compile(pattern).search
    return lambda value: not isinstance(value, str) or search(value) is not None


def _format(name: str) -> Check:
    return lambda value: CHECKER.conforms(value, name)


def _length(kind: type[Sized], fits: Callable[[int, int], bool]) -> Callable[[int], Check]:
    return lambda limit: lambda value: not isinstance(value, kind) or fits(len(value), limit)


def _limit(fits: Callable[[float, float], bool]) -> Callable[[float], Check]:
    number = _TYPES["number"]
    return lambda limit: lambda value: not number(value) or fits(value, limit)


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
