"""The one codec: a message is a JSON object with a name and a value for each field that is not None."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from types import UnionType
from typing import Any, TypeVar

from lmaps.errors import MessageRefused
from lmaps.util import jsonio

_Message = TypeVar("_Message")


def read_object(body: bytes, **limits: int) -> dict[str, Any]:
    """Return the JSON object in the body of a message; ``limits`` are those of `jsonio.decode`.

    Raises `MessageRefused` if the body is not a JSON object, `TooLarge` if it exceeds a limit.
    """
    value = jsonio.decode(body, **limits)
    if not isinstance(value, dict):
        raise MessageRefused(f"cannot read the message: expected a JSON object, not {jsonio.type_name(value)}")
    return value


def to_fields(message: object) -> dict[str, Any]:
    """Return the values of a message's fields by name, without those that are None."""
    # An absent field reads as its default, None: leaving it out is what lets versions differ in their optional fields.
    values = ((name, getattr(message, name)) for name in field_types(type(message)))
    return {name: value for name, value in values if value is not None}


def from_fields(kind: type[_Message], values: dict[str, Any], name: str) -> _Message:
    """Return a message of this kind with these values; ``name`` is what errors call it.

    Raises `MessageRefused` for a field that the kind does not have, one that is missing, or one of another type.
    """
    types_of = field_types(kind)
    if not values.keys() <= types_of.keys():
        unknown, names = ", ".join(repr(field) for field in values if field not in types_of), ", ".join(types_of)
        raise MessageRefused(f"cannot read the {name}: unknown field {unknown}; it has {names}")
    for field, value in values.items():
        types = types_of[field]
        if types and type(value) not in types:  # not isinstance: true would pass for the integer 1
            expected = " or ".join(sorted(jsonio.TYPE_NAMES.get(type_, "null") for type_ in types))
            raise MessageRefused(f"cannot read the {name}: {field} is not of type {expected}")
    try:
        return kind(**values)
    except TypeError as error:  # names and types are right, so only a field without a default can be missing
        raise MessageRefused(f"cannot read the {name}: a field is missing ({error})") from error


def _field_types(kind: Any) -> dict[str, frozenset[type]]:
    """Return the types that the values of each field may have, by the field's name; an empty set allows any value."""
    return {field.name: frozenset(_types(field.type)) for field in fields(kind) if field.init}


field_types: Callable[[Any], dict[str, frozenset[type]]] = cache(_field_types)
"""`_field_types`, once for each kind: reading annotations takes longer than reading a message."""


def _types(annotation: Any) -> Iterator[type]:
    """Yield the types of an annotation: ``dict`` for ``dict[str, Any]``, nothing for ``Any``."""
    if isinstance(annotation, UnionType):
        for part in annotation.__args__:
            yield from _types(part)
    elif annotation is not Any:
        yield getattr(annotation, "__origin__", annotation)
