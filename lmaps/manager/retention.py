"""Removes what is old, a little at a time: output of jobs, answers under keys, rows of the audit."""

import logging
import time
from datetime import UTC, datetime, timedelta

from lmaps.errors import LmapsError
from lmaps.store import Store
from lmaps.util import times

log = logging.getLogger(__name__)

SUCCEEDED_MAX_AGE = timedelta(days=30)
OTHERS_MAX_AGE = timedelta(days=180)
"""How long the output of jobs is kept; the jobs themselves stay."""
REQUESTS_MAX_AGE = timedelta(days=7)
MAX_REQUESTS = 100_000
"""How long, and how many, answers to writes are kept under their keys: a client that repeats one gets it again."""
AUDIT_MAX_AGE = timedelta(days=365)
"""How long the rows of the audit are kept."""
INTERVAL_S = 3600.0
"""Time between two rounds."""
PART_INTERVAL_S = 1.0
"""Time between two parts of one round."""
JOBS_BATCH_SIZE = 20
AUDIT_BATCH_SIZE = 2000
"""Jobs whose output, and rows of the audit that one part removes: more would delay the requests of that moment."""


class Retention:
    """Removes old output of jobs, old answers and old rows of the audit."""

    def __init__(self) -> None:
        # Not at the start: a manager that was restarted after a crash has clients that wait.
        self.deadline = time.monotonic() + INTERVAL_S
        """When to run next (monotonic)."""

    def run_once(self, store: Store) -> None:
        """Remove a part of what is old, and come back soon if there is more."""
        now = datetime.now(UTC)
        ages = (SUCCEEDED_MAX_AGE, OTHERS_MAX_AGE, REQUESTS_MAX_AGE, AUDIT_MAX_AGE)
        succeeded, others, requests, audit = (times.format_time(now - age) for age in ages)
        try:
            with store.transaction() as tx:
                more = tx.jobs.forget_output(succeeded, others, JOBS_BATCH_SIZE) == JOBS_BATCH_SIZE
                tx.requests.forget(requests, MAX_REQUESTS)
                more |= tx.audit.forget(audit, AUDIT_BATCH_SIZE) == AUDIT_BATCH_SIZE
        except LmapsError as error:
            log.error("old output, answers and audit rows cannot be removed: %s", error)
            more = False
        self.deadline = time.monotonic() + (PART_INTERVAL_S if more else INTERVAL_S)
