"""Key pairs of CURVE: who is at either end of a tcp connection.

Each key is a line of text: its kind, 32 bytes in base64, for public keys a comment. The secret one is a file of its
own, of mode 0600 or 0400; its public half may be shown to anybody::

    lmaps-secret-key 3q2+7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
    lmaps-public-key 9mLyQhXq1o2y0M1kU8oR7J0bq2m1rJ3T0sVb4m2cXzo= alice@laptop

A key's fingerprint is what policy, audit and history call its holder.
"""

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import zmq
from zmq.utils import z85

from lmaps.errors import ConfigError, Finding
from lmaps.util.ownership import check_owned, foreign_hand

SECRET, PUBLIC = "lmaps-secret-key", "lmaps-public-key"
PUBLIC_SUFFIX = ".pub"
KEY_BYTES = 32


class KeyPair(NamedTuple):
    """Both halves, 32 bytes each."""

    public: bytes
    secret: bytes

    @property
    def fingerprint(self) -> str:
        """That of the public half."""
        return fingerprint(self.public)


class ServerKeys(NamedTuple):
    """What a listener at tcp needs: its own key, and the fingerprints of the clients that it lets in."""

    own: KeyPair
    clients: frozenset[str]


class ClientKeys(NamedTuple):
    """What a client at tcp needs: its own key, and the public key that the server has to have."""

    own: KeyPair
    server: bytes


def fingerprint(public: bytes) -> str:
    """32 hexadecimal digits that stand for a public key: half of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:32]


def make_key_pair(path: Path, comment: str) -> KeyPair:
    """Make a pair: ``path`` gets the secret half, mode 0600, ``path.pub`` the public one.

    Raises FileExistsError if one of them is there: nobody gets a key back that was written over.
    """
    pair = _pair(z85.decode(zmq.curve_keypair()[1]))
    _write(path, f"{SECRET} {_coded(pair.secret)}\n", 0o600)
    try:
        _write(public_path(path), f"{public_line(pair.public, comment)}\n", 0o644)
    except OSError:
        path.unlink()
        raise
    return pair


def public_path(path: Path) -> Path:
    """Where the public half of the secret key at ``path`` lies."""
    return path.with_name(path.name + PUBLIC_SUFFIX)


def public_line(public: bytes, comment: str) -> str:
    """A public key as text."""
    return f"{PUBLIC} {_coded(public)} {comment}"


def read_key_pair(file: str) -> KeyPair:
    """The pair whose secret half is in ``file``; `ConfigError` if it holds none, or if others could read it."""
    try:
        mode = stat.S_IMODE(Path(file).stat().st_mode)
        text = Path(file).read_text()
    except (OSError, ValueError) as error:
        message = f"cannot read the secret key {file}: {_reason(error)}"
        raise ConfigError(message, hint=f"make it: lmaps keygen {file}") from error
    if mode & 0o077:
        raise ConfigError(f"cannot use the secret key {file}: others can read it (mode {mode:04o}); chmod 600 {file}")
    secret = _decoded(SECRET, text)
    if secret is None:
        raise ConfigError(f"cannot use the secret key {file}: {_expected(SECRET)}")
    return _pair(secret)


def read_public_key(file: str) -> bytes:
    """The one public key in ``file``."""
    try:
        found = list(_public_keys(Path(file)))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot read the public key {file}: {_reason(error)}", hint="copy the server's key file *.pub there"
        ) from error
    if len(found) != 1 or isinstance(found[0], Finding):
        raise ConfigError(f"cannot use the public key {file}: {_expected(PUBLIC)}")
    return found[0]


def read_server_keys(server_key: str, directory: str, owner: int | None = None) -> ServerKeys:
    """What serving at tcp takes; `ConfigError` names what is missing and what to do.

    Nobody but root and ``owner`` (this user) may be able to write the files.
    """
    try:
        check_owned(server_key, os.getuid() if owner is None else owner, "the secret key")
        own = read_key_pair(server_key)
    except ConfigError as error:
        hint = error.hint and f"make it: lmaps keygen --server {server_key}"
        raise ConfigError(f"cannot serve at tcp: {error.message}", hint=hint) from error
    return ServerKeys(own, read_authorized_keys(directory, owner))


def read_authorized_keys(directory: str, owner: int | None = None) -> frozenset[str]:
    """The fingerprints of all public keys in the files ``*.pub`` of ``directory``.

    Raises `ConfigError` with every line that is no key, with every file that others than root and ``owner`` (this user)
    may write, and if there is no key at all.
    """
    whose = os.getuid() if owner is None else owner
    try:
        files = sorted(path for path in Path(directory).iterdir() if path.suffix == PUBLIC_SUFFIX)
        found = [each for file in files for each in _owned_keys(file, whose)]
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot serve at tcp: cannot read {directory}: {_reason(error)}", hint=_CURE) from error
    faults = [each for each in found if isinstance(each, Finding)]
    if faults:
        raise ConfigError(f"cannot use the clients' keys in {directory}", errors=faults)
    if not found:
        raise ConfigError(f"cannot serve at tcp: no client's key lies in {directory}", hint=_CURE)
    return frozenset(fingerprint(each) for each in found if isinstance(each, bytes))


_CURE = "put a client's public key there, as NAME.pub; lmaps keygen makes one"


def read_client_keys(client_key: str, server_public_key: str) -> ClientKeys:
    """What speaking to a daemon at tcp takes; `ConfigError` names what is missing and what to do."""
    return ClientKeys(read_key_pair(client_key), read_public_key(server_public_key))


def _owned_keys(file: Path, owner: int) -> Iterator[bytes | Finding]:
    fault = foreign_hand(file, owner)
    if fault is None:
        yield from _public_keys(file)
    else:
        yield Finding(fault, file=str(file))


def _public_keys(file: Path) -> Iterator[bytes | Finding]:
    """The key of each line, or what is wrong with it; empty lines and those that begin with # do not count."""
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            key = _decoded(PUBLIC, line)
            if key is None:
                yield Finding(_expected(PUBLIC), file=str(file), line=number)
            else:
                yield key


def _expected(kind: str) -> str:
    return f"expected a line with {kind} and {KEY_BYTES} bytes in base64"


def _decoded(kind: str, line: str) -> bytes | None:
    words = line.split(None, 2)
    if len(words) < 2 or words[0] != kind or (kind == SECRET and len(words) > 2):
        return None
    try:
        key = base64.b64decode(words[1], validate=True)
    except (ValueError, binascii.Error):
        return None
    return key if len(key) == KEY_BYTES else None


def _coded(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _pair(secret: bytes) -> KeyPair:
    return KeyPair(z85.decode(zmq.curve_public(z85.encode(secret))), secret)


def _reason(error: OSError | ValueError) -> str:
    return error.strerror or "it cannot be read" if isinstance(error, OSError) else "it is no text"


def _write(path: Path, text: str, mode: int) -> None:
    """Write a new file, to the disk."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "w") as file:  # noqa: PTH123
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
