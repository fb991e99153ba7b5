"""The table ``request``: what was answered under which key, so that a repeated request happens once."""

from sqlalchemy import bindparam, delete, exists, select

from lmaps.store.checksums import checked
from lmaps.store.models import request
from lmaps.store.rows import StoredRequest
from lmaps.store.session import Session
from lmaps.store.statements import Prepared

_REQUEST = Prepared(select(request).where(request.c.key == bindparam("key")))


class Requests:
    """Requests that changed something."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, key: str) -> StoredRequest | None:
        """What was answered under this key."""
        found = self._session.rows(_REQUEST, key=key)
        return StoredRequest(**checked(request, found[0])) if found else None

    def forget(self, before: str, keep: int) -> None:
        """Forget what was answered before this time, and all but the newest ``keep``."""
        oldest = select(request.c.at).order_by(request.c.at.desc()).offset(keep - 1).limit(1)
        limit = max(before, self._session.connection.scalar(oldest) or "")
        if self._session.connection.scalar(select(exists().where(request.c.at < limit))):
            self._session.write(delete(request).where(request.c.at < limit))

    def add(self, key: str, digest: str, verb: str, unit: str | None, answer: str, revision: int | None) -> None:
        """Keep what is answered under this key."""
        self._session.insert_each(request, [(key, digest, verb, unit, self._session.at, answer, revision)])
