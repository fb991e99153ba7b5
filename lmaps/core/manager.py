"""``lmaps.core.manager``: `Manager`, which lives in `lmaps.manager.manager`."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Self

from lmaps import manager
from lmaps.config.load import load_config
from lmaps.config.settings import Config
from lmaps.supervisor.locks import exclusive_paths, locked
from lmaps.supervisor.privileges import private_files
from lmaps.transport.addresses import check_endpoint


class Manager(manager.Manager):
    """A manager without a supervisor: it serves clients, and has the workers at ``worker_connection_uri`` run tasks.

    ``args`` may begin with the configuration (default: the one that is found). In the original it was a Worker.
    """

    socket_type = 6
    """ROUTER, as ZeroMQ numbers it: it serves many workers. The original's was REQ (3)."""
    manager_socket_type = 6
    """ROUTER: it answers clients in any order. The original's was REP (4)."""
    worker_connection_uri: str | None = None

    def __init__(self, worker_connection_uri: str, *args: Any) -> None:
        self.worker_connection_uri = worker_connection_uri
        self._config = Config.of(args[0]) if args else load_config()
        self.setup_args(args)
        super().__init__(worker_connection_uri, self._config, uuid.uuid4().hex)

    def setup_args(self, args: tuple[object, ...]) -> None:
        """Check the endpoints for workers and clients; `start` binds them, in the process that serves them."""
        for uri in (str(self.worker_connection_uri), *self._config.rpc.manager_bind):
            check_endpoint(uri)

    @contextlib.contextmanager
    def serving(self) -> Iterator[Self]:
        """Serve within the block, as the only one that uses this state and these sockets; else `AnotherDaemon`."""
        paths = exclusive_paths(self._config, str(self.worker_connection_uri))
        with private_files(), locked(paths), super().serving():
            yield self

    def run_task(self, runnable: str | Callable[..., object], /, *args: object, **kwargs: object) -> Any:
        """Have a registered task run, by its name or as the function itself, and return its result.

        The manager serves meanwhile, if it does not yet, and waits until a worker is there.
        """
        name = runnable if isinstance(runnable, str) else getattr(runnable, "__name__", repr(runnable))
        with contextlib.nullcontext() if self.running else self.serving():
            return super().run_task(name, *args, **kwargs)
