"""The settings that a client needs: read quickly, and only those."""

import contextlib
import os
import pwd
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from lmaps.config.paths import DEFAULT_USER, absolute, absolute_uri, config_files, directory, read
from lmaps.errors import UsageError
from lmaps.util import fast_yaml
from lmaps.util.lazy import LazyModule
from lmaps.util.ownership import ownership_fault
from lmaps.util.times import seconds

if TYPE_CHECKING:
    import shlex

    from lmaps.config import document
else:
    shlex = LazyModule("shlex")
    document = LazyModule("lmaps.config.document")  # takes 12 ms, and is needed only for text that is not plain YAML


class ClientSettings(NamedTuple):
    """The settings of a client; None where the configuration has none. ``timeout`` is in seconds.

    ``trusted_uids`` are the users who may serve the endpoint if it is a unix socket: the caller, root, and the user
    whom root's daemon becomes.
    """

    endpoint: str | None = None
    timeout: float | None = None
    client_key: str | None = None
    server_public_key: str | None = None
    trusted_uids: frozenset[int] = frozenset()


def find_trusted_file(on_refused: Callable[[str], None]) -> str | None:
    """Return the first configuration that nobody besides root and the caller may write, or None.

    Whoever writes it chooses the daemon that gets the caller's documents. ``on_refused`` is called with a sentence for
    each file that is passed over.
    """
    for file in config_files():
        fault = ownership_fault(file, os.getuid())
        if fault is None:
            return file
        on_refused(f"{file} is not used: {fault}; to use it all the same: --config {shlex.quote(file)}")
    return None


def client_settings(config_file: str | None) -> ClientSettings:
    """Return the settings that a client needs; the rest of the file is neither used nor checked.

    Raises `ConfigError` if the file cannot be read or the timeout is no duration.
    """
    if config_file is None:
        return ClientSettings(trusted_uids=_trusted_uids())
    text = read(config_file)
    values = fast_yaml.read(text) or _read_slowly(text, config_file)
    if not isinstance(values, dict):
        return ClientSettings(trusted_uids=_trusted_uids())
    rpc, trusted_uids = values.get("rpc"), _trusted_uids(values.get("user"))
    if not isinstance(rpc, dict):
        return ClientSettings(trusted_uids=trusted_uids)
    base = directory(config_file)
    files = (rpc.get("client_key"), rpc.get("server_public_key"))
    client_key, server_key = (absolute(name, base) if isinstance(name, str) else None for name in files)
    timeout = rpc.get("timeout")
    try:
        timeout_s = None if timeout is None else seconds(timeout)
    except UsageError as error:
        parsed = document.parse(text, config_file)
        raise document.refusal(config_file, parsed, [document.bad_timeout(timeout)]) from error
    endpoint = _nearest_endpoint(rpc.get("manager_bind"), base)
    return ClientSettings(endpoint, timeout_s, client_key, server_key, trusted_uids)


def _trusted_uids(daemon_user: object = None) -> frozenset[int]:
    """Return the caller, root, and ``daemon_user`` (lmaps if it is None) if the host has that user.

    The kernel reports the user who listens, which is the one that root's manager has become.
    """
    uids = {os.getuid(), 0}
    with contextlib.suppress(KeyError):
        uids.add(pwd.getpwnam(str(daemon_user or DEFAULT_USER)).pw_uid)
    return frozenset(uids)


def _read_slowly(text: bytes, file: str) -> object:
    parsed = document.parse(text, file)
    return parsed.value if parsed else None


def _nearest_endpoint(bind: object, base: str) -> str | None:
    """Return the endpoint for clients on this host: the first unix socket in ``bind``, else its first URI."""
    uris = [uri for uri in (bind if isinstance(bind, list) else [bind]) if isinstance(uri, str)]
    local = [uri for uri in uris if uri.startswith("ipc://")]
    return next((absolute_uri(uri, base) for uri in (*local, *uris)), None)
