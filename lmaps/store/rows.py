"""Rows as frozen values. Documents are JSON text, the order of their properties kept."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from lmaps.model.states import ChangesetKind, ConfirmationState, Door, JobKind, JobState


class Origin(NamedTuple):
    """Who asks for a change, through which door, and for what reason."""

    author: str
    on_behalf_of: str | None = None
    door: str = Door.API
    message: str | None = None
    ticket: str | None = None
    request_key: str | None = None


class Document(NamedTuple):
    """What an instance is: its key, the document as given and as completed, and the unit's text it was made under.

    One that is kept already has a number (``id``), which says nothing about what it is; a new one that is ``secret``
    is sealed when it is kept.
    """

    key: str
    given: str
    completed: str
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
        """The same document, kept under this number."""
        return Document(self.key, self.given, self.completed, self.definition, number, self.secret)


class Instance(NamedTuple):
    """One instance as it is now."""

    id: int
    unit: str
    document: Document
    first_revision: int
    revision: int

    @property
    def key(self) -> str:
        """What it is named by."""
        return self.document.key

    @property
    def given(self) -> str:
        """The document as it was given."""
        return self.document.given

    @property
    def completed(self) -> str:
        """The document as it was completed."""
        return self.document.completed


class Texts(NamedTuple):
    """Instances as columns, their documents as the JSON text that they are kept as: for whoever passes them on."""

    ids: Sequence[int]
    keys: Sequence[str]
    revisions: Sequence[int]
    given: Sequence[str]
    completed: Sequence[str]


class Page(NamedTuple):
    """Documents of some instances of a unit, as JSON text; ``last`` is the last one's number if more follow."""

    given: Sequence[str]
    completed: Sequence[str]
    last: int | None


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
        """Return the changeset that a row of the database, or of an exported history, describes by name."""
        return cls(**{**columns, "kind": ChangesetKind(columns["kind"])})

    @property
    def on_line(self) -> bool:
        """Whether it was put on the unit's line: undo and redo, which move along the line, are not."""
        return self.line_end == self.revision


class Edit(NamedTuple):
    """What becomes of one instance: no ``before`` where it comes, no ``after`` where it goes.

    A new instance has no number (``id``) and no first revision yet; one that comes back has those that it had.
    """

    before: Document | None
    after: Document | None
    id: int | None = None
    first_revision: int | None = None

    @classmethod
    def of(cls, instance: Instance, after: Document | None) -> "Edit":
        """``instance`` becomes ``after``, or goes."""
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
        """The same change with other documents."""
        return Change(self.revision, self.instance_id, self.first_revision, before, after)


class Job(NamedTuple):
    """One run of a handler; ``summary`` counts ok, changed, failed, unknown."""

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
    event: dict[str, Any] | None


class StoredRequest(NamedTuple):
    """What was answered to a request, as JSON text; ``digest`` tells whether another one is the same."""

    key: str
    digest: str
    verb: str
    unit: str | None
    at: str
    answer: str
    revision: int | None


class Audited(NamedTuple):
    """What somebody asked for, and what came of it: ``outcome`` is ``ok`` or the code of the error.

    ``subject`` is proven, ``on_behalf_of`` a claim. ``suppressed`` counts denials that were not kept before this one.
    The store gives ``at`` and ``sequence``.
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
