"""Every error that lMaPS raises: one tree, with the code and the exit code of each class.

LmapsError                  code                level
├── UsageError              usage               2
├── MessageRefused          message-refused     2
│   └── TooLarge            too-large           2
├── ConfigError             configuration       2   (lmapsd: 78)
├── ValidationFailed        invalid             3
│   ├── DocumentRefused     document-refused    3
│   └── UnitRefused         unit-refused        3
├── TookTooLong             took-too-long       3
├── NotFound                not-found           4
├── Conflict                conflict            5
│   ├── AlreadyExists       exists              5
│   ├── RuleBroken          rule-broken         5
│   ├── Outdated            outdated            5
│   ├── RevertConflict      revert-conflict     5
│   ├── TooManyDeletions    too-many-deletions  5
│   ├── PendingConfirm      pending-confirm     5
│   ├── UnitUnusable        unit-unusable       5
│   ├── Busy                busy                5
│   ├── NoSpace             no-space            5
│   └── Degraded            degraded            5
├── BrokenPlugin            broken-plugin       1
├── HandlerFailed           handler-failed      6
├── JobStopped              job-stopped         7
├── NotAllowed              not-allowed         8
├── NotReached              not-reached         9
├── OutcomeUnknown          outcome-unknown     10
├── StoreError              store               1
│   ├── DiskFailed          disk-failed         1
│   └── StateUnusable       state-unusable      1   (lmapsd: 65)
│       └── StateDamaged    state-damaged       1   (lmapsd: 65)
└── AnotherDaemon           another-daemon      1   (lmapsd: 75)

The docstring of a class is its default message. ``code`` is stable and part of replies. ``level`` is the exit code of
``lmaps``, and ``level`` in a reply; ``daemon_level`` is the exit code of ``lmapsd``.
"""

import builtins
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, NamedTuple


class Finding(NamedTuple):
    """One error in a document: where it is, what is wrong, and what was expected instead.

    ``at`` are the keys and indices that lead to the place. A finding about a key names it as ``property``: an unknown
    one stands at the end of ``at``, with ``on_key``; a missing one belongs below ``at``. ``document`` counts from 0
    among the documents of one request. ``file``, ``line`` and ``column`` (both from 1) are known where the text was at
    hand.
    """

    message: str
    at: tuple[str | int, ...] = ()
    on_key: bool = False
    got: object = None
    allowed: object = None
    hint: str | None = None
    document: int | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None
    property: str | None = None

    # the field hides the decorator of the same name within this class
    @builtins.property
    def path(self) -> str:
        """The place as a JSON path: ``$.vhosts[0].port``."""
        return "$" + "".join(_segment(key) for key in self.at)

    @builtins.property
    def place(self) -> str:
        """The place in the user's file as ``FILE:LINE:COLUMN``, as much of it as is known."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    def to_json(self) -> dict[str, Any]:
        """Return the finding as it goes over the wire, without the fields that are not known."""
        fields = self._asdict() | {"at": list(self.at)}
        return {"path": self.path} | {
            name: value for name, value in fields.items() if value is not None and value is not False
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Finding":
        """Return the finding that a reply carries. Fields of a newer lMaPS are ignored."""
        fields = {name: row[name] for name in cls._fields if name in row}
        return cls(**(fields | {"at": tuple(fields.get("at", ()))}))


def _segment(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if key.isidentifier() else f"[{key!r}]"


class LmapsError(Exception):
    """cannot do this"""

    code: ClassVar[str] = "error"
    level: ClassVar[int] = 1
    daemon_level: ClassVar[int] = 1

    def __init__(
        self,
        message: str | None = None,
        *,
        errors: Iterable[Finding] = (),
        hint: str | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        """``errors`` are all findings, ``hint`` names the next step, ``extra`` is data for programs."""
        super().__init__(message or self.__doc__)
        self.errors = tuple(errors)
        self.hint = hint
        self.extra = extra or {}

    @property
    def message(self) -> str:
        """One sentence: what cannot be done, where, and why."""
        return str(self)


class UsageError(LmapsError):
    """cannot understand the command"""

    code = "usage"
    level = 2
    daemon_level = 2


class MessageRefused(LmapsError):
    """cannot read the message"""

    code = "message-refused"
    level = 2


class TooLarge(MessageRefused):
    """cannot take so large a message"""

    code = "too-large"


class ConfigError(LmapsError):
    """cannot use the configuration"""

    code = "configuration"
    level = 2
    daemon_level = 78


class ValidationFailed(LmapsError):
    """cannot accept the instance"""

    code = "invalid"
    level = 3


class DocumentRefused(ValidationFailed):
    """cannot read the document"""

    code = "document-refused"


class UnitRefused(ValidationFailed):
    """cannot use the unit file"""

    code = "unit-refused"


class TookTooLong(LmapsError):
    """cannot check it in time"""

    code = "took-too-long"
    level = 3


class NotFound(LmapsError):
    """cannot find it"""

    code = "not-found"
    level = 4


class Conflict(LmapsError):
    """cannot do this now"""

    code = "conflict"
    level = 5


class AlreadyExists(Conflict):
    """cannot create it: it exists with other content"""

    code = "exists"


class RuleBroken(Conflict):
    """cannot accept the change: the unit's instances would break a rule of the unit"""

    code = "rule-broken"


