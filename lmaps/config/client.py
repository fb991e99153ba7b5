"""What a client takes from the configuration: read quickly, and only that."""

from typing import Any, NamedTuple

from lmaps.config.paths import absolute, absolute_uri, directory, read
from lmaps.errors import UsageError
from lmaps.util import fast_yaml
from lmaps.util.times import seconds


class ClientSettings(NamedTuple):
    """What a client takes from the configuration; None where it says nothing. ``timeout`` in seconds."""

    endpoint: str | None = None
    timeout: float | None = None
    client_key: str | None = None
    server_public_key: str | None = None


def client_settings(config_file: str | None) -> ClientSettings:
    """What a client needs from the configuration; the rest of it is not looked at."""
    if config_file is None:
        return ClientSettings()
    text = read(config_file)
    told = fast_yaml.read(text) or _read_slowly(text, config_file)
    rpc = told.get("rpc") if isinstance(told, dict) else None
    if not isinstance(rpc, dict):
        return ClientSettings()
    base = directory(config_file)
    files = (rpc.get("client_key"), rpc.get("server_public_key"))
    keys = [absolute(name, base) if isinstance(name, str) else None for name in files]
    timeout = rpc.get("timeout")
    try:
        within = None if timeout is None else seconds(timeout)
    except UsageError as error:
        from lmaps.config.document import bad_timeout, parse, refusal  # noqa: PLC0415 (as below)

        raise refusal(config_file, parse(text, config_file), [bad_timeout(timeout)]) from error
    return ClientSettings(_nearest(rpc.get("manager_bind"), base), within, *keys)


def _read_slowly(text: bytes, file: str) -> Any:
    from lmaps.config.document import parse  # noqa: PLC0415 (12 ms that only what is not plain has to pay)

    document = parse(text, file)
    return document.value if document else None


def _nearest(bind: Any, base: str) -> str | None:
    """The endpoint for clients on this host: the first one that is a unix socket, else the first."""
    uris = [uri for uri in (bind if isinstance(bind, list) else [bind]) if isinstance(uri, str)]
    local = [uri for uri in uris if uri.startswith("ipc://")]
    return next((absolute_uri(uri, base) for uri in (*local, *uris)), None)
