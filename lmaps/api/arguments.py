"""Arguments of endpoints as classes: the JSON Schema of a request is made from the class, an instance from a request.

    @arguments
    class Show:
        unit: UnitName
        at: Text | None = argument(None, "The revision to show; the newest if it is left out.")
        limit: Annotated[int, Keywords(minimum=1)] = 20

A field without a default is required. A default is part of the schema, but for None: such an argument may only be left
out, it is never null on the wire. A name that is a keyword of Python ends in ``_`` (``from_`` is ``from``).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property, partial
from typing import Annotated, Any, Generic, TypeVar, dataclass_transform, get_args, get_origin, get_type_hints

from lmaps.errors import Finding
from lmaps.model.schema import Schema
from lmaps.model.schema.dataclasses import (
    Keywords,
    is_required,
    object_schema,
    ordered_fields,
    property_name,
    without_none,
)
from lmaps.util import jsonio

UnitName = Annotated[str, Keywords(minLength=1, maxLength=64)]
Text = Annotated[str, Keywords(maxLength=4096)]
Pointer = Annotated[str, Keywords(pattern="^/")]
Duration = Annotated[str, Keywords(pattern=r"^\d+(\.\d+)?[smhd]$")]
RevisionNumber = Annotated[str, Keywords(pattern=r"^r?\d{1,18}$")]
Number = Annotated[int, Keywords(minimum=0, maximum=jsonio.INTEGERS[-1])]
"""What the database can count: JSON Schema calls 1e300 an integer too."""
Limit = Annotated[int, Keywords(minimum=1, maximum=10_000)]
Milliseconds = Annotated[int, Keywords(minimum=0, maximum=600_000)]
Documents = list[Any]
SomeDocuments = Annotated[list[Any], Keywords(minItems=1)]

_Arguments = TypeVar("_Arguments")
_Convert = Callable[[Any], Any]


def argument(default: Any, doc: str = "") -> Any:
    """Return the field of an argument that may be left out: its default, and its line in the reference."""
    metadata = {"doc": doc}
    if isinstance(default, list):
        return field(default_factory=partial(list, default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(argument,))
def arguments(kind: type[_Arguments]) -> type[_Arguments]:
    """Make a frozen dataclass of the arguments of an endpoint, or of an object within them."""
    # Nobody compares or prints arguments: without those methods a class costs half the time when the daemon starts.
    return dataclass(frozen=True, kw_only=True, eq=False, repr=False, match_args=False)(kind)


@arguments
class NoArguments:
    """The arguments of an endpoint that takes none."""


class Reader(Generic[_Arguments]):
    """Checks the arguments of requests against the schema of a class, and makes instances of it."""

    def __init__(self, kind: type[_Arguments]) -> None:
        self.kind = kind

    @cached_property
    def definition(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        return object_schema(self.kind)

    @cached_property
    def schema(self) -> Schema:
        """The compiled schema, made when the endpoint is first asked."""
        return Schema(self.definition)

    @cached_property
    def _convert(self) -> _Convert:
        return _converter(self.kind)

    def findings(self, values: dict[str, Any]) -> list[Finding]:
        """Return everything in ``values`` that does not fit; slow, for values that `fits` has refused."""
        return self.schema.findings(values)

    def read(self, values: dict[str, Any]) -> _Arguments:
        """Return the instance that ``values`` make, which have to fit the schema."""
        instance: _Arguments = self._convert(values)
        return instance

    def rows(self) -> list[tuple[str, bool, str]]:
        """Return each argument of the class's own for the reference: its name, whether it is required, its doc."""
        own = [part for part in ordered_fields(self.kind) if part.name in self.kind.__annotations__]
        return [(property_name(part), is_required(part), part.metadata.get("doc", "")) for part in own]


def _converter(kind: Any) -> _Convert:
    """Return what makes an instance of a class from values that fit its schema."""
    hints = get_type_hints(kind)
    found = ((property_name(part), _value_converter(hints[part.name])) for part in fields(kind))
    converters = {name: converter for name, converter in found if converter is not None}
    renamed = {property_name(part): part.name for part in fields(kind) if part.name != property_name(part)}

    def convert(values: dict[str, Any]) -> Any:
        if not converters.keys().isdisjoint(values):
            changed = {name: converters[name](values[name]) for name in converters.keys() & values.keys()}
            values = values | changed
        if not renamed.keys().isdisjoint(values):
            values = {renamed.get(name, name): value for name, value in values.items()}
        return kind(**values)

    return convert


def _value_converter(hint: Any) -> _Convert | None:
    """Return what makes a field's value from that of the request; None if it stays as it is."""
    hint = without_none(hint)
    if hint is int:
        return _integer
    if is_dataclass(hint):
        return _converter(hint)
    if get_origin(hint) is list and is_dataclass(get_args(hint)[0]):
        convert = _converter(get_args(hint)[0])
        return lambda values: [convert(value) for value in values]
    return None


def _integer(value: Any) -> Any:
    return int(value) if isinstance(value, float) else value  # JSON Schema takes 2.0 for an integer
