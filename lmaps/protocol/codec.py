"""The one codec: a message is a JSON object with a name and a value for each field that is not None."""

from collections.abc import Iterator
from dataclasses import fields
from types import UnionType
from typing import Any, TypeVar

from lmaps.errors import MessageRefused
from lmaps.util import jsonio

_Message = TypeVar("_Message")
_FIELDS: dict[Any, dict[str, frozenset[type]]] = {}


def read_object(body: bytes, **limits: int) -> dict[str, Any]:
    """The JSON object in the body of a message, within the limits of `jsonio.decode`.

    `MessageRefused` says what is wrong with it.
    """
    told = jsonio.decode(body, **limits)
    if not isinstance(told, dict):
        raise MessageRefused(f"cannot read the message: expected a JSON object, not {jsonio.type_name(told)}")
    return told


def known(message: Any) -> dict[str, Any]:
    """What is known of the fields of ``message``: those that are not None."""
    told = ((name, getattr(message, name)) for name in fields_of(type(message)))
    return {name: value for name, value in told if value is not None}


def checked(kind: type[_Message], told: dict[str, Any], name: str) -> _Message:
    """``kind`` made from ``told``: no field unknown, none missing, each of its type; `MessageRefused` if not."""
    types_of = fields_of(kind)
    if not told.keys() <= types_of.keys():
        unknown, names = ", ".join(repr(field) for field in told if field not in types_of), ", ".join(types_of)
        raise MessageRefused(f"cannot read the {name}: unknown field {unknown}; it has {names}")
    for field, value in told.items():
        types = types_of[field]
        if types and type(value) not in types:
            expected = " or ".join(sorted(jsonio.TYPE_NAMES.get(each, "null") for each in types))
            raise MessageRefused(f"cannot read the {name}: {field} is not of type {expected}")
    try:
        return kind(**told)
    except TypeError as error:
        raise MessageRefused(f"cannot read the {name}: a field is missing ({error})") from error


def fields_of(kind: Any) -> dict[str, frozenset[type]]:
    """The fields of a kind of message, and the types that values of each have; none where any will do."""
    found = _FIELDS.get(kind)
    if found is None:
        found = _FIELDS[kind] = {item.name: frozenset(_types(item.type)) for item in fields(kind) if item.init}
    return found


def _types(annotation: Any) -> Iterator[type]:
    """``dict[str, Any]`` is checked as ``dict``, and no value is of type ``Any``."""
    if isinstance(annotation, UnionType):
        for part in annotation.__args__:
            yield from _types(part)
    elif annotation is not Any:
        yield getattr(annotation, "__origin__", annotation)
