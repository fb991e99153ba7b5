"""The table ``request``: what was answered under which key, so that a repeated request happens once."""

from sqlalchemy import insert, select

from lmaps.core import times
from lmaps.store.models import request
from lmaps.store.records import StoredRequest
from lmaps.store.tables import Tables


class RequestTables(Tables):
    """Requests that changed something."""

    def request(self, key: str) -> StoredRequest | None:
        """What was answered under this key."""
        wanted = select(request.c.key, request.c.digest, request.c.answer).where(request.c.key == key)
        row = self.connection.execute(wanted).one_or_none()
        return None if row is None else StoredRequest(*row)

    def add_request(
        self, key: str, digest: str, verb: str, unit: str | None, answer: str, revision: int | None
    ) -> None:
        """Keep what is answered under this key."""
        self.write(
            insert(request).values(
                key=key, digest=digest, verb=verb, unit=unit, at=times.now(), answer=answer, revision=revision
            )
        )
