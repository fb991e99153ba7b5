"""When a child that died is started again."""

import random

FIRST = 0.1
LONGEST = 30.0
"""Seconds of the first wait and of the longest; each is about twice the one before."""
HEALTHY = 60.0
"""Seconds of life after which earlier deaths are forgotten."""
EARLY = 10.0
"""A child that dies within so many seconds of its start died early."""


class Backoff:
    """Counts the deaths of one slot's children. ``early`` is how many in a row died early."""

    def __init__(self) -> None:
        self.early = 0
        self._deaths = 0

    def after(self, lived: float) -> float:
        """Seconds to wait, now that a child has died which lived for ``lived`` seconds: none the first time."""
        self.early = self.early + 1 if lived < EARLY else 0
        if lived >= HEALTHY:
            self._deaths = 0
        self._deaths += 1
        if self._deaths == 1:
            return 0.0
        doubled = FIRST * float(2 ** min(self._deaths - 2, 16))
        return min(LONGEST, doubled * random.uniform(0.8, 1.2))  # noqa: S311 (no secret)
