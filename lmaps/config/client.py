"""The settings that a client needs: read quickly, and only those."""

from typing import TYPE_CHECKING, NamedTuple

from lmaps.config.paths import absolute, absolute_uri, directory, read
from lmaps.errors import UsageError
from lmaps.util import fast_yaml
from lmaps.util.lazy import LazyModule
from lmaps.util.times import seconds

if TYPE_CHECKING:
    from lmaps.config import document
else:
    document = LazyModule("lmaps.config.document")  # takes 12 ms, and is needed only for text that is not plain YAML


class ClientSettings(NamedTuple):
    """The settings of a client; None where the configuration has none. ``timeout`` is in seconds."""

    endpoint: str | None = None
    timeout: float | None = None
    client_key: str | None = None
    server_public_key: str | None = None


def client_settings(config_file: str | None) -> ClientSettings:
    """Return the settings that a client needs; the rest of the file is neither used nor checked.

    Raises `ConfigError` if the file cannot be read or the timeout is no duration.
    """
    if config_file is None:
        return ClientSettings()
    text = read(config_file)
    values = fast_yaml.read(text) or _read_slowly(text, config_file)
    rpc = values.get("rpc") if isinstance(values, dict) else None
    if not isinstance(rpc, dict):
        return ClientSettings()
    base = directory(config_file)
    files = (rpc.get("client_key"), rpc.get("server_public_key"))
    keys = [absolute(name, base) if isinstance(name, str) else None for name in files]
    timeout = rpc.get("timeout")
    try:
        timeout_s = None if timeout is None else seconds(timeout)
    except UsageError as error:
        parsed = document.parse(text, config_file)
        raise document.refusal(config_file, parsed, [document.bad_timeout(timeout)]) from error
    return ClientSettings(_nearest_endpoint(rpc.get("manager_bind"), base), timeout_s, *keys)


def _read_slowly(text: bytes, file: str) -> object:
    parsed = document.parse(text, file)
    return parsed.value if parsed else None


def _nearest_endpoint(bind: object, base: str) -> str | None:
    """Return the endpoint for clients on this host: the first unix socket in ``bind``, else its first URI."""
    uris = [uri for uri in (bind if isinstance(bind, list) else [bind]) if isinstance(uri, str)]
    local = [uri for uri in uris if uri.startswith("ipc://")]
    return next((absolute_uri(uri, base) for uri in (*local, *uris)), None)
