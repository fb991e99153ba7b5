"""``lmaps.core.daemon``: `Daemon`, which lives in `lmaps.supervisor.supervisor`."""

from multiprocessing.context import ForkProcess
from typing import Any

from lmaps.config.settings import Config
from lmaps.supervisor import supervisor


class _Processes:
    """The attribute ``threads``: empty on the class, as documented; on a daemon the processes that run."""

    def __get__(self, daemon: supervisor.Daemon | None, owner: type) -> list[ForkProcess]:
        return [] if daemon is None else supervisor.Daemon.threads.__get__(daemon)


class Daemon(supervisor.Daemon):
    """The supervisor: runs one manager and the workers, in processes where the original had threads."""

    config: dict[str, Any] = {}  # noqa: RUF012 (documented, and never changed: each daemon has its own)
    workers: list[Any] = []  # noqa: RUF012 (as above)
    threads = _Processes()

    def __init__(self, config: Config | dict[str, Any], *args: Any) -> None:
        loaded = Config.of(config)
        super().__init__(loaded, *args)
        self.config = loaded.to_dict()