class Outdated(Conflict):
    """cannot change it: it has changed since it was read"""

    code = "outdated"


class RevertConflict(Conflict):
    """cannot revert the change: a later one has changed the same values"""

    code = "revert-conflict"


class TooManyDeletions(Conflict):
    """cannot delete so many instances without confirmation"""

    code = "too-many-deletions"


class PendingConfirm(Conflict):
    """cannot change the unit: a job of it waits for confirmation"""

    code = "pending-confirm"
    level = 5


class UnitUnusable(Conflict):
    """cannot use the unit as it is"""

    code = "unit-unusable"


class Busy(Conflict):
    """cannot take more work now"""

    code = "busy"


class NoSpace(Conflict):
    """cannot write: the disk is full"""

    code = "no-space"


class Degraded(Conflict):
    """cannot write: the state can only be read for now"""

    code = "degraded"


class BrokenPlugin(LmapsError):
    """cannot load the plugin"""

    code = "broken-plugin"


class HandlerFailed(LmapsError):
    """cannot apply: the handler failed"""

    code = "handler-failed"
    level = 6


class JobStopped(LmapsError):
    """cannot finish: the job was cancelled, timed out or was interrupted"""

    code = "job-stopped"
    level = 7


class NotAllowed(LmapsError):
    """cannot do this: it is not allowed"""

    code = "not-allowed"
    level = 8


class NotReached(LmapsError):
    """cannot reach the daemon: nothing was done"""

    code = "not-reached"
    level = 9


class OutcomeUnknown(LmapsError):
    """cannot tell the outcome: the request was sent, and no answer came"""

    code = "outcome-unknown"
    level = 10


class StoreError(LmapsError):
    """cannot use the database"""

    code = "store"


class DiskFailed(StoreError):
    """cannot use the database: the disk failed"""

    code = "disk-failed"


class StateUnusable(StoreError):
    """cannot start: the state is damaged or was written by a newer version"""

    code = "state-unusable"
    daemon_level = 65


class StateDamaged(StateUnusable):
    """cannot rely on the database: it is damaged"""

    code = "state-damaged"


class AnotherDaemon(LmapsError):
    """cannot start: another daemon holds the state or the socket"""

    code = "another-daemon"
    daemon_level = 75


def error_tree(root: type[LmapsError] = LmapsError) -> Iterator[type[LmapsError]]:
    """Yield every class of the tree, the root first."""
    yield root
    for branch in root.__subclasses__():
        yield from error_tree(branch)


def error_class(code: str) -> type[LmapsError]:
    """Return the class of a ``code``; the root for a code of a newer lMaPS."""
    return next((leaf for leaf in error_tree() if leaf.code == code), LmapsError)
