"""The table ``audit``: who asked for what."""

from operator import attrgetter
from typing import Any

from sqlalchemy import delete, func, select

from lmaps.store.models import audit
from lmaps.store.rows import Audited
from lmaps.store.session import Session
from lmaps.store.statements import insertion

_TOLD = tuple(name for name in Audited._fields if name not in ("at", "sequence"))
_INSERTION = insertion(audit, ("at", *_TOLD))
_values = attrgetter(*_TOLD)


class Audit:
    """Requests that changed or revealed something, or were denied."""

    __slots__ = ("_entries", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._entries: list[tuple[Any, ...]] = []

    def add(self, entry: Audited) -> None:
        """Keep ``entry`` with the rest of the transaction, also when its request is refused."""
        self._entries.append((self._session.at, *_values(entry)))

    def write(self) -> None:
        """Write what is to be kept: at the end of the transaction, all of it at once.

        While nothing can be written the daemon's log alone has it.
        """
        if self._entries and self._session.disk.refusal is None:
            self._session.driver.executemany(_INSERTION, self._entries)
        self._entries = []

    def search(
        self, *, limit: int, unit: str | None = None, subject: str | None = None, since: str | None = None
    ) -> list[Audited]:
        """What was kept, newest first."""
        wanted = {audit.c.unit: unit, audit.c.subject: subject}
        query = select(audit).order_by(audit.c.sequence.desc()).limit(limit)
        query = query.where(*(column == value for column, value in wanted.items() if value is not None))
        if since is not None:
            query = query.where(audit.c.at >= since)
        return [Audited(**row._mapping) for row in self._session.connection.execute(query)]

    def forget(self, before: str, at_once: int) -> int:
        """Remove what was kept before this time, the oldest first and so many at most; how many went."""
        oldest = self._session.connection.scalar(select(func.min(audit.c.sequence)))
        if oldest is None:
            return 0
        old = (audit.c.sequence < oldest + at_once) & (audit.c.at < before)
        return self._session.connection.execute(delete(audit).where(old)).rowcount
