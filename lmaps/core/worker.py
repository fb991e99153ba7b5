"""``lmaps.core.worker``: `Worker`, which lives in `lmaps.worker.worker`."""

from typing import Any

from lmaps.config.load import load_config
from lmaps.config.settings import Config
from lmaps.worker import worker


class Worker(worker.Worker):
    """A worker without a supervisor, of the manager that serves at ``worker_connection_uri``.

    ``args`` may begin with the configuration (default: the one that is found) and the worker's number (default: 1);
    the workers of one manager need different ones.
    """

    socket_type = 5
    """DEALER, as ZeroMQ numbers it: it connects, and the manager binds. The original's was REP (4)."""
    running = True
    worker_connection_uri: str | None = None

    def __init__(self, worker_connection_uri: str, *args: Any) -> None:
        self.worker_connection_uri = worker_connection_uri
        super().__init__(worker_connection_uri, Config.of(args[0]) if args else load_config(), *args[1:2])
        self.setup_args(args)

    def setup_args(self, args: tuple[object, ...]) -> None:
        """Do nothing; a subclass may take further arguments here."""
