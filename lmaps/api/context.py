"""What an endpoint is given, and the answers that are not given at once."""

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, NamedTuple

from lmaps.api.arguments import NO_WRITE, Write
from lmaps.api.audit_throttle import TokenBucket
from lmaps.api.conformance import Conformance
from lmaps.config.settings import Config, SectionName
from lmaps.errors import Finding, NotFound, UnitRefused, UnitUnusable
from lmaps.model.policy import EVERY_UNIT, Policy, Right, Subject
from lmaps.model.states import Door
from lmaps.model.units import Unit, UnitSet, unit_from_definition
from lmaps.protocol import Reply
from lmaps.store import AuditEntry, Origin, Store, Transaction
from lmaps.util import jsonio
from lmaps.util.jsonio import JsonObject
from lmaps.util.text import nearest
from lmaps.util.timelimit import TimeLimit


@dataclass(slots=True)
class Slot:
    """One worker as the manager knows it: where to reach it and what it runs.

    ``due`` (monotonic) is when it has to have reported the end. A ``gone`` one has died, and is not replaced yet.
    """

    number: int
    identity: bytes
    pid: int
    token: str | None = None
    job: int | None = None
    due: float = math.inf
    gone: bool = False

    @property
    def state(self) -> str:
        """``idle``, ``busy`` or ``gone``."""
        if self.gone:
            return "gone"
        return "idle" if self.token is None else "busy"


@dataclass(slots=True)
class ManagerCounters:
    """What `status` counts since the manager's start; ``restarts`` of workers and managers since the daemon's."""

    requests: int = 0
    refused: int = 0
    busy: int = 0
    dropped: int = 0
    groups: int = 0
    group_largest: int = 0
    denied: int = 0
    audit_suppressed: int = 0
    connections_refused: int = 0
    restarts: int = 0


@dataclass(slots=True)
class JobSignals:
    """What transactions report about jobs; the manager's loop acts on it after their commit.

    moved          jobs that have changed: answer the requests that wait for one of them
    to_stop        running jobs to be ended before their time
    queue_changed  whether a queued job may be startable now

    A transaction that is undone may leave a signal behind. It wakes somebody for nothing, and does no harm.
    """

    moved: set[int] = field(default_factory=set)
    to_stop: set[int] = field(default_factory=set)
    queue_changed: bool = True


@dataclass(slots=True)
class ManagerState:
    """What the manager holds in memory. Endpoints read it; only a reload replaces the units and the policy.

    ``reload`` loads units, policy and keys again, ``beat`` tells the supervisor that the manager is not stuck.
    ``denials`` are those of each subject,
    ``conformance`` knows what no longer fits its unit.
    """

    config: Config
    units: UnitSet
    boot_id: str
    reload: Callable[[], None]
    beat: Callable[[], None]
    policy: Policy = field(default_factory=Policy)
    supervisor: int | None = None
    handlers: JsonObject = field(default_factory=dict)
    faults: dict[str, list[Finding]] = field(default_factory=dict)
    slots: dict[int, Slot] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    signals: JobSignals = field(default_factory=JobSignals)
    copies: dict[str, BinaryIO] = field(default_factory=dict)
    counters: ManagerCounters = field(default_factory=ManagerCounters)
    denials: dict[str, TokenBucket] = field(default_factory=dict)
    conformance: Conformance = field(default_factory=Conformance)

    def bounds(self, uid: int | None) -> bool:
        """Whether a user may take only so much of the daemon: not root, nor the user that it runs for."""
        return uid not in (0, self.config.uid, os.getuid())

    def section(self, subject: Subject) -> SectionName:
        """Which limits hold for the requests of ``subject``."""
        return "import" if self.policy.grants_somewhere(subject, "import") else "message"


@dataclass(eq=False)
class RequestContext:
    """One request: who asks, through which door, and what endpoints may use while they answer.

    ``subject`` is who the socket has proved, ``arrived`` the monotonic time of arrival. ``audited`` collects the rows
    that the request leaves in the audit.
    """

    manager: ManagerState
    tx: Transaction
    subject: Subject
    door: Door = Door.API
    arrived: float = field(default_factory=time.monotonic)
    audited: list[AuditEntry] = field(default_factory=list)

    @property
    def is_bounded(self) -> bool:
        """Whether the subject may take only so much of the daemon."""
        kind, _, number = self.subject.id.partition(":")
        return kind == "key" or (kind == "uid" and self.manager.bounds(int(number)))

    def may(self, unit: str, *rights: Right) -> bool:
        """Return whether the subject has all these rights on ``unit``."""
        return all(self.manager.policy.decide(self.subject, right, unit).allowed for right in rights)


