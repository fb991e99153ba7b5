"""``keygen``."""

import os
from pathlib import Path

import click

from lmaps.cli.session import Session, command
from lmaps.config import CLIENT_KEY, SERVER_PUBLIC_KEY
from lmaps.errors import AlreadyExists, LmapsError
from lmaps.util.ownership import login_name

SERVER_KEY = "/etc/lmaps/server.key"


@command("keygen", examples="lmaps keygen\nlmaps keygen ./ci.key --comment ci\nsudo lmaps keygen --server")
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--server", is_flag=True, help=f"A daemon's key: FILE is {SERVER_KEY} unless it is named.")
@click.option("--comment", metavar="TEXT", help="Stands beside the public key, for people. [USER@HOST]")
def keygen(session: Session, file: str | None, server: bool, comment: str | None) -> None:
    """Make a key pair: FILE (~/.config/lmaps/client.key) gets the secret half, FILE.pub the public one.

    Neither is written over. Printed are the public key and its fingerprint, which stands for its holder in a policy.
    """
    from lmaps.transport.curve import make_key_pair, public_line, public_path  # noqa: PLC0415 (help does without)

    path = Path(file or (SERVER_KEY if server else CLIENT_KEY)).expanduser().absolute()
    told = " ".join((comment or f"{login_name(os.getuid())}@{os.uname().nodename}").split())
    try:
        path.parent.mkdir(mode=0o755 if server else 0o700, parents=True, exist_ok=True)  # the manager reads there
        pair = make_key_pair(path, told)
    except FileExistsError as error:
        raise AlreadyExists(f"cannot make {path}: {error.filename} is there, and no key is written over") from error
    except OSError as error:
        raise LmapsError(f"cannot make {path}: {error.strerror}") from error
    public = public_path(path)
    made = {"file": str(path), "public_file": str(public), "fingerprint": pair.fingerprint}
    line = public_line(pair.public, told)
    session.lines(made | {"public_key": line}, [line, f"fingerprint {pair.fingerprint}"], [pair.fingerprint])
    session.words(_next_step(public, server))


def _next_step(public: Path, server: bool) -> str:
    if server:
        return f"give {public} to the clients, as {SERVER_PUBLIC_KEY}; put their keys into authorized_keys.d"
    return f"put {public} into the daemon's authorized_keys.d, then there: lmaps reload"
