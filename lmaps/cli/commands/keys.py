"""``keygen``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lmaps.cli.options import command
from lmaps.cli.session import Session
from lmaps.config import CLIENT_KEY, SERVER_PUBLIC_KEY
from lmaps.errors import AlreadyExists, LmapsError
from lmaps.util.lazy import LazyModule
from lmaps.util.ownership import login_name

if TYPE_CHECKING:
    from lmaps.transport import curve
else:
    curve = LazyModule("lmaps.transport.curve")  # ZeroMQ, 12 ms that --help does without

SERVER_KEY = "/etc/lmaps/server.key"


@command("keygen", examples="lmaps keygen\nlmaps keygen ./ci.key --comment ci\nsudo lmaps keygen --server")
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--server", is_flag=True, help=f"A daemon's key: FILE is {SERVER_KEY} by default.")
@click.option("--comment", metavar="TEXT", help="Stands beside the public key, for people. [USER@HOST]")
def keygen(session: Session, file: str | None, server: bool, comment: str | None) -> None:
    """Make a key pair: FILE (~/.config/lmaps/client.key) gets the secret half, FILE.pub the public one.

    Existing files are never overwritten. The public key and its fingerprint, which names its holder in a policy, are
    printed.
    """
    path = Path(file or (SERVER_KEY if server else CLIENT_KEY)).expanduser().absolute()
    label = " ".join((comment or f"{login_name(os.getuid())}@{os.uname().nodename}").split())
    try:
        # The manager, which is not root, reads the server's key: it has to get into the directory.
        path.parent.mkdir(mode=0o755 if server else 0o700, parents=True, exist_ok=True)
        pair = curve.make_key_pair(path, label)
    except FileExistsError as error:
        raise AlreadyExists(f"cannot make {path}: {error.filename} exists and is not overwritten") from error
    except OSError as error:
        raise LmapsError(f"cannot make {path}: {error.strerror}") from error
    public_file = curve.public_path(path)
    line = curve.public_line(pair.public, label)
    data = {
        "file": str(path),
        "public_file": str(public_file),
        "fingerprint": pair.fingerprint,
        "public_key": line,
    }
    session.print_lines(data, [line, f"fingerprint {pair.fingerprint}"], [pair.fingerprint])
    session.print_message(_next_step(public_file, server))


def _next_step(public_file: Path, server: bool) -> str:
    if server:
        return f"give {public_file} to the clients, as {SERVER_PUBLIC_KEY}; put their keys into authorized_keys.d"
    return f"put {public_file} into the daemon's authorized_keys.d, then there: lmaps reload"
