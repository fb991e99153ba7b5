"""`Schema`: everything for one schema, compiled once."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from lmaps.errors import Finding, ValidationFailed
from lmaps.model.schema import drafts
from lmaps.model.schema.compiled import plain_check, plain_filler
from lmaps.util.text import plural

if TYPE_CHECKING:
    from lmaps.model.schema.full import Whole

_APPLICATORS = ("$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas")


class Schema:
    """A JSON Schema that mixes its defaults into documents and checks them.

    ``definition`` must be free of what `lint` finds. ``closed`` refuses properties at the top that it does not know,
    unless it says itself how it stands with them.
    """

    def __init__(self, definition: Any, *, closed: bool = False) -> None:
        self.definition = _closed(definition) if closed else definition
        self._fits = plain_check(self.definition)
        self._fill = plain_filler(self.definition) or self._fill_wholly

    @cached_property
    def _whole(self) -> "Whole":
        from lmaps.model.schema.full import Whole  # noqa: PLC0415 (jsonschema, which plain schemas do without)

        return Whole(self.definition)

    def _fill_wholly(self, document: Any) -> Any:
        return self._whole.fill(document)

    def fill(self, document: Any) -> Any:
        """``document`` with the defaults mixed in, not validated; parts that take none may be its own."""
        return self._fill(document)

    def fits(self, document: Any) -> bool:
        """Whether ``document`` is known at once to fit; if not, `findings` decides."""
        return self._fits is not None and self._fits(document)

    def findings(self, document: Any) -> list[Finding]:
        """Everything in ``document`` that does not fit; no defaults are mixed in."""
        return [] if self.fits(document) else self._whole.findings(document)

    def complete(self, document: Any) -> Any:
        """``document`` with the defaults mixed in, valid; else `ValidationFailed` with all findings."""
        completed = self.fill(document)
        wrong = self.findings(completed)
        if wrong:
            raise ValidationFailed(f"cannot accept the document: {plural(len(wrong), 'error')}", errors=wrong)
        return completed


def _closed(definition: Any) -> Any:
    """``definition`` with unknown properties refused at the top.

    From 2019-09 on properties that come from ``$ref``, ``allOf`` and their like are known too; before that there is
    no keyword for it, and only those under ``properties`` are.
    """
    if not isinstance(definition, dict) or definition.keys() & {"additionalProperties", "unevaluatedProperties"}:
        return definition
    old = drafts.name(definition) in drafts.OLD
    keyword = "unevaluatedProperties" if not old and definition.keys() & set(_APPLICATORS) else "additionalProperties"
    return {**definition, keyword: False}
