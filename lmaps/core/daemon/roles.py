"""What the children are: each is composed in one function, after the fork.

Their modules are imported here, before it: so a replacement is there within milliseconds, and is of the same code.
"""

from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NamedTuple

from lmaps.core.config import Config
from lmaps.core.lifeline import Lifeline
from lmaps.core.manager import Manager
from lmaps.core.worker import Worker


def be_manager(config: Config, boot_id: str, line: Connection) -> None:
    """Serve clients and workers until told to end, or until ``line`` ends because the supervisor is gone."""
    Manager(config["rpc"]["worker_bind"], config, boot_id, Lifeline(line)).start()


def be_worker(config: Config, slot: int, line: Connection) -> None:
    """Run jobs in ``slot`` until told to end, or until ``line`` ends because the supervisor is gone."""
    Worker(config["rpc"]["worker_bind"], config, slot, Lifeline(line)).start()


class Roles(NamedTuple):
    """The two roles that the supervisor has children for."""

    manager: Callable[[Config, str, Connection], None] = be_manager
    worker: Callable[[Config, int, Connection], None] = be_worker
