"""What the manager finds out about stored instances while others are answered: a part in each run of its loop."""

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
    """Fills the index of unique values, and looks for instances that no longer fit their unit.

    After a reload both are true of nothing yet. A client that came first would wait for all of it, and hold up others.
    """

    def __init__(self, manager: ManagerState) -> None:
        self._manager = manager
        self._units: UnitSet | None = None
        self._unindexed: list[tuple[str, Path]] = []

    @property
    def deadline(self) -> float:
        """When to run next (monotonic): now, or never."""
        manager = self._manager
        is_done = self._units is manager.units and not self._unindexed and not manager.conformance.unfinished
        return math.inf if is_done else 0.0

    def run_once(self, store: Store) -> None:
        """Do one part of what is left."""
        if self._units is not self._manager.units:
            self._units = self._manager.units
            self._unindexed = [(unit.name, path) for unit in self._units.units.values() for path in unit.unique]
        try:
            if self._unindexed:
                self._index(store, *self._unindexed.pop())
            elif self._manager.conformance.unfinished:
                self._check(store, self._manager.conformance.unfinished.pop())
        except LmapsError as error:
            # What was popped is not tried again: the request that needs it does the same work, and tells its client.
            log.error("stored instances cannot be checked: %s", error)

    def _index(self, store: Store, unit: str, path: Path) -> None:
        with store.transaction() as tx:
            is_complete = tx.unique_index.extend(unit, path)
        if not is_complete:
            self._unindexed.append((unit, path))

    def _check(self, store: Store, name: str) -> None:
        unit = self._manager.units.units.get(name)
        if unit is not None:  # a reload may have taken it away
            limit = TimeLimit(self._manager.config.limits.message.validation)
            with store.transaction() as tx:
                self._manager.conformance.wrong(tx, unit, limit)  # it says itself whether more is unfinished
