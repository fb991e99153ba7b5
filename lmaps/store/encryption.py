"""Secrets at rest: AES-256-GCM under a key that lies outside the database.

A sealed text is ``sealed:KEY ID:NONCE AND CIPHERTEXT``, the last part in base64. It opens only at the place in the
database that it was sealed for: texts cannot be exchanged for each other. Texts that were written before a key was
configured stay readable with one.
"""

import base64
import binascii
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lmaps.errors import ConfigError, StateDamaged, StateUnusable
from lmaps.util.lazy import LazyModule

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import aead
else:
    aead = LazyModule("cryptography.hazmat.primitives.ciphers.aead")  # an extra, needed only with state_key

PREFIX = "sealed:"
KEY_BYTES = 32
NONCE_BYTES = 12


class Sealer(Protocol):
    """Seals texts before they are written, and opens them when they are read."""

    def seal(self, text: str, place: str) -> str:
        """Return ``text`` as it is to be stored at ``place``."""

    def open(self, text: str, place: str) -> str:
        """Return the text that was stored at ``place``; `StateUnusable` if it cannot be opened."""


class KeylessSealer:
    """Used where no key is configured: seals nothing, and refuses what is sealed."""

    def seal(self, text: str, place: str) -> str:
        """Return ``text`` as it is."""
        return text

    def open(self, text: str, place: str) -> str:
        """Return ``text`` as it is; `StateUnusable` if it is sealed."""
        if text.startswith(PREFIX):
            raise StateUnusable("cannot read the state: it has sealed secrets, and state_key is not configured")
        return text


class PassThroughSealer:
    """Used to compare and copy databases without their key: sealed texts stay sealed."""

    def seal(self, text: str, place: str) -> str:
        """Return ``text`` as it is."""
        return text

    def open(self, text: str, place: str) -> str:
        """Return ``text`` as it is."""
        return text


class KeySealer:
    """Seals and opens with a key of `KEY_BYTES`."""

    def __init__(self, key: bytes) -> None:
        try:
            self._cipher = aead.AESGCM(key)
        except ImportError as error:
            raise ConfigError(
                "cannot use state_key: cryptography is not installed; pip install 'lmaps[seal]'"
            ) from error
        self._key_id = hashlib.sha256(b"lmaps state key" + key).hexdigest()[:8]

    def seal(self, text: str, place: str) -> str:
        """Return ``text`` sealed with a new nonce."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, text.encode(), self._associated_data(place))
        return f"{PREFIX}{self._key_id}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, text: str, place: str) -> str:
        """Return the text that was sealed for ``place``; a text that is not sealed is returned as it is.

        Raises `StateUnusable` if it was sealed with another key, `StateDamaged` if it is damaged or from another place.
        """
        if not text.startswith(PREFIX):
            return text
        key_id, _, data = text.removeprefix(PREFIX).partition(":")
        if key_id != self._key_id:
            raise StateUnusable(f"cannot read the state: its secrets were sealed with key {key_id}, not {self._key_id}")
        try:
            sealed = base64.b64decode(data, validate=True)
            return self._cipher.decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._associated_data(place)
            ).decode()
        except Exception as error:  # InvalidTag of the library, and whatever a damaged text raises in base64 and UTF-8
            raise StateDamaged("cannot read the state: a sealed document is damaged") from error

    def _associated_data(self, place: str) -> bytes:
        # Authenticated with the text: a sealed text that is moved to another instance does not open there.
        return f"{place}/{self._key_id}".encode()


def read_key(file: str) -> bytes:
    """Return the key in a file, which has it in base64.

    Raises `ConfigError` if the file cannot be read, holds no key, or can be read by others.
    """
    path = Path(file)
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the state_key {file}: {error.strerror}") from error
    if mode & 0o077:
        raise ConfigError(f"cannot use the state_key {file}: others can read it (mode {mode:04o}); chmod 600 {file}")
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"cannot use the state_key {file}: expected {KEY_BYTES} bytes in base64", hint="openssl rand -base64 32"
        )
    return key
