"""Files that commands write: whole or not at all, and never in the place of what is no file."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from lmaps.errors import UsageError
from lmaps.util.failpoints import failpoint


def write_whole(path: Path, parts: Iterable[bytes]) -> None:
    """Write ``path`` aside, make it durable, and move it into place; `UsageError` if that cannot be done.

    What is no file (a directory, a device, a pipe) is never replaced.
    """
    aside = _name_aside(path)
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        failpoint("export.before_rename")
        aside.rename(path)
        failpoint("export.after_rename")
        _sync_directory(path.parent)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def _name_aside(path: Path) -> Path:
    try:
        special = path.exists() and not path.is_file()
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    if special:
        raise UsageError(f"cannot write {path}: it is no file; without --output data goes to stdout")
    return path.with_name(f".{path.name}.{os.getpid()}")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
