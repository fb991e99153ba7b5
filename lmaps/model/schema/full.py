"""Any schema at all, by jsonschema and the filler for all schemas, with every explanation."""

from collections.abc import Iterator
from typing import Any, cast

from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator

from lmaps.errors import Finding
from lmaps.model.schema import backend
from lmaps.model.schema.defaults import Filler
from lmaps.model.schema.messages import findings


class Whole:
    """A schema that is not plain, or whose every finding is wanted."""

    def __init__(self, definition: Any) -> None:
        self._validator = backend.validator(definition)
        self._filler = Filler(definition, self._validator)

    def fill(self, document: Any) -> Any:
        """A copy of ``document`` with the defaults mixed in."""
        return self._filler.fill(document)

    def findings(self, document: Any) -> list[Finding]:
        """Everything in ``document`` that does not fit."""
        return findings(self._validator.iter_errors(document))

    def default_findings(self, schema: dict[str, Any], resolver: Any) -> list[Finding]:
        """What does not fit in the default of ``schema``, a part of this one; ``resolver`` holds in it."""
        filled = self._filler.fill_part(schema, resolver, schema["default"])
        return findings(self._validator.evolve(schema=schema, _resolver=resolver).iter_errors(filled))


def extend_with_default(validator_class: type[Validator]) -> type[Validator]:
    """A validator of the same draft that mixes the defaults into the document it validates, in place."""

    class WithDefaults:
        """Fills, then validates as the class that it was made from."""

        META_SCHEMA = validator_class.META_SCHEMA

        def __init__(self, schema: Any, **kwargs: Any) -> None:
            self.schema = schema
            self._validator = validator_class(schema, **({"registry": backend.REGISTRY} | kwargs))
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
