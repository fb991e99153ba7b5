"""`Unit`: one kind of thing the host can be asked for."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from lmaps.errors import Finding, ValidationFailed
from lmaps.model.schema import Schema, Secrets
from lmaps.model.schema.messages import quote
from lmaps.util import jsonio, yamlio

_CONTENT_ID = re.compile(r"[0-9a-f]{64}\Z")
SHORT = 8


@dataclass(frozen=True)
class Unit:
    """A unit as its file describes it.

    ``handler`` is the handler's type and ``args`` its arguments, ``params`` the JSON Schema of an instance.
    ``definition`` is ``meta``, ``handler`` and ``params`` as written; ``directory`` is what relative paths count from.
    ``require`` names what each change has to say, ``unique`` the paths whose values no two instances may share,
    ``keep_count`` and ``keep_age`` (seconds) what stays of its history: all of it, if neither is given. Units that
    share one of ``locks`` are applied one after the other; ``timeout`` and ``idle_timeout`` (seconds) limit a job,
    ``probe`` (argv) confirms one, and ``reruns`` says that an interrupted one is run once more.
    """

    name: str
    data_type: str
    store_key: str
    primary_key: str | None
    strict: bool
    handler: str
    args: dict[str, Any]
    label: str | None
    params: Any
    definition: dict[str, Any]
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
        """The definition as it is kept with what was made under it."""
        return jsonio.encode(self.definition)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the definition: units with the same one are the same."""
        return sha256(jsonio.canonical(self.definition).encode()).hexdigest()

    @property
    def params_at(self) -> tuple[str, ...]:
        """Where the schema stands: at the top, or under ``handler`` as the original had it."""
        below = "params" not in self.definition and "params" in self.definition.get("handler", {})
        return ("handler", "params") if below else ("params",)

    @cached_property
    def schema(self) -> Schema:
        """The compiled schema of an instance."""
        return Schema(self.params, closed=self.strict)

    @cached_property
    def secrets(self) -> Secrets:
        """Which values of an instance are secret."""
        return Secrets(self.schema.definition)

    def complete(self, document: Any) -> dict[str, Any]:
        """``document`` with defaults mixed in, valid; else `ValidationFailed` with all findings."""
        if not isinstance(document, dict):
            finding = Finding(f"{quote(document)} is not an object")
            raise ValidationFailed("cannot accept the document: 1 error", errors=[finding])
        completed: dict[str, Any] = self.schema.complete(document)
        return completed

    def identify(self, completed: dict[str, Any]) -> str:
        """The ID of a completed document: its primary key's value, else the SHA-256 of its content."""
        if self.primary_key is not None:
            value = completed[self.primary_key]
            return str(int(value) if isinstance(value, float) else value)  # 1.0 is an integer to JSON Schema
        return sha256(jsonio.canonical(completed).encode()).hexdigest()

    def locate(self, finding: Finding) -> Finding:
        """``finding``, whose place counts from the unit's top, with its place in the unit's file."""
        if self.document is None:
            return finding._replace(file=self.file)
        return self.document.locate(finding._replace(at=self.at + finding.at))._replace(at=finding.at)


def short_id(key: str) -> str:
    """An ID as people see it: of a content ID the first 8 hex digits, a primary key as it is."""
    return key[:SHORT] if _CONTENT_ID.match(key) else key
