"""Documents with secrets, sealed at rest: AES-256-GCM under a key that lies outside the state.

A sealed text is ``sealed:KEY ID:NONCE AND CIPHERTEXT``, the last in base64; it opens only at its own place in the
state. What was written without a key stays readable with one.
"""

import base64
import binascii
import hashlib
import os
import stat
from pathlib import Path

from lmaps.errors import ConfigError, StateDamaged, StateUnusable

PREFIX = "sealed:"
KEY_BYTES = 32
NONCE_BYTES = 12


class Plain:
    """No key: nothing is sealed, and what is sealed cannot be read."""

    def seal(self, text: str, place: str) -> str:
        """``text`` as it is to be kept at ``place``."""
        return text

    def open(self, text: str, place: str) -> str:
        """The text that was kept at ``place``."""
        if text.startswith(PREFIX):
            raise StateUnusable("cannot read the state: it has sealed secrets, and state_key is not configured")
        return text


class Opaque(Plain):
    """No key, and none is needed: for whoever only compares and copies."""

    def open(self, text: str, place: str) -> str:
        """The text as it is kept."""
        return text


class Sealer(Plain):
    """Seals and opens with a key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise ConfigError(
                "cannot use state_key: cryptography is not installed; pip install 'lmaps[seal]'"
            ) from error
        self._cipher = AESGCM(key)
        self._key_id = hashlib.sha256(b"lmaps state key" + key).hexdigest()[:8]

    def seal(self, text: str, place: str) -> str:
        """``text``, sealed with a nonce of its own."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, text.encode(), self._bound(place))
        return f"{PREFIX}{self._key_id}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, text: str, place: str) -> str:
        """What was sealed for ``place``; `StateUnusable` if it is damaged, moved, or of another key."""
        if not text.startswith(PREFIX):
            return text
        key_id, _, data = text.removeprefix(PREFIX).partition(":")
        if key_id != self._key_id:
            raise StateUnusable(f"cannot read the state: its secrets were sealed with key {key_id}, not {self._key_id}")
        try:
            whole = base64.b64decode(data, validate=True)
            return self._cipher.decrypt(whole[:NONCE_BYTES], whole[NONCE_BYTES:], self._bound(place)).decode()
        except Exception as error:  # the library's InvalidTag and whatever damaged text makes of the rest
            raise StateDamaged("cannot read the state: a sealed document is damaged") from error

    def _bound(self, place: str) -> bytes:
        return f"{place}/{self._key_id}".encode()


def read_key(file: str) -> bytes:
    """The key in a file, in base64; `ConfigError` if it is none, or if others could read it."""
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
