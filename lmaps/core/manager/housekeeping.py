"""Housekeeping: what is old enough to go. A little at a time, so that nobody waits for it."""

import logging
import time
from datetime import UTC, datetime, timedelta

from lmaps.core import times
from lmaps.errors import LmapsError
from lmaps.store import Store

log = logging.getLogger(__name__)

SUCCEEDED_KEPT = timedelta(days=30)
OTHERS_KEPT = timedelta(days=180)
"""How long the output of jobs is kept; the jobs themselves stay."""
REQUESTS_KEPT = timedelta(days=7)
KEYS_KEPT = 100_000
"""How long, and how many of, the answers to changing requests are kept under their keys."""
EVERY = 3600.0
"""Seconds between two rounds."""
AT_ONCE = 20
"""Jobs whose output goes in one turn; the rest of them in the next ones."""


class Housekeeping:
    """Lets go of old output, and of answers that nobody asks for again."""

    def __init__(self) -> None:
        self.next_due = time.monotonic() + EVERY

    def turn(self, store: Store) -> None:
        """If it is time: do a part, and come back soon if there is more."""
        if time.monotonic() < self.next_due:
            return
        current = datetime.now(UTC)
        limits = [times.format_time(current - kept) for kept in (SUCCEEDED_KEPT, OTHERS_KEPT, REQUESTS_KEPT)]
        try:
            with store.transaction() as state:
                gone = state.forget_output(limits[0], limits[1], AT_ONCE)
                state.forget_requests(limits[2], KEYS_KEPT)
        except LmapsError as error:
            log.error("what is old cannot be removed: %s", error)
            gone = 0
        self.next_due = time.monotonic() + (1.0 if gone == AT_ONCE else EVERY)
