"""Rows of the tables as named tuples. Documents are JSON text, in which properties keep their order.

The types in the second half are what is written: their fields are the columns of a table, in its order, and
`statements.Insertion` refuses them when they are not.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from lmaps.model.states import ChangesetKind, ConfirmationState, Door, JobKind, JobState
from lmaps.util.jsonio import JsonObject


class Origin(NamedTuple):
    """Who asked for a change, how the request came in, and the reason that was given.

    The fields have the names of their columns in the table ``changeset``.
    """

    author: str
    on_behalf_of: str | None = None
    door: str = Door.API
    message: str | None = None
    ticket: str | None = None
    request_key: str | None = None


class Document(NamedTuple):
    """The content of an instance: its key, the document as given and as completed, both in clear: with its secrets.

    ``definition`` is the number of the unit text that it was completed under. A document that is stored has an ``id``,
    which does not count when two are compared. A new one that is ``secret`` is sealed when it is stored.
    """

    key: str
    clear_given: str
    clear_completed: str
    definition: int
    id: int | None = None
    secret: bool = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Document) and self[:4] == other[:4]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self[:4])

    def numbered(self, number: int) -> "Document":
        """Return the same document with an ``id``."""
        return Document(self.key, self.clear_given, self.clear_completed, self.definition, number, self.secret)


class Instance(NamedTuple):
    """One instance as it is now. ``revision`` is that of its last change, ``first_revision`` that of its creation."""

    id: int
    unit: str
    document: Document
    first_revision: int
    revision: int

    @property
    def key(self) -> str:
        """The value of the unit's primary key."""
        return self.document.key

    @property
    def clear_given(self) -> str:
        """The document as the client gave it."""
        return self.document.clear_given

    @property
    def clear_completed(self) -> str:
        """The document with the schema's defaults."""
        return self.document.clear_completed


class InstanceTexts(NamedTuple):
    """Instances by column, their documents as JSON text: for answers that pass them on without reading them.

    ``definitions`` are the numbers of the unit texts that the documents were completed under.
    """

    ids: Sequence[int]
    keys: Sequence[str]
    revisions: Sequence[int]
    clear_given: Sequence[str]
    clear_completed: Sequence[str]
    definitions: Sequence[int]


class Page(NamedTuple):
    """Documents of some instances of a unit, as JSON text. ``last`` is the last number if more follow, else None.

    ``definitions`` are the numbers of the unit texts that the documents were completed under.
    """

    clear_given: Sequence[str]
    clear_completed: Sequence[str]
    definitions: Sequence[int]
    last: int | None


class Edit(NamedTuple):
    """A change to one instance that is to be recorded: no ``before`` creates it, no ``after`` deletes it.

    A new instance has no ``id`` and no first revision yet; one that comes back has those that it had.
    """

    before: Document | None
    after: Document | None
    id: int | None = None
    first_revision: int | None = None

    @classmethod
    def of(cls, instance: Instance, after: Document | None) -> "Edit":
        """Return the edit by which ``instance`` gets the document ``after``, or goes if that is None."""
        return cls(instance.document, after, instance.id, instance.first_revision)


class Change(NamedTuple):
    """What a changeset, or several in a row, did to one instance."""

    revision: int
    instance_id: int
    first_revision: int
    before: Document | None
    after: Document | None

    @property
    def ends(self) -> tuple[Document | None, Document | None]:
        """The document before and after."""
        return self.before, self.after

    def with_ends(self, before: Document | None, after: Document | None) -> "Change":
        """Return the same change with other documents."""
        return Change(self.revision, self.instance_id, self.first_revision, before, after)


class Undo(NamedTuple):
    """A move along a unit's line: what becomes of its instances, and the ends of the line and the redo list after it.

    ``target`` is the last revision that is taken off the line, or put back.
    """

    changes: Sequence[Change]
    target: int
    new_line_end: int | None
    new_redo_end: int | None


class Job(NamedTuple):
    """One run of a handler. ``summary`` counts ok, changed, failed, unknown."""

    id: int
    unit: str
    kind: JobKind
    revision: int
    digest: str
    state: JobState
    rc: int | None
    summary: dict[str, int] | None
    error: str | None
    author: str
    on_behalf_of: str | None
    door: str
    message: str | None
    ticket: str | None
    request_key: str | None
    queued_at: str
    started_at: str | None
    ended_at: str | None
    boot_id: str | None
    slot: int | None
    pid: int | None
    token: str | None
    covered_by: int | None
    previous_revision: int | None
    confirm_deadline: str | None
    confirm_boot_deadline: int | None
    timeout: float | None
    confirm_within: float | None
    confirmation: ConfirmationState | None
    host_boot: str | None
    undoes: int | None
    repeats: int | None


class JobLine(NamedTuple):
    """One line of a job's output, or one event."""

    job: int
    number: int
    at: str
    stream: str
    text: str
    event: JsonObject | None


class AuditEntry(NamedTuple):
    """A request that changed or revealed something, or was denied. ``outcome`` is ``ok`` or the code of the error.

    ``subject`` is proven, ``on_behalf_of`` a claim. ``suppressed`` counts denials that were not recorded before this
    one. The store sets ``at`` and ``sequence``.
    """

    subject: str
    on_behalf_of: str | None
    door: str
    verb: str
    unit: str | None
    request_key: str | None
    revision: int | None = None
    job: int | None = None
    outcome: str = "ok"
    suppressed: int = 0
    at: str = ""
    sequence: int = 0


# What follows is written as it is: the fields are the columns of the tables in models.py, in their order.


class Changeset(NamedTuple):
    """One recorded change of one unit."""

    revision: int
    unit: str
    kind: ChangesetKind
    author: str
    on_behalf_of: str | None
    door: str
    message: str | None
    ticket: str | None
    at: str
    request_key: str | None
    target: int | None
    line_end: int | None
    line_previous: int | None
    redo_end: int | None

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> Self:
        """Return the changeset that a row of the database, or of an exported history, describes by column."""
        return cls(**{**columns, "kind": ChangesetKind(columns["kind"])})

    @property
    def on_line(self) -> bool:
        """Whether it was put on the unit's line. Undo and redo, which only move the line's end, are not."""
        return self.line_end == self.revision


class StoredDocument(NamedTuple):
    """A row of the table ``document``, with sealed texts where they are secret."""

    id: int
    instance_id: int
    key: str
    given: str
    completed: str
    definition: int


class StoredChange(NamedTuple):
    """A row of the table ``change``; the documents by their numbers."""

    revision: int
    instance_id: int
    first_revision: int
    before_document: int | None
    after_document: int | None


class StoredInstance(NamedTuple):
    """A row of the table ``instance``; the document by its number."""

    id: int
    unit: str
    key: str
    document: int
    first_revision: int
    revision: int


class StoredRequest(NamedTuple):
    """A request that changed something, and its answer as JSON text; equal requests have the same ``digest``."""

    key: str
    digest: str
    verb: str
    unit: str | None
    at: str
    answer: str
    revision: int | None
