"""The table ``audit``: requests that changed or revealed something, or were denied."""

from operator import attrgetter

from sqlalchemy import delete, func, select

from lmaps.store.models import audit
from lmaps.store.rows import AuditEntry
from lmaps.store.session import Session
from lmaps.store.statements import insertion

_COLUMNS = tuple(name for name in AuditEntry._fields if name not in ("at", "sequence"))
_INSERT = insertion(audit, ("at", *_COLUMNS))
_values = attrgetter(*_COLUMNS)


class Audit:
    """Requests that changed or revealed something, or were denied."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, entry: AuditEntry) -> None:
        """Record ``entry`` with the transaction, even if its request is refused and what it wrote is undone."""
        self._session.audit_entries.append((self._session.at, *_values(entry)))

    def write(self) -> None:
        """Write the entries that were added, all at once at the end of the transaction.

        While nothing can be written they are in the daemon's log alone.
        """
        if self._session.audit_entries and self._session.disk.refusal is None:
            # On the driver: the audit does not count as something that the request wrote.
            self._session.driver.executemany(_INSERT, self._session.audit_entries)
        self._session.audit_entries = []

    def search(
        self, *, limit: int, unit: str | None = None, subject: str | None = None, since: str | None = None
    ) -> list[AuditEntry]:
        """Return up to ``limit`` entries, newest first; ``since`` is a time, included."""
        query = select(audit).order_by(audit.c.sequence.desc()).limit(limit)
        wanted = {audit.c.unit: unit, audit.c.subject: subject}
        query = query.where(*(column == value for column, value in wanted.items() if value is not None))
        if since is not None:
            query = query.where(audit.c.at >= since)
        return [AuditEntry(**row._mapping) for row in self._session.connection.execute(query)]

    def forget(self, before: str, limit: int) -> int:
        """Delete entries recorded before this time, the oldest first and up to ``limit``; return how many."""
        oldest = self._session.connection.scalar(select(func.min(audit.c.sequence)))
        if oldest is None:
            return 0
        # By the sequence, which is the primary key: there is no index on the time.
        old = (audit.c.sequence < oldest + limit) & (audit.c.at < before)
        return self._session.connection.execute(delete(audit).where(old)).rowcount
