"""What the checks look at, and what they find."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lmaps.api.endpoints.system import settings, versions
from lmaps.config import Config
from lmaps.model.units import load_units
from lmaps.supervisor.privileges import manager_account
from lmaps.transport.addresses import ipc_path, is_tcp

Verdict = Literal["ok", "warning", "fault", "unknown"]


@dataclass(frozen=True, slots=True)
class Found:
    """What a check has found, in words, and what to do about it."""

    verdict: Verdict
    words: str
    todo: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What is known: ``told`` by the daemon's status, or made up by `without_daemon`.

    ``endpoint`` is where the daemon was asked, ``audit`` gives rows of its audit. Without a daemon that is None.
    """

    told: dict[str, Any]
    endpoint: str
    audit: Callable[[], list[dict[str, Any]]] | None = None

    @property
    def runs(self) -> bool:
        """Whether a daemon answers."""
        return self.audit is not None

    @property
    def settings(self) -> dict[str, Any]:
        """Where it keeps what, and whose it is."""
        found: dict[str, Any] = self.told["settings"]
        return found

    @property
    def owner(self) -> int:
        """The uid that the daemon is started as."""
        return int(self.settings["uid"])

    @property
    def manager(self) -> int:
        """The uid of its manager, whose the state is."""
        return int(self.settings["manager_uid"])

    @property
    def db(self) -> Path:
        """The database."""
        return Path(self.settings["db"])

    @property
    def sockets(self) -> list[Path]:
        """Where clients are served over ipc."""
        return [ipc_path(uri) for uri in self.settings["endpoints"] if not is_tcp(uri)]

    @property
    def worker_socket(self) -> Path:
        """Where workers are served."""
        return ipc_path(self.settings["worker_endpoint"])


def without_daemon(config: Config) -> dict[str, Any]:
    """What the daemon of ``config`` would tell, as far as its files do."""
    loaded = load_units(config)
    rows = [{"unit": unit.name, "handler": unit.handler, "secrets": unit.secrets.any} for unit in loaded.units.values()]
    errors = [finding.to_json() for error in loaded.errors for finding in error.errors]
    account = manager_account(config)
    told = settings(config) | {"manager_uid": account.uid if account else config["uid"]}
    return {"settings": told, "versions": versions(), "units": rows, "errors": errors}
