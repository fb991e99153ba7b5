"""CURVE key pairs: they prove who is at either end of a tcp connection.

Each key is a line of text: its kind, 32 bytes in base64, for public keys a comment. The secret key is in a file of its
own, of mode 0600 or 0400; the public key is no secret::

    lmaps-secret-key 3q2+7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
    lmaps-public-key 9mLyQhXq1o2y0M1kU8oR7J0bq2m1rJ3T0sVb4m2cXzo= alice@laptop

Policy, audit and history name the holder of a key by its fingerprint.
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
from lmaps.util.ownership import check_owned, ownership_fault

SECRET_KIND, PUBLIC_KIND = "lmaps-secret-key", "lmaps-public-key"
PUBLIC_SUFFIX = ".pub"
KEY_BYTES = 32


class KeyPair(NamedTuple):
    """A public and its secret key, 32 bytes each."""

    public: bytes
    secret: bytes

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the public key."""
        return fingerprint(self.public)


class ServerKeys(NamedTuple):
    """The keys of a server at tcp: its own, and the fingerprints of the authorized clients."""

    own: KeyPair
    clients: frozenset[str]


class ClientKeys(NamedTuple):
    """The keys of a client at tcp: its own, and the public key that the server has to prove."""

    own: KeyPair
    server: bytes


def fingerprint(public: bytes) -> str:
    """Return the fingerprint of a public key: 32 hexadecimal digits, half of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:32]


def make_key_pair(path: Path, comment: str) -> KeyPair:
    """Make a key pair: ``path`` gets the secret key, mode 0600, ``path.pub`` the public one.

    Raises FileExistsError if one of the files is there: a key that was overwritten cannot be restored.
    """
    pair = _pair(z85.decode(zmq.curve_keypair()[1]))
    _write(path, f"{SECRET_KIND} {_encoded(pair.secret)}\n", 0o600)
    try:
        _write(public_path(path), f"{public_line(pair.public, comment)}\n", 0o644)
    except OSError:
        path.unlink()
        raise
    return pair


def public_path(path: Path) -> Path:
    """Return the file of the public key that belongs to the secret key in ``path``."""
    return path.with_name(path.name + PUBLIC_SUFFIX)


def public_line(public: bytes, comment: str) -> str:
    """Return a public key as a line of text."""
    return f"{PUBLIC_KIND} {_encoded(public)} {comment}"


def read_key_pair(file: str) -> KeyPair:
    """Return the key pair whose secret key is in ``file``.

    Raises `ConfigError` if the file holds none, or if other users can read it.
    """
    try:
        mode = stat.S_IMODE(Path(file).stat().st_mode)
        text = Path(file).read_text()
    except (OSError, ValueError) as error:
        message = f"cannot read the secret key {file}: {_reason(error)}"
        raise ConfigError(message, hint=f"make it: lmaps keygen {file}") from error
    if mode & 0o077:
        raise ConfigError(f"cannot use the secret key {file}: others can read it (mode {mode:04o}); chmod 600 {file}")
    secret = _decoded(SECRET_KIND, text)
    if secret is None:
        raise ConfigError(f"cannot use the secret key {file}: {_expected(SECRET_KIND)}")
    return _pair(secret)


def read_public_key(file: str) -> bytes:
    """Return the public key in ``file``; raise `ConfigError` unless it holds exactly one."""
    try:
        keys = list(_public_keys(Path(file)))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot read the public key {file}: {_reason(error)}", hint="copy the server's key file *.pub there"
        ) from error
    if len(keys) != 1 or isinstance(keys[0], Finding):
        raise ConfigError(f"cannot use the public key {file}: {_expected(PUBLIC_KIND)}")
    return keys[0]


def read_server_keys(server_key: str, directory: str, owner: int | None = None) -> ServerKeys:
    """Return the keys for serving at tcp; raise `ConfigError` with what is missing and what to do.

    Only root and ``owner`` (default: this user) may be able to write the files.
    """
    try:
        own = read_key_pair(server_key)
        check_owned(server_key, os.getuid() if owner is None else owner, "the secret key")
    except ConfigError as error:
        hint = error.hint and f"make it: lmaps keygen --server {server_key}"
        raise ConfigError(f"cannot serve at tcp: {error.message}", hint=hint) from error
    return ServerKeys(own, read_authorized_keys(directory, owner))


def read_authorized_keys(directory: str, owner: int | None = None) -> frozenset[str]:
    """Return the fingerprints of all public keys in the files ``*.pub`` of ``directory``.

    Raises `ConfigError` with every line that is no key, with every file that users other than root and ``owner``
    (default: this user) may write, and if there is no key at all: a daemon that serves nobody is a mistake.
    """
    owner = os.getuid() if owner is None else owner
    try:
        files = sorted(path for path in Path(directory).iterdir() if path.suffix == PUBLIC_SUFFIX)
        entries = [entry for file in files for entry in _owned_keys(file, owner)]
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot serve at tcp: cannot read {directory}: {_reason(error)}", hint=_HINT) from error
    findings = [entry for entry in entries if isinstance(entry, Finding)]
    if findings:
        raise ConfigError(f"cannot use the clients' keys in {directory}", errors=findings)
    if not entries:
        raise ConfigError(f"cannot serve at tcp: no client's key lies in {directory}", hint=_HINT)
    return frozenset(fingerprint(entry) for entry in entries if isinstance(entry, bytes))


_HINT = "put a client's public key there, as NAME.pub; lmaps keygen makes one"


def read_client_keys(client_key: str, server_public_key: str) -> ClientKeys:
    """Return the keys of a client at tcp; raise `ConfigError` with what is missing and what to do."""
    return ClientKeys(read_key_pair(client_key), read_public_key(server_public_key))


def _owned_keys(file: Path, owner: int) -> Iterator[bytes | Finding]:
    # Whoever can write the file can authorize a key of his own.
    fault = ownership_fault(file, owner)
    if fault is None:
        yield from _public_keys(file)
    else:
        yield Finding(fault, file=str(file))


def _public_keys(file: Path) -> Iterator[bytes | Finding]:
    """Yield the key of each line, or what is wrong with the line; skip empty lines and those that begin with #."""
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            key = _decoded(PUBLIC_KIND, line)
            if key is None:
                yield Finding(_expected(PUBLIC_KIND), file=str(file), line=number)
            else:
                yield key


def _expected(kind: str) -> str:
    return f"expected a line with {kind} and {KEY_BYTES} bytes in base64"


def _decoded(kind: str, line: str) -> bytes | None:
    """Return the key in a line of this kind, None if there is none."""
    fields = line.split(None, 2)
    if len(fields) < 2 or fields[0] != kind or (kind == SECRET_KIND and len(fields) > 2):
        return None
    try:
        key = base64.b64decode(fields[1], validate=True)
    except (ValueError, binascii.Error):
        return None
    return key if len(key) == KEY_BYTES else None


def _encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _pair(secret: bytes) -> KeyPair:
    return KeyPair(z85.decode(zmq.curve_public(z85.encode(secret))), secret)


def _reason(error: OSError | ValueError) -> str:
    return error.strerror or "it cannot be read" if isinstance(error, OSError) else "it is no text"


def _write(path: Path, text: str, mode: int) -> None:
    """Write a new file, and flush it to the disk.

    Its mode is set as it is made: zmq's own `create_certificates` leaves secret keys readable for everybody.
    """
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "w") as file:  # noqa: PTH123
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
