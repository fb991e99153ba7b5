"""`Transaction`: what is read and written within one commit."""

import contextlib
from collections.abc import Iterator

from lmaps.store import content_key
from lmaps.store.audit import Audit
from lmaps.store.changesets import Changesets
from lmaps.store.history import History
from lmaps.store.instances import Instances
from lmaps.store.jobs import Jobs
from lmaps.store.requests import Requests
from lmaps.store.session import DiskHealth, Session
from lmaps.store.snapshots import Snapshots
from lmaps.store.unique_index import UniqueIndex


class Transaction:
    """What is read and written within one commit, by table.

    One object serves the transactions of a connection one after another: to make its tables anew for each of them
    would cost a small request 2 % more instructions.
    """

    __slots__ = (
        "audit",
        "changesets",
        "history",
        "instances",
        "jobs",
        "requests",
        "session",
        "snapshots",
        "unique_index",
    )

    def __init__(self, session: Session) -> None:
        self.session = session
        self.instances = Instances(session)
        self.history = History(session, self.instances)
        self.snapshots = Snapshots(session, self.instances, self.history)
        self.jobs = Jobs(session, self.history)
        self.changesets = Changesets(session, self.instances, self.history, self.jobs)
        self.unique_index = UniqueIndex(session, self.instances, self.history)
        self.requests = Requests(session)
        self.audit = Audit(session)

    @property
    def disk(self) -> DiskHealth:
        """Whether the disk can be written to, and how long the last commit took."""
        return self.session.disk

    @property
    def content_key(self) -> bytes:
        """The random key of the database, under which digests are made of what may have secrets: IDs, requests."""
        cache = self.session.cache
        if cache.content_key is None:
            cache.content_key = content_key.read(self.session)
        return cache.content_key

    def revision(self) -> int:
        """Return the newest revision of all units, 0 before the first."""
        return self.session.counters.revision

    @contextlib.contextmanager
    def discarded(self) -> Iterator[None]:
        """Undo what is written within the block at its end; the numbers that it gave are given again."""
        session = self.session
        wrote, before = session.wrote, session.counters.copy()
        savepoint = session.connection.begin_nested()
        try:
            yield
        finally:
            savepoint.rollback()
            session.cache.forget(before.revision)
            session.wrote = wrote
            session.counters.restore(before)
