"""``backup`` and ``restore``."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import click

from lmaps.cli.documents import write_whole
from lmaps.cli.session import Session, command
from lmaps.errors import LmapsError, UsageError


@command("backup", examples="lmaps backup lmaps-2026-11-23.db\nsha256sum -c lmaps-2026-11-23.db.sha256")
@click.argument("file", metavar="FILE")
def backup(session: Session, file: str) -> None:
    """Copy the whole state to FILE while the daemon runs, verify it, and write its checksum to FILE.sha256."""
    path = Path(file).resolve()
    made = session.call("backup").extra
    digest = hashlib.sha256()
    write_whole(path, _parts(session, made["backup"], made["size"], digest))
    if digest.hexdigest() != made["sha256"]:
        raise LmapsError(f"cannot rely on {file}: its checksum is not the daemon's; make another backup")
    write_whole(path.with_name(f"{path.name}.sha256"), [f"{made['sha256']}  {path.name}\n".encode()])
    _daemon(["--verify", str(path)])
    rows = {"file": str(path), "size": made["size"], "sha256": made["sha256"]}
    session.lines(rows, [f"{file}  {made['size']} bytes  sha256 {made['sha256']}"], [str(path)])


def _parts(session: Session, number: str, size: int, digest: "hashlib._Hash") -> Iterator[bytes]:
    offset = 0
    while offset < size:
        part = base64.b64decode(session.call("backup_read", backup=number, offset=offset).extra["data"])
        digest.update(part)
        yield part
        offset += len(part)


@command("restore", examples="lmaps restore lmaps-2026-11-23.db")
@click.argument("file", metavar="FILE")
def restore(session: Session, file: str) -> None:
    """Put a backup in the place of the state. The daemon has to be stopped; the old state is kept aside."""
    if not Path(file).is_file():
        raise UsageError(f"cannot restore {file}: there is no such file")
    _daemon([*(["--config", session.config] if session.config else []), "--restore", str(Path(file).resolve())])


def _daemon(arguments: list[str]) -> None:
    """Let the daemon's program do it, which knows the state; what it says stands for itself."""
    from lmaps.cli import lmapsd  # noqa: PLC0415 (the store, which no other command loads)

    code = lmapsd.start(arguments)
    if code:
        raise click.exceptions.Exit({75: 5}.get(code, 1))
