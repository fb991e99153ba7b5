"""Verbs that keep the whole state: backup."""

import base64
import contextlib
import hashlib
import os
import secrets
from pathlib import Path
from typing import BinaryIO

from lmaps.api.context import AfterCommit, Invocation
from lmaps.errors import NotFound, StoreError
from lmaps.protocol import Reply
from lmaps.store import Store
from lmaps.util.failpoints import failpoint

CHUNK = 768 * 1024
"""Bytes of a backup that one answer carries: 1 MiB as text."""
AT_ONCE = 4
"""Backups that may be fetched at once."""


def backup(call: Invocation) -> AfterCommit:
    """Copy the whole state as it is now; the answer has what `backup_read` takes to fetch it, its size and SHA-256."""
    copies: dict[str, BinaryIO] = call.manager.copies
    if len(copies) >= AT_ONCE:
        copies.pop(next(iter(copies))).close()
    return AfterCommit(lambda store: _copied(store, copies))


def _copied(store: Store, copies: dict[str, BinaryIO]) -> Reply:
    number = secrets.token_hex(8)
    path = Path(f"{store.path}.{number}.copy")
    try:
        store.copy_to(str(path))
        failpoint("backup.mid")
        file = path.open("rb")
    except OSError as error:
        raise StoreError(f"cannot copy the state: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # what is open stays readable, and nothing is left when the daemon dies
    copies[number] = file
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = file.seek(0, os.SEEK_END)
    return Reply(f"copied {size} bytes", extra={"backup": number, "size": size, "sha256": digest})


def backup_read(call: Invocation) -> Reply:
    """A part of a copy that `backup` made, in base64; the copy is gone when its end was read."""
    number = call.args["backup"]
    file = call.manager.copies.get(number)
    if file is None:
        raise NotFound(f"cannot read the backup {number}: it is gone, make another")
    file.seek(call.args["offset"])
    part = file.read(CHUNK)
    if len(part) < CHUNK:
        call.manager.copies.pop(number).close()
    return Reply("", extra={"data": base64.b64encode(part).decode(), "last": len(part) < CHUNK})
