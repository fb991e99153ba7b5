"""Arguments of endpoints as classes: the JSON Schema of a request is made from the class, an instance from a request.

    @arguments
    class Show:
        unit: UnitName
        at: Text | None = argument(default=None, doc="The revision to show; the newest if left out.")
        limit: Annotated[int, Keywords(minimum=1)] = 20

A field without a default is required. A default is part of the schema, but for None: such an argument may only be left
out, it is never null on the wire. A name that is a keyword of Python ends in ``_`` (``from_`` is ``from``).
"""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cached_property, partial
from typing import (
    Annotated,
    Any,
    Generic,
    NamedTuple,
    TypeVar,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from lmaps.model.schema import Schema
from lmaps.model.schema.dataclasses import (
    Keywords,
    doc_of,
    is_required,
    object_schema,
    ordered_fields,
    property_name,
    without_none,
)
from lmaps.util import jsonio
from lmaps.util.jsonio import JsonObject

UnitName = Annotated[str, Keywords("The unit.", minLength=1, maxLength=64)]
Text = Annotated[str, Keywords(maxLength=4096)]
Pointer = Annotated[str, Keywords(pattern="^/")]
Duration = Annotated[str, Keywords(pattern=r"^\d+(\.\d+)?[smhd]$")]
RevisionNumber = Annotated[str, Keywords(pattern=r"^r?\d{1,18}$")]
Number = Annotated[int, Keywords(minimum=0, maximum=jsonio.INTEGERS[-1])]
"""What the database can count: JSON Schema calls 1e300 an integer too."""
Limit = Annotated[int, Keywords(minimum=1, maximum=10_000)]
Milliseconds = Annotated[int, Keywords(minimum=0, maximum=600_000)]
Documents = Annotated[list[Any], Keywords(writeOnly=True)]
"""Documents, or other values of theirs: they may hold secrets, so no refusal of the arguments quotes them."""
SomeDocuments = Annotated[list[Any], Keywords(minItems=1, writeOnly=True)]

_Arguments = TypeVar("_Arguments")
_Convert = Callable[[Any], Any]


def argument(default: object = MISSING, doc: str = "") -> Any:
    """Return the field of an argument: its default, and its text in the reference."""
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


@arguments
class Run:
    """How a job is run."""

    timeout: Duration | None = argument(default=None, doc="The job is ended after so long.")
    confirm: Duration | None = argument(default=None, doc="The job is undone unless it is confirmed within so long.")


@arguments
class Write:
    """The arguments of everything that writes."""

    message: Text | None = argument(default=None, doc="Why, in words.")
    ticket: Text | None = argument(default=None, doc="The ticket that asks for it.")
    on_behalf_of: Text | None = argument(default=None, doc="For whom; recorded as a claim.")
    if_rev: RevisionNumber | None = argument(default=None, doc="Do it only if this is the unit's newest revision.")
    dry_run: bool = argument(default=False, doc="Answer what would change, and change nothing.")

    @property
    def is_allowed_unconfirmed(self) -> bool:
        """Whether it may be done while a job of the unit waits for confirmation."""
        return False


@arguments
class WriteAndApply(Write):
    """The arguments of a write that may queue a job after its change."""

    apply: Run | None = argument(default=None, doc="Queue a job after the change.")


NO_WRITE = Write()


class Argument(NamedTuple):
    """An argument for the reference: its name on the wire, its JSON Schema, what it means."""

    name: str
    schema: JsonObject
    is_required: bool
    doc: str


class Reader(Generic[_Arguments]):
    """Checks the arguments of requests against the schema of a class, and makes instances of it."""

    def __init__(self, kind: type[_Arguments]) -> None:
        self.kind = kind

    @cached_property
    def definition(self) -> JsonObject:
        """The JSON Schema of the arguments."""
        return object_schema(self.kind)

    @cached_property
    def schema(self) -> Schema:
        """The compiled schema, made when the endpoint is first asked."""
        return Schema(self.definition)

    @cached_property
    def read(self) -> Callable[[JsonObject], _Arguments]:
        """The function that makes an instance of values that fit the schema."""
        return _converter(self.kind)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of all arguments."""
        return frozenset(property_name(part) for part in ordered_fields(self.kind))

    @cached_property
    def required(self) -> frozenset[str]:
        """The names of the arguments that have no default."""
        return frozenset(property_name(part) for part in ordered_fields(self.kind) if is_required(part))

    def rows(self) -> list[Argument]:
        """Return the arguments of the class's own for the reference."""
        hints = get_type_hints(self.kind, include_extras=True)
        own = [part for part in ordered_fields(self.kind) if part.name in self.kind.__annotations__]
        properties = self.definition["properties"]
        return [
            Argument(
                property_name(part),
                properties[property_name(part)],
                is_required=is_required(part),
                doc=part.metadata.get("doc") or doc_of(hints[part.name]),
            )
            for part in own
        ]


def _converter(kind: Any) -> _Convert:
    """Return what makes an instance of a class from values that fit its schema."""
    hints = get_type_hints(kind)
    found = ((property_name(part), _value_converter(hints[part.name])) for part in fields(kind))
    converters = {name: converter for name, converter in found if converter is not None}
    renamed = {property_name(part): part.name for part in fields(kind) if part.name != property_name(part)}

    def convert(values: JsonObject) -> Any:
        if not converters.keys().isdisjoint(values):
            changed = {name: converters[name](values[name]) for name in converters.keys() & values.keys()}
            values = values | changed
        if not renamed.keys().isdisjoint(values):
            values = {renamed.get(name, name): value for name, value in values.items()}
        return kind(**values)

    return convert


def _value_converter(hint: object) -> _Convert | None:
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


def _integer(value: object) -> Any:
    return int(value) if isinstance(value, float) else value  # JSON Schema takes 2.0 for an integer
