"""Rows as frozen values. Documents are JSON text, the order of their properties kept."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Why:
    """Who asks for a change, through which door, and for what reason."""

    author: str
    on_behalf_of: str | None = None
    door: str = "api"
    message: str | None = None
    ticket: str | None = None
    request_key: str | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance as it is now; ``definition`` names the text of the unit that it was completed under."""

    id: int
    unit: str
    key: str
    given: str
    completed: str
    definition: int
    first_revision: int
    revision: int


@dataclass(frozen=True, slots=True)
class Changeset:
    """One recorded change of one unit."""

    revision: int
    unit: str
    kind: str
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
    redo_previous: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """What a changeset did to one instance."""

    revision: int
    number: int
    instance_id: int
    first_revision: int
    before_key: str | None
    before_given: str | None
    before_completed: str | None
    before_definition: int | None
    after_key: str | None
    after_given: str | None
    after_completed: str | None
    after_definition: int | None


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a handler; ``summary`` counts ok, changed, failed, unknown."""

    id: int
    unit: str
    kind: str
    revision: int
    digest: str
    state: str
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


@dataclass(frozen=True, slots=True)
class JobLine:
    """One line of a job's output, or one event."""

    job: int
    number: int
    at: str
    stream: str
    text: str
    event: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """What was answered to a request, as JSON text; ``digest`` tells whether another one is the same."""

    key: str
    digest: str
    answer: str
