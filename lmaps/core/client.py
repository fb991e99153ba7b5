"""``lmaps.core.client``: `Client`, which lives in `lmaps.client`."""

import logging
from typing import Any

from lmaps import client
from lmaps.config import client_settings, find_trusted_file

log = logging.getLogger(__name__)


class Client(client.Client):
    """The client of the manager; without arguments it takes the configuration that is found.

    The arguments are those of `lmaps.client.Client`: endpoint, timeout and so on. The original derived it from its
    Manager for the sake of a socket; here only the manager's process has the state, and a client has none of it.
    """

    manager_socket_type = 5
    """DEALER, as ZeroMQ numbers it; the original's was REQ (3), which a lost answer leaves unusable."""

    def __init__(self, *args: Any) -> None:
        settings = {} if args else client_settings(find_trusted_file(log.warning))._asdict()
        super().__init__(*args, **{name: value for name, value in settings.items() if value is not None})
