"""The table ``request``: the answers to requests that changed something, so that a repeated request happens once."""

from sqlalchemy import bindparam, delete, exists, select

from lmaps.store.checksums import checked
from lmaps.store.models import request
from lmaps.store.rows import StoredRequest
from lmaps.store.session import Session
from lmaps.store.statements import Insertion, Prepared

OWN = "own:"
"""How the keys begin under which a subject's own answers are kept. An older lMaPS has kept them under keys as sent."""
_REQUEST = Prepared(select(request).where(request.c.key == bindparam("key")))
_OLDER = Prepared(select(1).where(~request.c.key.like(f"{OWN}%")).limit(1))
_INSERT = Insertion(request, StoredRequest)


class Requests:
    """Requests that changed something, and their answers."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, key: str) -> StoredRequest | None:
        """Return the request that was answered under this key, None if there was none."""
        rows = self._session.rows(_REQUEST, key=key)
        return StoredRequest(**checked(request, rows[0])) if rows else None

    @property
    def any_older(self) -> bool:
        """Whether there may be an answer that an older lMaPS has kept: there are none after a week."""
        cache = self._session.cache
        if cache.older_requests is None:
            cache.older_requests = self._session.value(_OLDER) is not None
        return cache.older_requests

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
