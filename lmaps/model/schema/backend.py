"""jsonschema, in each draft.

Import it by `lmaps.util.lazy`: it takes 30 ms and 4 MB of a start, and plain schemas do without.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_specifications  # type: ignore[import-untyped]  # it has no types
from jsonschema import (
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
    FormatChecker,
)
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import (
    DRAFT4,
    DRAFT6,
    DRAFT7,
    DRAFT201909,
    DRAFT202012,
    SchemaRegistry,
    SchemaResource,
)

from lmaps.model.schema import drafts
from lmaps.model.schema.formats import FORMATS
from lmaps.util.jsonio import JsonObject

REGISTRY: SchemaRegistry = Registry().combine(jsonschema_specifications.REGISTRY)
"""The metaschemas of the drafts. It has no way to fetch anything: a schema must not reach files or the network."""

CHECKER = FormatChecker(formats=())
"""Checks exactly the formats of `lmaps.model.schema.formats`."""
for _format, (_check, _raises) in FORMATS.items():
    CHECKER.checks(_format, _raises)(_check)

_KINDS: tuple[tuple[object, object], ...] = (
    (Draft4Validator, DRAFT4),
    (Draft6Validator, DRAFT6),
    (Draft7Validator, DRAFT7),
    (Draft201909Validator, DRAFT201909),
    (Draft202012Validator, DRAFT202012),
)
_DRAFTS = dict(zip(drafts.NAMES, _KINDS, strict=True))


def _kind(definition: object) -> tuple[Any, Any]:
    return _DRAFTS.get(drafts.name(definition), _DRAFTS[drafts.DEFAULT])


def _additional_properties(validator: Any, value: object, instance: Any, schema: JsonObject) -> Iterator[Any]:
    """Do as jsonschema does, with each pattern on its own.

    It joins them by ``|``: a flag in the second one, or a group with the name of one in the first, raises `re.error`.
    """
    patterns = schema.get("patternProperties")
    if patterns and isinstance(instance, dict):
        instance = {
            name: part for name, part in instance.items() if not any(re.search(pattern, name) for pattern in patterns)
        }
        schema = {"properties": schema.get("properties", {})}
    errors: Iterator[Any] = Draft202012Validator.VALIDATORS["additionalProperties"](validator, value, instance, schema)
    return errors


@cache
def _extended(kind: Any) -> Any:
    return extend(kind, {"additionalProperties": _additional_properties})  # type: ignore[no-untyped-call]


def validator_class(definition: object) -> type[Validator]:
    """Return the validator class of the schema's draft, 2020-12 where it names none."""
    kind: type[Validator] = _extended(_kind(definition)[0])
    return kind


def validator(definition: Any) -> Validator:
    """Return a validator of a schema."""
    instance: Validator = validator_class(definition)(definition, registry=REGISTRY, format_checker=CHECKER)
    return instance


def metaschema_errors(definition: Any) -> Iterator[Any]:
    """Yield jsonschema's errors of a schema against its draft's metaschema."""
    kind = validator_class(definition)
    yield from kind(kind.META_SCHEMA, registry=REGISTRY, format_checker=CHECKER).iter_errors(definition)


def specification(definition: object) -> Any:
    """Return referencing's description of the schema's draft: its keywords for identity and references."""
    return _kind(definition)[1]


def resolver(definition: Any) -> Any:
    """Return a resolver of references at the schema's root; only those into the schema itself can be resolved."""
    resource: SchemaResource = Resource.from_contents(definition, default_specification=specification(definition))
    return REGISTRY.resolver_with_root(resource)


def find(resolver: Any, reference: str) -> tuple[object, object] | None:
    """Return what a reference leads to, with the resolver for its scope; None if there is nothing."""
    try:
        target = resolver.lookup(reference)
    except Unresolvable:
        return None
    return target.contents, target.resolver
