"""The manager's sockets and secrets: prepared while the process has all its rights, before it drops them."""

from typing import NamedTuple

from lmaps.config.settings import Config
from lmaps.store import KeySealer, Sealer, read_key
from lmaps.transport.addresses import is_tcp
from lmaps.transport.bind import BoundSocket, bind_sockets
from lmaps.transport.curve import ServerKeys, read_server_keys
from lmaps.transport.zmq_client import NO_SECRET
from lmaps.util.ownership import check_owned


class ManagerSockets(NamedTuple):
    """Bound sockets, and the secrets that only root may be able to read.

    clients, workers  where they connect
    secret            workers prove to be this daemon's by knowing it
    keys              for clients at tcp: the daemon's own key, and the keys of the clients
    sealer            encrypts the secrets in the state
    """

    clients: list[BoundSocket]
    workers: list[BoundSocket]
    secret: str = NO_SECRET
    keys: ServerKeys | None = None
    sealer: Sealer | None = None


def bind_manager_sockets(
    config: Config, worker_endpoint: str, secret: str = NO_SECRET, group: int | None = None
) -> ManagerSockets:
    """Bind a manager's sockets, and read its keys; nobody is served yet. Members of ``group`` may connect as clients.

    Raises what `bind_sockets`, `read_server_keys` and `read_key` do.
    """
    rpc = config.rpc
    keys = read_server_keys(rpc.server_key, rpc.authorized_keys, config.uid) if is_remote(config) else None
    sealer = None
    if config.state_key:
        sealer = KeySealer(read_key(config.state_key))
        check_owned(config.state_key, config.uid, "the state_key")
    return ManagerSockets(bind_sockets(rpc.manager_bind, group), bind_sockets([worker_endpoint]), secret, keys, sealer)


def is_remote(config: Config) -> bool:
    """Whether clients are served at tcp."""
    return any(map(is_tcp, config.rpc.manager_bind))
