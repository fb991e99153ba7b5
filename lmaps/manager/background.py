"""What the manager finds out about what is stored while others are answered: a part in each turn."""

import logging
import math

from lmaps.api.registry import ManagerState
from lmaps.errors import LmapsError
from lmaps.model.diff import Path
from lmaps.model.units import UnitSet
from lmaps.store import Store
from lmaps.util.timelimit import TimeLimit

log = logging.getLogger(__name__)


class BackgroundChecks:
    """Looks for the values that no two instances may share, and for instances that no longer fit their unit."""

    def __init__(self, service: ManagerState) -> None:
        self._service = service
        self._units: UnitSet | None = None
        self._unknown: list[tuple[str, Path]] = []

    @property
    def next_due(self) -> float:
        """When there is something to look at (monotonic): now, or never."""
        service = self._service
        return 0.0 if self._units is not service.units or self._unknown or service.fitting.unfinished else math.inf

    def turn(self, store: Store) -> None:
        """Look at a part, if there is one."""
        if self._units is not self._service.units:
            self._units = self._service.units
            self._unknown = [(unit.name, path) for unit in self._units.units.values() for path in unit.unique]
        try:
            if self._unknown:
                self._know_values(store, *self._unknown.pop())
            elif self._service.fitting.unfinished:
                self._look_at(store, self._service.fitting.unfinished.pop())
        except LmapsError as error:
            log.error("what is stored cannot be looked at: %s", error)

    def _know_values(self, store: Store, unit: str, path: Path) -> None:
        with store.transaction() as tx:
            known = tx.unique_index.extend(unit, path)
        if not known:
            self._unknown.append((unit, path))

    def _look_at(self, store: Store, name: str) -> None:
        unit = self._service.units.units.get(name)
        if unit is not None:
            limit = TimeLimit(self._service.config["limits"]["message"]["validation"])
            with store.transaction() as tx:
                self._service.fitting.wrong(tx, unit, limit)
