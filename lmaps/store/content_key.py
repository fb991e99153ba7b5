"""The table ``content_key``: the random key of the database, under which digests are made of what may have secrets.

They are the IDs of documents and the digests of requests. A digest that everybody can compute would tell whoever
guesses a secret that the guess is right.
"""

import secrets

from sqlalchemy import delete, select

from lmaps.store.checksums import checked
from lmaps.store.encryption import PREFIX
from lmaps.store.models import content_key
from lmaps.store.session import Session
from lmaps.store.statements import Prepared

_PLACE = "content_key"
_STORED = Prepared(select(content_key))


def prepare(session: Session) -> None:
    """Make the key if there is none yet; seal it if it is not sealed, and secrets are."""
    stored = _stored(session)
    key = stored or secrets.token_hex(32)
    as_stored = key if key.startswith(PREFIX) else session.sealer.seal(key, _PLACE)
    if as_stored != stored:
        session.write(delete(content_key))
        session.insert(content_key, {"key": as_stored})


def read(session: Session) -> bytes:
    """Return the key; a random one where none could be stored, as nothing can be written.

    Raises `StateUnusable` if it is sealed with a key that is not configured.
    """
    stored = _stored(session)
    return secrets.token_bytes(32) if stored is None else bytes.fromhex(session.sealer.open(stored, _PLACE))


def _stored(session: Session) -> str | None:
    rows = session.rows(_STORED)
    return str(checked(content_key, rows[0])["key"]) if rows else None
