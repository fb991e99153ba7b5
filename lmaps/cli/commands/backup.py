"""``backup`` and ``restore``."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lmaps.cli.documents import output_path, write_whole
from lmaps.cli.options import command
from lmaps.cli.session import Session
from lmaps.errors import LmapsError, UsageError
from lmaps.util.lazy import LazyModule

if TYPE_CHECKING:
    from lmaps.cli import lmapsd
else:
    lmapsd = LazyModule("lmaps.cli.lmapsd")  # it imports the store, which --help does without

LEVELS = {75: 5}
"""Exit codes of lmapsd that are another one here: 75, a daemon runs, is a conflict."""


@command("backup", examples="lmaps backup lmaps-2026-11-23.db\nsha256sum -c lmaps-2026-11-23.db.sha256")
@click.argument("file", metavar="FILE")
def backup(session: Session, file: str) -> None:
    """Copy the whole state to FILE while the daemon runs, verify it, and write its checksum to FILE.sha256."""
    path = output_path(file)
    extra = session.call("backup").extra
    size, checksum = extra["size"], extra["sha256"]
    digest = hashlib.sha256()
    write_whole(path, _parts(session, extra["backup"], size, digest))
    if digest.hexdigest() != checksum:
        raise LmapsError(f"the checksum of {file} is not the daemon's: make another backup")
    write_whole(path.with_name(f"{path.name}.sha256"), [f"{checksum}  {path.name}\n".encode()])
    # The checksum proves that the copy is the daemon's; only opening it proves that it is a usable database.
    _run_lmapsd(["--verify", str(path)])
    data = {"file": str(path), "size": size, "sha256": checksum}
    session.print_lines(data, [f"{file}  {size} bytes  sha256 {checksum}"], [str(path)])


def _parts(session: Session, backup_id: str, size: int, digest: "hashlib._Hash") -> Iterator[bytes]:
    """Yield the copy part by part, and feed ``digest`` with it."""
    offset = 0
    while offset < size:
        part = base64.b64decode(session.call("backup_read", backup=backup_id, offset=offset).extra["data"])
        digest.update(part)
        yield part
        offset += len(part)


@command("restore", examples="lmaps restore lmaps-2026-11-23.db")
@click.argument("file", metavar="FILE")
def restore(session: Session, file: str) -> None:
    """Replace the state by a backup. The daemon must be stopped; the old state is kept beside the new one."""
    if not Path(file).is_file():
        raise UsageError(f"cannot restore {file}: there is no such file")
    _run_lmapsd([*(["--config", session.config] if session.config else []), "--restore", str(Path(file).resolve())])


def _run_lmapsd(arguments: list[str]) -> None:
    """Run lmapsd, which opens databases and prints its own errors. Ends the command if it fails."""
    code = lmapsd.start(arguments)
    if code:
        raise click.exceptions.Exit(LEVELS.get(code, 1))
