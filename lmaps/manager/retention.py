"""Housekeeping: what is old enough to go. A little at a time, so that nobody waits for it."""

import logging
import time
from datetime import UTC, datetime, timedelta

from lmaps.errors import LmapsError
from lmaps.store import Store
from lmaps.util import times

log = logging.getLogger(__name__)

SUCCEEDED_KEPT = timedelta(days=30)
OTHERS_KEPT = timedelta(days=180)
"""How long the output of jobs is kept; the jobs themselves stay."""
REQUESTS_KEPT = timedelta(days=7)
KEYS_KEPT = 100_000
"""How long, and how many of, the answers to changing requests are kept under their keys."""
AUDIT_KEPT = timedelta(days=365)
"""How long the rows of the audit are kept."""
EVERY = 3600.0
"""Seconds between two rounds."""
AT_ONCE = 20
AUDIT_AT_ONCE = 2000
"""Jobs whose output goes in one turn, and rows of the audit; the rest of them in the next ones."""


class Retention:
    """Lets go of old output, of answers that nobody asks for again, and of old rows of the audit."""

    def __init__(self) -> None:
        self.next_due = time.monotonic() + EVERY

    def turn(self, store: Store) -> None:
        """If it is time: do a part, and come back soon if there is more."""
        if time.monotonic() < self.next_due:
            return
        current = datetime.now(UTC)
        limits = [
            times.format_time(current - kept) for kept in (SUCCEEDED_KEPT, OTHERS_KEPT, REQUESTS_KEPT, AUDIT_KEPT)
        ]
        try:
            with store.transaction() as tx:
                more = tx.jobs.forget_output(limits[0], limits[1], AT_ONCE) == AT_ONCE
                tx.requests.forget(limits[2], KEYS_KEPT)
                more |= tx.audit.forget(limits[3], AUDIT_AT_ONCE) == AUDIT_AT_ONCE
        except LmapsError as error:
            log.error("what is old cannot be removed: %s", error)
            more = False
        self.next_due = time.monotonic() + (1.0 if more else EVERY)
