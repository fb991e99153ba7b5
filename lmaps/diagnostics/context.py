"""The input of a check, and its result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from lmaps.api.endpoints.system import settings, versions
from lmaps.config.settings import Config
from lmaps.errors import Finding, LmapsError, UsageError
from lmaps.model.units import UnitSet, load_units
from lmaps.protocol.views import AuditView, DaemonSettings, DaemonStatus, UnitStatus, Versions
from lmaps.supervisor.privileges import manager_account
from lmaps.transport.addresses import ipc_path, is_tcp
from lmaps.util.jsonio import JsonObject

Verdict = Literal["ok", "warning", "fault", "unknown"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check: a message, and advice where there is something to do.

    ``errors`` are those that a start of the daemon would report, ``warnings`` findings that do not matter to a start.
    """

    verdict: Verdict
    message: str
    advice: str | None = None
    errors: tuple[LmapsError, ...] = ()
    warnings: tuple[Finding, ...] = ()

    def to_json(self) -> JsonObject:
        """Return the result as `lmaps doctor` prints it."""
        return {"verdict": self.verdict, "words": self.message, "todo": self.advice}


@dataclass(frozen=True, slots=True)
class CheckContext:
    """The input of a check: what the daemon says of itself, or what the files of a configuration say of it.

    ``endpoint`` is the daemon's address, ``units`` and ``errors`` are the units it has and the findings in refused
    files. Where a daemon answers, ``status`` is its answer, and ``audit`` reads the newest audit rows; else these are
    None, and ``config`` and ``unit_set`` are there instead.
    """

    endpoint: str
    settings: DaemonSettings
    versions: Versions
    units: Sequence[UnitStatus]
    errors: Sequence[JsonObject]
    status: DaemonStatus | None = None
    audit: Callable[[], list[AuditView]] | None = None
    config: Config | None = None
    unit_set: UnitSet = field(default_factory=UnitSet)

    @classmethod
    def from_status(cls, status: DaemonStatus, endpoint: str, audit: Callable[[], list[AuditView]]) -> Self:
        """Return the context for a daemon that answers; raise `UsageError` if it is too old to tell its settings."""
        if status.settings is None or status.versions is None:
            raise UsageError(f"cannot check the daemon: lMaPS {status.version} does not tell its settings")
        return cls(endpoint, status.settings, status.versions, status.units, status.errors, status, audit)

    @classmethod
    def from_files(cls, config: Config, endpoint: str) -> Self:
        """Return the context for a daemon of ``config`` that does not answer at ``endpoint``."""
        unit_set = load_units(config)
        # Only the daemon knows revisions and conditions: no check relies on them where it does not answer.
        units = [
            UnitStatus(unit.name, unit.handler, unit.secrets.any, None, None, "unknown")
            for unit in unit_set.units.values()
        ]
        errors = [finding.to_json() for error in unit_set.errors for finding in error.errors]
        paths = DaemonSettings.from_json(settings(config))
        return cls(endpoint, paths, Versions.from_json(versions()), units, errors, config=config, unit_set=unit_set)

    @property
    def owner(self) -> int:
        """The uid that the daemon is started as."""
        return self.settings.uid

    @property
    def manager(self) -> int:
        """The uid of the manager, who owns the state. Raises `ConfigError` if the host lacks the configured user."""
        if self.config is None:
            return self.settings.manager_uid
        account = manager_account(self.config)
        return self.owner if account is None else account.uid

    @property
    def db(self) -> Path:
        """The database."""
        return Path(self.settings.db)

    @property
    def sockets(self) -> list[Path]:
        """The sockets of the clients."""
        return [ipc_path(uri) for uri in self.settings.endpoints if not is_tcp(uri)]

    @property
    def worker_socket(self) -> Path:
        """The socket of the workers."""
        return ipc_path(self.settings.worker_endpoint)
