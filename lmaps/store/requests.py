"""The table ``request``: what was answered under which key, so that a repeated request happens once."""

from sqlalchemy import bindparam, delete, exists, select

from lmaps.store.base import Tables
from lmaps.store.checksums import checked
from lmaps.store.models import request
from lmaps.store.rows import StoredRequest
from lmaps.store.statements import Prepared

_REQUEST = Prepared(select(request).where(request.c.key == bindparam("key")))


class RequestTables(Tables):
    """Requests that changed something."""

    def request(self, key: str) -> StoredRequest | None:
        """What was answered under this key."""
        found = self.rows(_REQUEST, key=key)
        return StoredRequest(**checked(request, found[0])) if found else None

    def forget_requests(self, before: str, keep: int) -> None:
        """Forget what was answered before this time, and all but the newest ``keep``."""
        oldest = select(request.c.at).order_by(request.c.at.desc()).offset(keep - 1).limit(1)
        limit = max(before, self.connection.scalar(oldest) or "")
        if self.connection.scalar(select(exists().where(request.c.at < limit))):
            self.write(delete(request).where(request.c.at < limit))

    def add_request(
        self, key: str, digest: str, verb: str, unit: str | None, answer: str, revision: int | None
    ) -> None:
        """Keep what is answered under this key."""
        self.insert_each(request, [(key, digest, verb, unit, self.at, answer, revision)])
