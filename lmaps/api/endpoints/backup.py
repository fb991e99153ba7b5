"""Endpoints that copy the whole state: backup, backup_read."""

import base64
import contextlib
import hashlib
import os
import secrets
from pathlib import Path
from typing import BinaryIO

from lmaps.api.arguments import NoArguments, Number, Text, argument, arguments
from lmaps.api.context import AfterCommit, Invocation
from lmaps.api.endpoint import endpoint
from lmaps.errors import NotFound, StoreError
from lmaps.protocol import Reply
from lmaps.store import Store
from lmaps.util.failpoints import failpoint

CHUNK_BYTES = 768 * 1024
"""The bytes of a backup in one answer; base64 makes 1 MiB of text of them."""
MAX_BACKUPS = 4
"""Backups that may be fetched at the same time."""


@endpoint("backup", right="admin", scope="every", audited=True)
def backup(ctx: Invocation, request: NoArguments) -> AfterCommit:
    """Copy the whole state as it is now; the answer has its name for `backup_read`, its size and SHA-256."""
    copies = ctx.manager.copies
    if len(copies) >= MAX_BACKUPS:
        copies.pop(next(iter(copies))).close()  # the oldest: its client may never read it to the end
    return AfterCommit(copy_state, copies)


def copy_state(store: Store, copies: dict[str, BinaryIO]) -> Reply:
    """Copy the state into an unlinked file, add the open file to ``copies``, and return the answer.

    SQLite copies only what is committed, so no transaction may be open.
    """
    copy_name = secrets.token_hex(8)
    path = Path(f"{store.path}.{copy_name}.copy")
    try:
        store.copy_to(str(path))
        failpoint("backup.mid")
        file = path.open("rb")
    except OSError as error:
        raise StoreError(f"cannot copy the state: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # the open file stays readable, and no copy is left behind when the daemon dies
    copies[copy_name] = file
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = file.seek(0, os.SEEK_END)
    return Reply(f"copied {size} bytes", extra={"backup": copy_name, "size": size, "sha256": digest})


@arguments
class BackupRead:
    """The arguments of backup_read."""

    backup: Text = argument(doc="The name of the copy, from the answer of `backup`.")
    offset: Number = argument(doc="The first byte.")


@endpoint("backup_read", right="admin", scope="every", action="read the backup")
def backup_read(ctx: Invocation, request: BackupRead) -> Reply:
    """Return a part of a copy in base64. The copy is deleted once its end has been read."""
    file = ctx.manager.copies.get(request.backup)
    if file is None:
        raise NotFound(f"there is no backup {request.backup} any more", hint="make a new one: lmaps backup FILE")
    file.seek(request.offset)
    part = file.read(CHUNK_BYTES)
    is_last = len(part) < CHUNK_BYTES
    if is_last:
        ctx.manager.copies.pop(request.backup).close()
    return Reply("", extra={"data": base64.b64encode(part).decode(), "last": is_last})
