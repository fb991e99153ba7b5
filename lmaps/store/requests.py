"""The table ``request``: the answers to requests that changed something, so that a repeated request happens once."""

from sqlalchemy import bindparam, delete, exists, select

from lmaps.store.checksums import checked
from lmaps.store.models import request
from lmaps.store.rows import StoredRequest
from lmaps.store.session import Session
from lmaps.store.statements import Insertion, Prepared

_REQUEST = Prepared(select(request).where((request.c.key == bindparam("key")) | (request.c.key == bindparam("older"))))
_INSERT = Insertion(request, StoredRequest)


class Requests:
    """Requests that changed something, and their answers."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, key: str, older: str | None = None) -> StoredRequest | None:
        """Return the request that was answered under ``key``, else the one under the ``older`` key, else None."""
        rows = self._session.rows(_REQUEST, key=key, older=older)
        found = sorted((StoredRequest(**checked(request, row)) for row in rows), key=lambda row: row.key != key)
        return found[0] if found else None

    def add(self, key: str, digest: str, verb: str, unit: str | None, answer: str, revision: int | None) -> None:
        """Record the answer to the request with this key."""
        row = StoredRequest(key, digest, verb, unit, self._session.at, answer, revision)
        self._session.insert_each(_INSERT, [row])

    def forget(self, before: str, keep: int) -> None:
        """Delete the requests answered before this time, and all but the newest ``keep``."""
        oldest_kept = select(request.c.at).order_by(request.c.at.desc()).offset(keep - 1).limit(1)
        limit = max(before, self._session.connection.scalar(oldest_kept) or "")
        # Not a DELETE at once: while nothing can be written it is refused, even if there is nothing to delete.
        if self._session.connection.scalar(select(exists().where(request.c.at < limit))):
            self._session.write(delete(request).where(request.c.at < limit))