@dataclass(eq=False)
class Invocation(RequestContext):
    """A request that its endpoint answers, with what every endpoint needs of its arguments.

    ``units`` are the units that the arguments name, ``action`` says in messages what is asked for ("cannot create in
    web"), ``write`` has the arguments that every write takes. It ``reveals`` secrets if the request has asked for it,
    and its subject has the right. What depends on documents and schemas alone, and may take long, is computed within
    the ``limit``. ``warnings`` become part of the answer to a write, also of a refusal.
    """

    verb: str = ""
    action: str = ""
    units: Sequence[str] = ()
    write: Write = NO_WRITE
    key: str | None = None
    reveals: bool = False
    limit: TimeLimit = field(default_factory=TimeLimit)
    warnings: list[Finding] = field(default_factory=list)

    @property
    def origin(self) -> Origin:
        """Who asks and for what reason, as it is recorded with each change and job."""
        write = self.write
        return Origin(
            author=self.subject.name,
            on_behalf_of=write.on_behalf_of,
            door=self.door,
            message=write.message,
            ticket=write.ticket,
            request_key=self.key,
        )

    def unit(self, name: str) -> Unit:
        """Return the unit as it is loaded now; raise `NotFound` with the nearest name."""
        try:
            return self.manager.units.units[name]
        except KeyError:
            raise self._no_unit(name) from None

    def recorded_unit(self, name: str) -> Unit:
        """Return the unit as it is loaded now; if its file is gone, as its newest change recorded it."""
        definition = None if name in self.manager.units.units else self.tx.instances.newest_definition(name)
        return self.unit(name) if definition is None else unit_from_definition(jsonio.decode(definition))

    def usable_unit(self, name: str) -> Unit:
        """Return the unit if it can take changes and applies; raise `UnitUnusable` if not."""
        unit = self.manager.units.units.get(name)
        if unit is None:
            if self.tx.history.head(name) is None:
                raise self._no_unit(name)
            refused = self._refused_file(name)
            reason = "is gone" if refused is None else "was refused"
            text = f"{name} takes no changes: its unit file {reason}; show, export and rollback work"
            raise UnitUnusable(text, errors=self._visible(name, refused.errors if refused else ()))
        faults = self.manager.faults.get(name)
        if faults:
            text = f"{name} takes no changes: its handler is broken"
            raise UnitUnusable(text, errors=self._visible(name, faults))
        return unit

    def units_with(self, right: Right) -> list[str] | None:
        """Return the units on which the subject has ``right``; None for all there could be."""
        if self.may(EVERY_UNIT, right):
            return None
        return [name for name in {*self.manager.units.units, *self.tx.history.units()} if self.may(name, right)]

    def _refused_file(self, name: str) -> UnitRefused | None:
        """Return the error of the unit's file; None if it was not refused."""
        return next((error for error in self.manager.units.errors if error.extra.get("unit") == name), None)

    def _visible(self, name: str, errors: Sequence[Finding]) -> Sequence[Finding]:
        """Return the errors of a unit's file if the subject may list the unit: they quote the file."""
        return errors if self.may(name, "list") else ()

    def _no_unit(self, name: str) -> NotFound:
        refused = self._refused_file(name)
        if refused is not None:
            return NotFound(f"the file of unit {name} was refused", errors=self._visible(name, refused.errors))
        near = nearest(name, [unit for unit in self.manager.units.units if self.may(unit, "list")])
        text = f"there is no unit {name!r}" + (f"; did you mean {near}?" if near else "")
        return NotFound(text, hint="lmaps units lists them")


class Deferred(NamedTuple):
    """Not yet: ``then`` answers when ``job`` has moved, or at ``until`` (monotonic), whichever comes first."""

    ctx: Invocation
    request: object
    job: int
    until: float
    then: Callable[[Invocation, Any], "Reply | Deferred"]

    def resume(self, tx: Transaction) -> "Reply | Deferred":
        """Return what ``then`` answers now, in another transaction."""
        return self.then(replace(self.ctx, tx=tx), self.request)


class AfterCommit(NamedTuple):
    """The answer is made by ``function`` outside of every transaction, once the group is durable.

    ``argument`` is what the function needs of the request.
    """

    function: Callable[[Store, Any], Reply]
    argument: object = None

    def then(self, store: Store) -> Reply:
        """Return the answer."""
        return self.function(store, self.argument)


Answer = Reply | Deferred | AfterCommit
