"""Group commit: all requests and messages that wait share a transaction, and nobody is answered before it is durable.

One commit waits for the disk once, whatever is in it: with many clients the daemon's write rate comes from that.
"""

import logging
from collections.abc import Sequence
from typing import Protocol

from lmaps.errors import Degraded, DiskFailed, LmapsError, OutcomeUnknown, StoreError
from lmaps.store import Store, Transaction
from lmaps.util.failpoints import failpoint

log = logging.getLogger(__name__)


class Work(Protocol):
    """A client's request or a worker's message, as part of a group.

    ``run`` may be called twice: the transaction of the first call has been undone then.
    """

    def run(self, tx: Transaction) -> None:
        """Read and write within the transaction. An error raised here undoes the whole group."""

    def settle(self) -> None:
        """Answer: what ``run`` has written is durable."""

    def fail(self, error: LmapsError) -> None:
        """Answer with the error: nothing of it was written, and it will not be tried again."""


def commit(store: Store, works: Sequence[Work]) -> None:
    """Run ``works`` in one transaction, then settle each in the same order.

    If one of them or the commit fails, nothing of the group was written, and each runs again in a transaction of its
    own. What fails alone gets the error; when the disk has failed it is tried once more first.
    """
    if not works:
        return
    try:
        _run(store, works)
    except DiskFailed as error:
        # SQLite cannot tell what of a failed write reached the disk. The store has opened the database again, so a
        # second attempt works on what is really there.
        log.error("a group of %d is run again one by one: %s", len(works), error)
        for work in works:
            _repeat(store, work)
        return
    except LmapsError as error:
        if len(works) == 1:
            works[0].fail(error)
            return
        # There are no savepoints: SQLite ends the whole transaction by itself for some errors (a full disk), and with
        # it the savepoints of the others. One by one only the one that failed is harmed.
        log.info("a group of %d is run again one by one: %s", len(works), error.code)
        failpoint("batch.again")
        for work in works:
            commit(store, [work])
        return
    _settle(works)


def _run(store: Store, works: Sequence[Work]) -> None:
    with store.transaction() as tx:
        failpoint("batch.begin")
        for work in works:
            tx.session.wrote = False  # so that a refused request can tell whether it has left something behind
            work.run(tx)
        failpoint("batch.before_commit")


def _repeat(store: Store, work: Work) -> None:
    """Run once more what the disk has failed in; if it fails again nobody knows what the disk holds."""
    try:
        _run(store, [work])
    except (StoreError, Degraded) as error:
        work.fail(OutcomeUnknown(f"the outcome is unknown: {error.message}", hint=error.hint))
    except LmapsError as error:
        work.fail(error)
    else:
        _settle([work])


def _settle(works: Sequence[Work]) -> None:
    failpoint("batch.after_commit")
    for place, work in enumerate(works):
        if place:
            failpoint("batch.mid_reply")
        work.settle()
