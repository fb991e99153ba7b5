"""Any schema at all, by jsonschema, with every explanation."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain
from typing import Any, cast

from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from referencing.exceptions import Unresolvable

from lmaps.errors import Finding, ValidationFailed
from lmaps.model.diff import Path
from lmaps.model.schema import backend
from lmaps.model.schema.defaults import Defaults
from lmaps.model.schema.messages import to_findings
from lmaps.model.schema.secrets import Secrets
from lmaps.util.jsonio import JsonObject

_UNCHECKABLE = (Unresolvable, RecursionError)


def _why(error: Exception) -> str:
    """Return why a schema cannot be used on a document, although nothing was found wrong with it when it was loaded."""
    if isinstance(error, Unresolvable):
        return f"it cannot be checked: the schema's reference {error.ref} leads to nothing from where it was reached"
    return "it cannot be checked: the schema refers to itself around the same value"


class FullSchema:
    """A schema with all keywords of its draft, which explains every error."""

    def __init__(self, definition: object) -> None:
        self._validator = backend.validator(definition)
        self._defaults = Defaults(definition, self._validator)
        self._definition = definition

    @cached_property
    def _secrets(self) -> Secrets:
        return Secrets(self._definition)

    def apply_defaults(self, document: object) -> object:
        """Return a copy of ``document`` with the defaults."""
        try:
            return self._defaults.apply(document)
        except _UNCHECKABLE as error:
            raise ValidationFailed(_why(error), errors=[Finding(_why(error))]) from None

    def findings(self, document: Any, secrets: Iterable[Path] = (), *, quoting: bool = True) -> list[Finding]:
        """Return everything in ``document`` that does not fit; see `Schema.findings`."""
        errors = self._validator.iter_errors(document)
        try:
            # Only a document with errors pays for the search of its secrets. Errors are not collected: thousands of
            # them in memory would cost a quarter more.
            first = next(errors, None)
            if first is None:
                return []
            paths = [*secrets, *self._secret_paths(document)]
            is_marked = bool(paths) or self._secrets.any
            return to_findings(chain([first], errors), paths, is_marked=is_marked, quoting=quoting)
        except _UNCHECKABLE as error:
            return [Finding(_why(error))]

    def _secret_paths(self, document: object) -> Iterable[Path]:
        return [()] if self._secrets.marks_all() else self._secrets.paths(document)

    def default_findings(self, schema: JsonObject, resolver: object, *, quoting: bool) -> list[Finding]:
        """Return everything in the default of a subschema that does not fit; ``resolver`` is the one in its scope."""
        filled = self._defaults.apply_part(schema, resolver, schema["default"])
        errors = self._validator.evolve(schema=schema, _resolver=resolver).iter_errors(filled)
        return to_findings(errors, quoting=quoting)


def extend_with_default(validator_class: type[Validator]) -> type[Validator]:
    """Return a validator of the same draft that adds the defaults to the document it validates, in place."""

    class WithDefaults:
        """Adds the defaults, then validates as the class that it was made from."""

        META_SCHEMA = validator_class.META_SCHEMA

        def __init__(self, schema: Any, **kwargs: Any) -> None:
            self.schema = schema
            self._validator = validator_class(schema, **({"registry": backend.REGISTRY} | kwargs))
            self._defaults = Defaults(schema, self._validator)

        def iter_errors(self, instance: Any) -> Iterator[ValidationError]:
            """Add the defaults, then yield everything that does not fit."""
            self._defaults.apply_in_place(instance)
            yield from self._validator.iter_errors(instance)

        def validate(self, instance: object) -> None:
            """Add the defaults; raise jsonschema's `ValidationError` for the first value that does not fit."""
            for error in self.iter_errors(instance):
                raise error

        def is_valid(self, instance: object) -> bool:
            """Add the defaults; return whether everything fits."""
            return next(self.iter_errors(instance), None) is None

    WithDefaults.__name__ = f"{validator_class.__name__}WithDefaults"
    return cast(type[Validator], WithDefaults)
