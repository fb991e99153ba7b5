"""Stored documents as they may leave the daemon: in their public form, which hides their secrets.

The documents of rows are in clear, and are read only to check, compare and merge them; an answer gets them from here.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from lmaps.api.context import Invocation
from lmaps.errors import StateDamaged
from lmaps.model.diff import MISSING, Difference, differences
from lmaps.model.schema import Secrets
from lmaps.model.schema.secrets import MARKS, masked_differences
from lmaps.model.units import Unit, unit_from_definition
from lmaps.store import Document, Transaction
from lmaps.util import jsonio
from lmaps.util.jsonio import JsonObject

log = logging.getLogger(__name__)

_NO_SECRETS = Secrets()
MAX_FORMER_DOCUMENTS = 5_000
"""Replaced documents, the newest, whose secrets are masked in the output of a job: all of them could block the loop."""


class Version(NamedTuple):
    """A completed document in clear, to compare it with others, and in its public form; `MISSING` if there is none."""

    clear: object
    public: object


class PublicDocuments:
    """The documents of one unit, in the form in which the answer to one request has them.

    A value is secret if today's text of the unit marks it, or the one that the document was completed under. Where the
    request asks to ``reveal`` them, and its subject may, documents are shown as they are.
    """

    def __init__(self, ctx: Invocation, unit: Unit) -> None:
        self._ctx, self._unit = ctx, unit
        self._unit_texts = ctx.tx.instances.definitions(unit.name)
        self._secrets: dict[int, Secrets] = {}

    @cached_property
    def are_clear(self) -> bool:
        """Whether the public form is the clear one: nothing is secret, or all is to be revealed."""
        return self._ctx.reveals or not (
            self._unit.secrets.any or any(_secrets_of(text).any for text in self._unit_texts.values())
        )

    def given(self, document: Document) -> object:
        """Return a document as the client gave it."""
        return self._public(document.clear_given, document.definition)

    def completed(self, document: Document) -> object:
        """Return a document with the schema's defaults."""
        return self._public(document.clear_completed, document.definition)

    def values(self, texts: Sequence[str], definitions: Sequence[int]) -> list[object]:
        """Return documents, given by their JSON texts and the numbers of their unit texts."""
        return [self._public(*pair) for pair in zip(texts, definitions, strict=True)]

    def texts(self, texts: Sequence[str], definitions: Sequence[int]) -> Sequence[str]:
        """Return the same as JSON texts."""
        return texts if self.are_clear else list(map(jsonio.encode, self.values(texts, definitions)))

    def version(self, document: Document | None) -> Version:
        """Return a completed document in both forms."""
        if document is None:
            return Version(MISSING, MISSING)
        self._ctx.manager.beat()
        clear = json.loads(document.clear_completed)
        return Version(clear, self.secrets_under(document.definition).masked(clear))

    def differences(self, before: Document | None, after: Document | None) -> list[Difference]:
        """Return how two completed documents differ; one that is not there has no properties."""
        ends = [json.loads(document.clear_completed) if document else {} for document in (before, after)]
        paths = [
            self.secrets_under(document.definition).paths(end)
            for document, end in zip((before, after), ends, strict=True)
            if document
        ]
        return list(masked_differences(differences(*ends), frozenset().union(*paths)))

    def hide(self, changes: Iterable[Difference], given: Iterable[Document]) -> list[Difference]:
        """Return differences between ``given`` documents with their secrets hidden."""
        paths = (self.secrets_under(document.definition).paths(json.loads(document.clear_given)) for document in given)
        return list(masked_differences(changes, frozenset().union(*paths)))

    def secrets_under(self, definition: int) -> Secrets:
        """Return the secrets of a document that was completed under the unit text with this number."""
        secrets = self._secrets.get(definition)
        if secrets is None:
            secrets = self._secrets[definition] = _secrets_under(self._unit, self._unit_texts[definition])
        return secrets

    def _public(self, text: str, definition: int) -> object:
        self._ctx.manager.beat()
        value: object = json.loads(text)
        return value if self.are_clear else self.secrets_under(definition).masked(value)


def all_secrets(tx: Transaction, unit: Unit) -> Secrets:
    """Return the secrets of every text of a unit: a document that comes in may have values and masks of any of them."""
    secrets = unit.secrets
    for text in tx.instances.definitions(unit.name).values():
        if text != unit.text and _secrets_of(text).any:
            secrets |= _secrets_of(text)
    return secrets


def older_texts(tx: Transaction, unit: Unit) -> dict[str, JsonObject]:
    """Return the older texts of a unit that mark secrets, by number: stored documents may be completed under them."""
    texts = tx.instances.definitions(unit.name).items()
    return {str(number): json.loads(text) for number, text in texts if text != unit.text and _secrets_of(text).any}


def former_secrets(tx: Transaction, unit: Unit) -> list[object]:
    """Return the secrets that were replaced or removed since the unit was last applied.

    They may still be on the host, and a tool may print them, as a difference does.
    """
    texts = tx.instances.definitions(unit.name).items()
    marks = {number: _secrets_under(unit, text) for number, text in texts}
    if not any(secrets.any for secrets in marks.values()):
        return []
    applied = tx.jobs.applied_revision(unit.name) or 0
    try:
        documents = tx.history.replaced(unit.name, applied, MAX_FORMER_DOCUMENTS)
    except StateDamaged as error:  # what is stored now is whole, and is applied
        log.error("replaced secrets are not masked in the output of a job of %s: %s", unit.name, error)
        return []
    values: dict[str, object] = {}
    for document in documents:
        for secret in marks[document.definition].values(json.loads(document.clear_completed)):
            values[jsonio.canonical(secret)] = secret
    return list(values.values())


def _secrets_under(unit: Unit, text: str) -> Secrets:
    """Return what is secret in a document that was completed under a text of the unit: what it marks, or today's."""
    if text == unit.text:
        return unit.secrets
    older = _secrets_of(text)
    return unit.secrets | older if older.any else unit.secrets


def _secrets_of(text: str) -> Secrets:
    # Most units have no secrets: their older texts, of which there may be many, need not be read.
    return _read_secrets(text) if any(mark in text for mark in MARKS) else _NO_SECRETS


@lru_cache(maxsize=1024)
def _read_secrets(text: str) -> Secrets:
    return unit_from_definition(json.loads(text)).secrets
