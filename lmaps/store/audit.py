"""The table ``audit``: who asked for what."""

from operator import attrgetter

from sqlalchemy import delete, func, select

from lmaps.store.base import Tables
from lmaps.store.models import audit
from lmaps.store.rows import Audited
from lmaps.store.statements import insertion

_TOLD = tuple(name for name in Audited._fields if name not in ("at", "sequence"))
_INSERTION = insertion(audit, ("at", *_TOLD))
_values = attrgetter(*_TOLD)


class AuditTables(Tables):
    """Requests that changed or revealed something, or were denied."""

    def audit(self, entry: Audited) -> None:
        """Keep ``entry`` with the rest of the transaction, also when its request is refused."""
        self.to_audit.append((self.at, *_values(entry)))

    def write_audit(self) -> None:
        """Write what is to be kept: at the end of the transaction, all of it at once.

        While nothing can be written the daemon's log alone has it.
        """
        if self.to_audit and self.disk.refusal is None:
            self._driver.executemany(_INSERTION, self.to_audit)
        self.to_audit = []

    def audited(
        self, *, limit: int, unit: str | None = None, subject: str | None = None, since: str | None = None
    ) -> list[Audited]:
        """What was kept, newest first."""
        wanted = {audit.c.unit: unit, audit.c.subject: subject}
        query = select(audit).order_by(audit.c.sequence.desc()).limit(limit)
        query = query.where(*(column == value for column, value in wanted.items() if value is not None))
        if since is not None:
            query = query.where(audit.c.at >= since)
        return [Audited(**row._mapping) for row in self.connection.execute(query)]

    def forget_audit(self, before: str, at_once: int) -> int:
        """Remove what was kept before this time, the oldest first and so many at most; how many went."""
        oldest = self.connection.scalar(select(func.min(audit.c.sequence)))
        if oldest is None:
            return 0
        old = (audit.c.sequence < oldest + at_once) & (audit.c.at < before)
        return self.connection.execute(delete(audit).where(old)).rowcount
