"""The words that say how jobs, confirmations, changesets and units stand: each list is defined here, once.

They are texts on the wire and in the database, and compare equal to plain strings.
"""

from enum import StrEnum


class Word(StrEnum):
    """A word of a fixed list."""

    # Checksums are made of the repr of what is written: a member must look like the text that is read back.
    __repr__ = str.__repr__


class JobKind(Word):
    """What a job does: carry the unit's state to the host, or show what that would change."""

    APPLY = "apply"
    PLAN = "plan"


class JobState(Word):
    """How a job stands. A ``covered`` job was not run itself: an older one that waited handed over the same state."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    COVERED = "covered"


ENDED = frozenset(JobState) - {JobState.QUEUED, JobState.RUNNING}
"""States of a job that will not run any more."""
UNSETTLED = frozenset({JobState.FAILED, JobState.TIMED_OUT, JobState.CANCELLED, JobState.INTERRUPTED})
"""States of a job that leave the host in doubt."""


class ConfirmationState(Word):
    """How the confirmation of a job stands.

    A ``rearmed`` job needs none any more: a newer job of the unit waits in its place, and would take back both.
    """

    WAITING = "waiting"
    CONFIRMED = "confirmed"
    REARMED = "rearmed"
    UNDOING = "undoing"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"


UNCONFIRMED = frozenset({ConfirmationState.WAITING, ConfirmationState.UNDOING})
"""States in which it is open whether the host keeps what the job brought."""


class ChangesetKind(Word):
    """The request that a changeset came from. ``restore`` marks that the database was put back from a backup."""

    CREATE = "create"
    SET = "set"
    DELETE = "delete"
    ROLLBACK = "rollback"
    REDO = "redo"
    REVERT = "revert"
    IMPORT = "import"
    RESTORE = "restore"


class Door(Word):
    """How a request came in. ``timer`` is the daemon itself, when a deadline for confirmation has passed.

    The database may hold others: an imported history keeps those that it came with.
    """

    API = "api"
    CLI = "cli"
    LEGACY = "legacy"
    TIMER = "timer"


class UnitCondition(Word):
    """How a unit stands, the most pressing first. ``pending`` is followed by the number of changesets."""

    ORPHANED = "orphaned"
    BROKEN = "broken"
    RUNNING = "running"
    CONFIRMING = "confirming"
    INVALID = "invalid"
    DIRTY = "dirty"
    PENDING = "pending"
    IN_SYNC = "in sync"
