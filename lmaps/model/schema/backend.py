"""What jsonschema does for us, in each draft. Plain schemas do without it: it takes 30 ms and 4 MB of a start."""

from collections.abc import Iterator
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
from referencing import Registry, Resource
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

REGISTRY: SchemaRegistry = Registry().combine(jsonschema_specifications.REGISTRY)
"""The drafts' own metaschemas, and no way to fetch anything else."""

CHECKER = FormatChecker(formats=())
"""Checks exactly our own formats."""
for _format, (_check, _raises) in FORMATS.items():
    CHECKER.checks(_format, _raises)(_check)

_KINDS: tuple[tuple[Any, Any], ...] = (
    (Draft4Validator, DRAFT4),
    (Draft6Validator, DRAFT6),
    (Draft7Validator, DRAFT7),
    (Draft201909Validator, DRAFT201909),
    (Draft202012Validator, DRAFT202012),
)
_DRAFTS = dict(zip(drafts.NAMES, _KINDS, strict=True))


def _kind(definition: Any) -> tuple[Any, Any]:
    return _DRAFTS.get(drafts.name(definition), _DRAFTS[drafts.DEFAULT])


def validator_class(definition: Any) -> type[Validator]:
    """The validator of the schema's draft, 2020-12 where it names none."""
    found: type[Validator] = _kind(definition)[0]
    return found


def validator(definition: Any) -> Validator:
    """The validator of a schema."""
    kind = validator_class(definition)
    made: Validator = kind(definition, registry=REGISTRY, format_checker=CHECKER)
    return made


def metaschema_errors(definition: Any) -> Iterator[Any]:
    """What the draft itself has against a schema."""
    kind = validator_class(definition)
    yield from kind(kind.META_SCHEMA, registry=REGISTRY, format_checker=CHECKER).iter_errors(definition)


def specification(definition: Any) -> Any:
    """How the schema's draft spells identity and references."""
    return _kind(definition)[1]


def resolver(definition: Any) -> Any:
    """Resolves references from the schema's root; what is not in the schema itself is unresolvable."""
    resource: SchemaResource = Resource.from_contents(definition, default_specification=specification(definition))
    return REGISTRY.resolver_with_root(resource)
