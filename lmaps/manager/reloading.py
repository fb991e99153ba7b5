"""Units, policy and keys: loaded again while the manager serves, and checked by the handlers of a worker."""

import logging
from collections.abc import Callable

from lmaps.api.registry import ManagerState
from lmaps.api.unit_status import handler_faults
from lmaps.config import default_policy
from lmaps.config.policy import load_policy
from lmaps.errors import ConfigError, Finding, ValidationFailed
from lmaps.manager.dispatcher import Dispatcher
from lmaps.manager.sockets import is_remote
from lmaps.model.policy import Policy
from lmaps.model.units import load_units
from lmaps.protocol.work import Result
from lmaps.transport.curve import read_authorized_keys
from lmaps.transport.zap import ZapAuthenticator
from lmaps.util.failpoints import failpoint
from lmaps.util.text import plural

log = logging.getLogger(__name__)


def one_line(refused: ValidationFailed) -> str:
    """Return an error and all its findings as one line of the log."""
    return "; ".join([refused.message, *(f"{finding.place} {finding.message}" for finding in refused.errors)])


class Reloader:
    """Replaces the units, the policy and the clients' keys that are in use."""

    def __init__(self, manager: ManagerState, authenticator: ZapAuthenticator, dispatcher: Dispatcher) -> None:
        self._manager = manager
        self._owner = manager.config.uid
        self._authenticator = authenticator
        self._dispatcher = dispatcher
        self._faults_of_handlers: dict[str, list[Finding]] = {}

    def reload(self) -> None:
        """Load unit files, policy and keys again: all of it, or nothing.

        Raises `ValidationFailed` with every error; what was in use stays.
        """
        loaded = load_units(self._manager.config)
        findings = [finding for error in loaded.errors for finding in error.errors]
        policy, authorized = self._load_policy(findings), self._load_keys(findings)
        findings += [fault for unit in loaded.units.values() for fault in handler_faults(self._manager, unit)]
        if findings:
            raise ValidationFailed("cannot reload: units, policy and keys in use stay as they are", errors=findings)
        failpoint("reload.before_swap")
        self._manager.units, self._manager.policy, self._authenticator.authorized = loaded, policy, authorized
        failpoint("reload.after_swap")
        self._faults_of_handlers = {}  # what was found in the former units; a worker is asked about the new ones
        self.find_faults()
        self.check_units()
        log.info("reloaded %s", plural(len(loaded.units), "unit"))

    def _load_policy(self, findings: list[Finding]) -> Policy:
        """Return the policy of the file; if it has faults add them to ``findings``, and return the one in use."""
        file = self._manager.config.policy or default_policy(self._owner)
        try:
            return load_policy(file, self._owner)
        except ConfigError as refused:
            findings += refused.errors or [Finding(refused.message, file=file)]
            return self._manager.policy

    def _load_keys(self, findings: list[Finding]) -> frozenset[str]:
        """Return the clients' keys; if they have faults add them to ``findings``, and return those in use."""
        directory = self._manager.config.rpc.authorized_keys
        try:
            return read_authorized_keys(directory, self._owner) if is_remote(self._manager.config) else frozenset()
        except ConfigError as refused:
            findings += refused.errors or [Finding(refused.message, file=directory)]
            return self._authenticator.authorized

    def find_faults(self) -> None:
        """Record which units cannot be used: their handler is not there, is broken, or has found faults in them."""
        faults = {unit.name: handler_faults(self._manager, unit) for unit in self._manager.units.units.values()}
        self._manager.faults = self._faults_of_handlers | {name: found for name, found in faults.items() if found}

    def check_units(self, on_checked: Callable[[], None] | None = None) -> None:
        """Have a worker's handlers check their units, and then call ``on_checked``.

        The manager loads no plugin: one that hangs or crashes must not take the state with it.
        """
        self._dispatcher.call("check_units", [], {}, UnitCheck(self, on_checked).on_result)

    def take_faults(self, result: Result) -> None:
        """Record what the handlers have found."""
        if result.value is None:
            return  # the task has failed; what was known before is the best there is
        self._faults_of_handlers = {
            name: [Finding.from_json(finding) for finding in findings] for name, findings in result.value.items()
        }
        self.find_faults()


class UnitCheck:
    """A check of the units by a worker that was asked for."""

    def __init__(self, reloader: Reloader, on_checked: Callable[[], None] | None) -> None:
        self._reloader = reloader
        self._on_checked = on_checked

    def on_result(self, result: Result) -> None:
        """Take its result over."""
        self._reloader.take_faults(result)
        if self._on_checked is not None:
            self._on_checked()
