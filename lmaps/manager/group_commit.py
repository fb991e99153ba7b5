"""Group commit: all work that waits shares one transaction, and nobody is answered before it is durable."""

import logging
from collections.abc import Sequence
from typing import Protocol

from lmaps.errors import Degraded, DiskFailed, LmapsError, OutcomeUnknown, StoreError
from lmaps.store import Store, Transaction
from lmaps.util.failpoints import failpoint

log = logging.getLogger(__name__)


class Work(Protocol):
    """A piece of work on the state. It may run twice, but what it did the first time is then undone."""

    def run(self, tx: Transaction) -> None:
        """Do it, inside the transaction. An error here undoes the whole group."""

    def settle(self) -> None:
        """It is durable: answer."""

    def fail(self, error: LmapsError) -> None:
        """It was not kept, and will not be: say so."""


def commit(store: Store, works: Sequence[Work]) -> None:
    """Run ``works`` in one transaction, then settle each.

    If one of them fails, or the commit does, nothing of the group was kept: each runs again, alone. So does what was
    alone if the disk failed; if it fails again nobody knows what the disk has.
    """
    if not works:
        return
    try:
        _run(store, works)
    except DiskFailed as error:
        log.error("a group of %d is run again one by one: %s", len(works), error)
        for work in works:
            _repeat(store, work)
        return
    except LmapsError as error:
        if len(works) == 1:
            works[0].fail(error)
            return
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
            tx.wrote = False
            work.run(tx)
        failpoint("batch.before_commit")


def _repeat(store: Store, work: Work) -> None:
    """Run once more what the disk has failed in."""
    try:
        _run(store, [work])
    except (StoreError, Degraded) as error:
        work.fail(OutcomeUnknown(f"cannot tell whether it was done: {error.message}", hint=error.hint))
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
