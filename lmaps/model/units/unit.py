"""`Unit`: one kind of thing that a host can be asked for."""

import hmac
import re
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from lmaps.errors import Finding, ValidationFailed
from lmaps.model.schema import Schema, Secrets
from lmaps.model.schema.messages import in_words
from lmaps.util import jsonio, yamlio
from lmaps.util.jsonio import JsonObject
from lmaps.util.terminal import forbidden_in_names

_CONTENT_ID = re.compile(r"[0-9a-f]{64}\Z")
SHORT_ID_LENGTH = 8


@dataclass(frozen=True)
class Unit:
    """A unit as its file describes it.

    data_type     the form in which the handler gets the instances; below the key ``store_key``
    primary_key   the property whose value is an instance's ID; None: the ID is that of its content
    strict        properties that the schema does not know are refused
    handler       the handler's type; ``args`` are its arguments, ``label`` a name for people
    params        the JSON Schema of an instance
    definition    ``meta``, ``handler`` and ``params`` as written
    directory     relative paths in the definition start here
    require       the arguments, such as ``ticket``, without which no change is accepted
    unique        the paths whose values no two instances may share
    keep_count    the newest changesets that stay in the history; with ``keep_age`` [s] those that are younger stay too.
                  None for both: all stay
    locks         units that share one of them are applied one after the other
    timeout       the limit of a job's running time [s]; ``idle_timeout`` [s] that of its time without output
    probe         argv of the program that confirms a job
    reruns        an interrupted job is run once more
    file          the unit's file; ``document`` is its text, in which the unit is at the path ``at``
    """

    name: str
    data_type: str
    store_key: str
    primary_key: str | None
    strict: bool
    handler: str
    args: JsonObject
    label: str | None
    params: Any
    definition: JsonObject
    directory: Path
    require: tuple[str, ...] = ()
    unique: tuple[tuple[str | int, ...], ...] = ()
    max_instances: int | None = None
    keep_count: int | None = None
    keep_age: float | None = None
    locks: tuple[str, ...] = ()
    timeout: float | None = None
    idle_timeout: float | None = None
    probe: tuple[str, ...] = ()
    reruns: bool = False
    file: str | None = None
    document: yamlio.Document | None = field(default=None, repr=False, compare=False)
    at: tuple[str | int, ...] = ()

    @cached_property
    def text(self) -> str:
        """The definition as JSON, as it is stored with the changes that were made under it."""
        return jsonio.encode(self.definition)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the definition: units with the same digest are the same."""
        return sha256(jsonio.canonical(self.definition).encode()).hexdigest()

    @property
    def params_at(self) -> tuple[str, ...]:
        """The path of the schema: ``params``, or below ``handler``, where the original had it."""
        below = "params" not in self.definition and "params" in self.definition.get("handler", {})
        return ("handler", "params") if below else ("params",)

    @cached_property
    def schema(self) -> Schema:
        """The compiled schema of an instance."""
        return Schema(self.params, closed=self.strict)

    @cached_property
    def secrets(self) -> Secrets:
        """The secrets of an instance."""
        return Secrets(self.schema.definition)

    def complete(self, document: Any, secrets: Secrets | None = None) -> JsonObject:
        """Return ``document`` with defaults, valid; raise `ValidationFailed` with all findings.

        They quote no secret of the schema, and none of ``secrets``, such as those of older texts.
        """
        if not isinstance(document, dict):
            finding = Finding(f"{in_words(document)} is not an object")  # not quoted: it may be a secret
            raise ValidationFailed("cannot accept the document: 1 error", errors=[finding])
        completed: JsonObject = self.schema.complete(
            document, secrets.found_in(document) if secrets and secrets.any else ()
        )
        return completed

    def admit(self, document: Any, content_key: bytes | None, secrets: Secrets | None = None) -> tuple[str, JsonObject]:
        """Return the ID of a document that is new here (see `identify`), and the document completed.

        Raises `ValidationFailed` as `complete` does, and for an ID with control characters: SQLite's functions stop at
        NUL, and such an ID cannot be typed. Stored documents, which an older lMaPS may have accepted with such an ID,
        are completed without this check.
        """
        completed = self.complete(document, secrets)
        key = self.identify(completed, content_key)
        character = forbidden_in_names(key)
        if character is not None and self.primary_key is not None:
            reason = f"an ID takes no control characters: this one has U+{ord(character):04X}"
            finding = Finding(reason, at=(self.primary_key,))
            raise ValidationFailed("cannot accept the document: 1 error", errors=[finding])
        return key, completed

    @cached_property
    def has_keyed_ids(self) -> bool:
        """Whether the ID of an instance is made of its content and of a key, since secrets are part of the content."""
        return self.primary_key is None and self.secrets.any

    def identify(self, completed: JsonObject, content_key: bytes | None = None) -> str:
        """Return the ID of a completed document: the value of the primary key, else a digest of the content.

        That is its SHA-256; for a unit that `has_keyed_ids` its HMAC-SHA-256 under ``content_key``, which has to be
        given: nobody can try guesses.
        """
        if self.primary_key is not None:
            value = completed[self.primary_key]
            return str(int(value) if isinstance(value, float) else value)  # 1.0 is an integer to JSON Schema
        if not self.has_keyed_ids:
            return content_digest(completed)
        if content_key is None:
            raise ValueError(f"the IDs of {self.name} are made with a key")
        return hmac.digest(content_key, jsonio.canonical(completed).encode(), "sha256").hex()

    def locate(self, finding: Finding) -> Finding:
        """Return ``finding``, whose path starts at the unit, with its place in the unit's file."""
        if self.document is None:  # a unit of a stored definition, whose file may be gone
            return finding._replace(file=self.file)
        return self.document.locate(finding._replace(at=self.at + finding.at))._replace(at=finding.at)


def content_digest(completed: JsonObject) -> str:
    """Return the SHA-256 of a document."""
    return sha256(jsonio.canonical(completed).encode()).hexdigest()


def is_content_id(key: str) -> bool:
    """Return whether an ID has the form of a digest of the content."""
    return _CONTENT_ID.match(key) is not None


def short_id(key: str) -> str:
    """Return an ID as people see it: the first 8 digits of a content ID, a primary key as it is."""
    return key[:SHORT_ID_LENGTH] if is_content_id(key) else key
