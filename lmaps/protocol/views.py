"""What clients see of jobs, changesets, instances and units: one definition for the daemon, the command line and docs.

The names and the order of the fields are those on the wire.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from lmaps.model.diff import Difference
from lmaps.util.jsonio import JsonObject

_Read = Callable[[Any], Any]


class View:
    """A value that answers carry as a JSON object.

    ``_optional`` are fields that are left out where they are None, ``_readers`` make the values of fields that are no
    plain JSON: other views, differences, and lists of them. ``_later`` has the fields that an older lMaPS does not
    send, with what is read in their place.
    """

    __slots__ = ()
    _optional: ClassVar[frozenset[str]] = frozenset()
    _readers: ClassVar[Mapping[str, _Read]] = {}
    _later: ClassVar[Mapping[str, object]] = {}
    __match_args__: ClassVar[tuple[str, ...]]

    def to_json(self) -> JsonObject:
        """Return the view as it goes over the wire."""
        row = {name: getattr(self, name) for name in self.__match_args__}
        for name in self._readers:
            value = row[name]
            if value is not None:
                row[name] = [item.to_json() for item in value] if isinstance(value, list) else value.to_json()
        for name in self._optional:
            if row[name] is None:
                del row[name]
        return row

    @classmethod
    def from_json(cls, row: Mapping[str, object]) -> Self:
        """Return the view in an answer; fields of a newer lMaPS are passed over."""
        values = {**cls._later, **{name: row[name] for name in cls.__match_args__ if name in row}}
        for name, read in cls._readers.items():
            if values.get(name) is not None:
                values[name] = read(values[name])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class RunningJob(View):
    """The job of the same unit that runs before a queued one."""

    job: int
    author: str
    started_at: str | None


@dataclass(frozen=True, slots=True)
class UndoView(View):
    """The job that brings back, or has brought back, the state from before a job that was not confirmed."""

    job: int
    revision: int
    state: str


@dataclass(frozen=True, slots=True)
class JobView(View):
    """A job as its readers see it.

    ``outcome`` is the state of the run itself, also of a job that another one has covered; ``over`` is true once
    nothing more will come of it. A queued job has its ``place`` in the queue, from 1, and ``after``: the job of its
    unit that runs now. ``undone_by`` is there once the job is, or was, taken back. Times are RFC 3339, ``timeout`` is
    in seconds.
    """

    _readers: ClassVar[Mapping[str, _Read]] = {"after": RunningJob.from_json, "undone_by": UndoView.from_json}

    job: int
    unit: str
    kind: str
    revision: int
    state: str
    rc: int | None
    summary: dict[str, int] | None
    error: str | None
    author: str | None
    on_behalf_of: str | None
    door: str | None
    message: str | None
    ticket: str | None
    queued_at: str
    started_at: str | None
    ended_at: str | None
    covered_by: int | None
    timeout: float | None
    repeats: int | None
    undoes: int | None
    confirmation: str | None
    confirm_deadline: str | None
    previous_revision: int | None
    outcome: str
    over: bool
    place: int | None = None
    after: RunningJob | None = None
    undone_by: UndoView | None = None


@dataclass(frozen=True, slots=True)
class ChangedInstance(View):
    """What happened to one instance: ``sign`` is ``+`` where it comes, ``-`` where it goes, ``~`` where it changes."""

    sign: str
    id: str
    short: str


def _read_differences(rows: list[JsonObject]) -> list[Difference]:
    return [Difference.from_json(row) for row in rows]


@dataclass(frozen=True, slots=True)
class InstanceDiff(View):
    """How one instance differs between two states.

    ``named_by`` is the property that has the ID, None where the content is the ID. ``differences`` are None for a
    subject that may not see them. In the diff of several units ``unit`` names each row's.
    """

    _optional: ClassVar[frozenset[str]] = frozenset({"unit"})
    _readers: ClassVar[Mapping[str, _Read]] = {"differences": _read_differences}

    sign: str
    id: str
    short: str
    named_by: str | None
    differences: list[Difference] | None
    unit: str | None = None


def _read_changes(rows: list[JsonObject]) -> list[ChangedInstance]:
    return [ChangedInstance.from_json(row) for row in rows]


def _read_diff(rows: list[JsonObject]) -> list[InstanceDiff]:
    return [InstanceDiff.from_json(row) for row in rows]


@dataclass(frozen=True, slots=True)
class ChangesetView(View):
    """A changeset as its readers see it.

    ``instances`` counts all instances that it changed, ``changes`` are the first of them; ``diff`` is there if it was
    asked for.
    """

    _optional: ClassVar[frozenset[str]] = frozenset({"diff"})
    _readers: ClassVar[Mapping[str, _Read]] = {"changes": _read_changes, "diff": _read_diff}

    revision: int
    kind: str
    unit: str
    at: str
    author: str
    on_behalf_of: str | None
    door: str
    message: str | None
    ticket: str | None
    target: int | None
    instances: int
    changes: list[ChangedInstance]
    diff: list[InstanceDiff] | None = None


@dataclass(frozen=True, slots=True)
class InstanceRow(View):
    """What a write did to one instance: ``result`` is created, updated, deleted or unchanged.

    ``revision`` is that of the instance afterwards. An import, which may write to several units, names the ``unit``.
    """

    id: str
    short: str
    result: str
    revision: int | None
    unit: str | None = None

    def to_json(self) -> JsonObject:
        """Return the row as it goes over the wire."""
        row = {"id": self.id, "short": self.short, "result": self.result, "revision": self.revision}
        return row if self.unit is None else {"unit": self.unit, **row}


@dataclass(frozen=True, slots=True)
class UnitView(View):
    """A unit in the list of units; type and handler are None where its file is gone."""

    unit: str
    type: str | None
    handler: str | None
    instances: int
    revision: int | None
    applied: int | None
    condition: str


@dataclass(frozen=True, slots=True)
class UnitStatus(View):
    """How a unit stands, as the daemon's status has it; ``secrets``: whether its instances have some."""

    unit: str
    handler: str
    secrets: bool
    revision: int | None
    applied: int | None
    condition: str


