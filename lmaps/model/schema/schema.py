"""`Schema`: a JSON Schema, compiled once."""

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lmaps.errors import Finding, ValidationFailed
from lmaps.model.diff import Path
from lmaps.model.schema import drafts
from lmaps.model.schema.compiled import compile_check, compile_defaults
from lmaps.util.lazy import LazyModule
from lmaps.util.text import plural

if TYPE_CHECKING:
    from lmaps.model.schema import full
else:
    full = LazyModule("lmaps.model.schema.full")  # jsonschema: 30 ms and 4 MB

_APPLICATORS = ("$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas")


class Schema:
    """A JSON Schema that applies its defaults to documents and validates them.

    ``definition`` must have none of the faults that `lint` finds. ``closed`` refuses unknown properties at the top,
    unless the schema itself says something about them.
    """

    def __init__(self, definition: Any, *, closed: bool = False) -> None:
        self.definition = _closed(definition) if closed else definition
        self._check = compile_check(self.definition)
        self._apply_defaults = compile_defaults(self.definition) or self._apply_defaults_fully

    @cached_property
    def _full(self) -> "full.FullSchema":
        return full.FullSchema(self.definition)

    def _apply_defaults_fully(self, document: object) -> object:
        return self._full.apply_defaults(document)

    def apply_defaults(self, document: object) -> object:
        """Return ``document`` with the defaults, not validated; it may share parts with ``document``."""
        return self._apply_defaults(document)

    def fits(self, document: object) -> bool:
        """Return whether the compiled check accepts ``document``; if not, only `findings` decides."""
        return self._check is not None and self._check(document)

    def findings(self, document: object, secrets: Iterable[Path] = (), *, quoting: bool = True) -> list[Finding]:
        """Return everything in ``document`` that does not fit. Defaults are not applied.

        No secret is quoted: none of those that the schema marks, and none at ``secrets``. Without ``quoting`` no value
        is quoted.
        """
        return [] if self.fits(document) else self._full.findings(document, secrets, quoting=quoting)

    def complete(self, document: Any, secrets: Iterable[Path] = ()) -> Any:
        """Return ``document`` with the defaults, valid; raise `ValidationFailed` with all `findings`."""
        completed = self._apply_defaults(document)
        if self._check is not None and self._check(completed):
            return completed
        findings = self._full.findings(completed, secrets)
        if findings:
            raise ValidationFailed(f"cannot accept the document: {plural(len(findings), 'error')}", errors=findings)
        return completed


def _closed(definition: object) -> Any:
    """Return ``definition`` with unknown properties refused at the top.

    Since 2019-09 the properties of ``$ref``, ``allOf`` and their like are known too; older drafts have no keyword for
    it, and only those under ``properties`` are known.
    """
    if not isinstance(definition, dict) or definition.keys() & {"additionalProperties", "unevaluatedProperties"}:
        return definition
    old = drafts.name(definition) in drafts.OLD
    keyword = "unevaluatedProperties" if not old and definition.keys() & set(_APPLICATORS) else "additionalProperties"
    return {**definition, keyword: False}
