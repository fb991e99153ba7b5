"""`Schema`: everything for one schema, compiled once."""

from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, cast

from jsonschema import Draft4Validator, Draft6Validator, Draft7Validator
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator

from lmaps.core.schema import drafts
from lmaps.core.schema.defaults import Filler
from lmaps.core.schema.findings import findings
from lmaps.core.schema.formats import CHECKER
from lmaps.core.schema.plain import plain_check, plain_filler
from lmaps.core.words import plural
from lmaps.errors import Finding, ValidationFailed

_STEPS = {"descend": "path", "_property_fits": "name", "_fill_object": "name", "_fill_array": "index"}
"""The functions that go a step down into a document, and what they call the step."""
_APPLICATORS = ("$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas")


class Schema:
    """A JSON Schema that mixes its defaults into documents and checks them.

    ``definition`` must be free of what `lint` finds. ``closed`` refuses properties at the top that it does not know,
    unless it says itself how it stands with them.
    """

    def __init__(self, definition: Any, *, closed: bool = False) -> None:
        self.definition = _closed(definition) if closed else definition
        kind = drafts.validator_class(self.definition)
        self._validator: Validator = kind(self.definition, registry=drafts.REGISTRY, format_checker=CHECKER)
        self._filler = Filler(self.definition, self._validator)
        self._fill = plain_filler(self.definition) or self._filler.fill
        self._fits = plain_check(self.definition)

    def fill(self, document: Any) -> Any:
        """``document`` with the defaults mixed in, not validated; parts that take none may be its own."""
        return self._fill(document)

    def fits(self, document: Any) -> bool:
        """Whether ``document`` is known at once to fit; if not, `findings` decides."""
        return self._fits is not None and self._fits(document)

    def findings(self, document: Any) -> list[Finding]:
        """Everything in ``document`` that does not fit; no defaults are mixed in."""
        return [] if self.fits(document) else findings(self._validator.iter_errors(document))

    def default_findings(self, schema: dict[str, Any], resolver: Any) -> list[Finding]:
        """What does not fit in the default of ``schema``, a part of this one; ``resolver`` holds in it."""
        filled = self._filler.fill_part(schema, resolver, schema["default"])
        return findings(self._validator.evolve(schema=schema, _resolver=resolver).iter_errors(filled))

    def complete(self, document: Any) -> Any:
        """``document`` with the defaults mixed in, valid; else `ValidationFailed` with all findings."""
        completed = self.fill(document)
        wrong = self.findings(completed)
        if wrong:
            raise ValidationFailed(f"cannot accept the document: {plural(len(wrong), 'error')}", errors=wrong)
        return completed


def path_of(frames: Iterable[FrameType]) -> tuple[str | int, ...]:
    """The place in its document that a check was at, as far as its frames tell."""
    found = (frame.f_locals.get(_STEPS.get(frame.f_code.co_name, "")) for frame in frames)
    return tuple(step for step in found if isinstance(step, str | int))


def _closed(definition: Any) -> Any:
    """``definition`` with unknown properties refused at the top.

    From 2019-09 on properties that come from ``$ref``, ``allOf`` and their like are known too; before that there is
    no keyword for it, and only those under ``properties`` are.
    """
    if not isinstance(definition, dict) or definition.keys() & {"additionalProperties", "unevaluatedProperties"}:
        return definition
    old = drafts.validator_class(definition) in (Draft4Validator, Draft6Validator, Draft7Validator)
    keyword = "unevaluatedProperties" if not old and definition.keys() & set(_APPLICATORS) else "additionalProperties"
    return {**definition, keyword: False}


def extend_with_default(validator_class: type[Validator]) -> type[Validator]:
    """A validator of the same draft that mixes the defaults into the document it validates, in place."""

    class WithDefaults:
        """Fills, then validates as the class that it was made from."""

        META_SCHEMA = validator_class.META_SCHEMA

        def __init__(self, schema: Any, **kwargs: Any) -> None:
            self.schema = schema
            self._validator = validator_class(schema, **({"registry": drafts.REGISTRY} | kwargs))
            self._filler = Filler(schema, self._validator)

        def iter_errors(self, instance: Any) -> Iterator[ValidationError]:
            """Mix in the defaults, then yield what does not fit."""
            self._filler.fill_in_place(instance)
            yield from self._validator.iter_errors(instance)

        def validate(self, instance: Any) -> None:
            """Mix in the defaults; raise jsonschema's `ValidationError` for the first thing that does not fit."""
            for error in self.iter_errors(instance):
                raise error

        def is_valid(self, instance: Any) -> bool:
            """Mix in the defaults; whether everything fits."""
            return next(self.iter_errors(instance), None) is None

    WithDefaults.__name__ = f"{validator_class.__name__}WithDefaults"
    return cast(type[Validator], WithDefaults)
