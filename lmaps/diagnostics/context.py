"""The input of a check, and its result."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from lmaps.api.endpoints.system import settings, versions
from lmaps.config.settings import Config
from lmaps.errors import Finding, LmapsError
from lmaps.model.units import UnitSet, load_units
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
    """The input of a check: the daemon's ``status``, or the part of it that the files of a configuration give.

    ``endpoint`` is the daemon's address. ``audit`` reads the newest audit rows, and is None where no daemon answers;
    then ``config`` and ``unit_set`` are there instead.
    """

    status: JsonObject
    endpoint: str
    audit: Callable[[], list[JsonObject]] | None = None
    config: Config | None = None
    unit_set: UnitSet = field(default_factory=UnitSet)

    @classmethod
    def from_files(cls, config: Config, endpoint: str) -> Self:
        """Return the context for a daemon of ``config`` that does not answer at ``endpoint``."""
        unit_set = load_units(config)
        rows = [
            {"unit": unit.name, "handler": unit.handler, "secrets": unit.secrets.any}
            for unit in unit_set.units.values()
        ]
        errors = [finding.to_json() for error in unit_set.errors for finding in error.errors]
        status = {"settings": settings(config), "versions": versions(), "units": rows, "errors": errors}
        return cls(status, endpoint, config=config, unit_set=unit_set)

    @property
    def answers(self) -> bool:
        """Whether a daemon answers."""
        return self.audit is not None

    @property
    def settings(self) -> JsonObject:
        """The daemon's paths and users."""
        values: JsonObject = self.status["settings"]
        return values

    @property
    def owner(self) -> int:
        """The uid that the daemon is started as."""
        return int(self.settings["uid"])

    @property
    def manager(self) -> int:
        """The uid of the manager, who owns the state. Raises `ConfigError` if the host lacks the configured user."""
        if self.config is None:
            return int(self.settings["manager_uid"])
        account = manager_account(self.config)
        return self.owner if account is None else account.uid

    @property
    def db(self) -> Path:
        """The database."""
        return Path(self.settings["db"])

    @property
    def sockets(self) -> list[Path]:
        """The sockets of the clients."""
        return [ipc_path(uri) for uri in self.settings["endpoints"] if not is_tcp(uri)]

    @property
    def worker_socket(self) -> Path:
        """The socket of the workers."""
        return ipc_path(self.settings["worker_endpoint"])