@dataclass(frozen=True, slots=True)
class Versions(View):
    """The versions of what the daemon runs on."""

    python: str
    sqlite: str
    libzmq: str


@dataclass(frozen=True, slots=True)
class DaemonSettings(View):
    """Where a daemon keeps its files and sockets, and whose they are.

    ``uid`` is the user that the daemon is started as, ``manager_uid`` that of its manager, ``user`` the configured one.
    """

    uid: int
    manager_uid: int
    user: str | None
    file: str | None
    db: str
    endpoints: list[str]
    worker_endpoint: str
    policy: str | None
    state_key: str | None
    server_key: str
    authorized_keys: str
    unit_dirs: list[str]
    plugin_dirs: list[str]


@dataclass(frozen=True, slots=True)
class WorkerStatus(View):
    """How a worker stands: what it does, and the job that it runs."""

    slot: int
    pid: int | None
    state: str
    job: int | None


def _read_workers(rows: list[JsonObject]) -> list[WorkerStatus]:
    return [WorkerStatus.from_json(row) for row in rows]


def _read_units(rows: list[JsonObject]) -> list[UnitStatus]:
    return [UnitStatus.from_json(row) for row in rows]


@dataclass(frozen=True, slots=True)
class DaemonStatus(View):
    """How the daemon stands.

    ``uptime`` and ``commit_seconds`` (of the last change) are in seconds; ``degraded`` is why nothing can be changed,
    ``errors`` are the findings in unit files that were refused.
    """

    _readers: ClassVar[Mapping[str, _Read]] = {
        "versions": Versions.from_json,
        "settings": DaemonSettings.from_json,
        "workers": _read_workers,
        "units": _read_units,
    }
    _later: ClassVar[Mapping[str, object]] = {
        "versions": None,
        "changed_at": None,
        "commit_seconds": 0.0,
        "degraded": None,
        "settings": None,
        "counters": {},
    }

    version: str
    versions: Versions | None
    pid: int
    supervisor: int | None
    uptime: float
    db: str
    revision: int
    changed_at: str | None
    commit_seconds: float
    degraded: str | None
    endpoints: list[str]
    settings: DaemonSettings | None
    workers: list[WorkerStatus]
    queue: int
    counters: Mapping[str, int]
    units: list[UnitStatus]
    errors: list[JsonObject]


@dataclass(frozen=True, slots=True)
class AuditView(View):
    """A request in the audit; ``suppressed`` counts equal denials before it that were not recorded."""

    subject: str
    on_behalf_of: str | None
    door: str
    verb: str
    unit: str | None
    request_key: str | None
    revision: int | None
    job: int | None
    outcome: str
    suppressed: int
    at: str
    sequence: int
