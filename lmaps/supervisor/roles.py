"""What the children are: each is composed in one function, after the fork.

Their modules are imported before it: so a replacement is there within milliseconds, and is of the same code.
"""

import gc
import socket
from collections.abc import Callable
from typing import NamedTuple

from lmaps.config import Config
from lmaps.manager import Manager, bind_manager_sockets
from lmaps.supervisor.privileges import drop_privileges, socket_group
from lmaps.transport.addresses import ipc_path
from lmaps.transport.selfcheck import check_peer_credentials
from lmaps.util.heartbeat import SupervisorChannel
from lmaps.worker.worker import Worker


class Boot(NamedTuple):
    """What the children of one daemon know of it: ``secret`` proves a worker to the manager.

    The state is ``known`` once a manager of this daemon has opened it.
    """

    id: str
    secret: str
    known: bool = False


def run_manager(config: Config, boot: Boot, line: socket.socket) -> None:
    """Serve clients and workers until told to end, or until ``line`` ends because the supervisor is gone."""
    uri = config["rpc"]["worker_bind"]
    doors = bind_manager_sockets(config, uri, boot.secret, socket_group(config))
    check_peer_credentials(ipc_path(uri))
    drop_privileges(config, known=boot.known)
    gc.set_threshold(20_000, 20, 50)  # a large request makes objects by the hundred thousand, and hardly one in a cycle
    Manager(uri, config, boot.id, SupervisorChannel(line), doors, state_opened=boot.known).start()


def run_worker(config: Config, boot: Boot, slot: int, line: socket.socket) -> None:
    """Run jobs in ``slot`` until told to end, or until ``line`` ends because the supervisor is gone."""
    Worker(config["rpc"]["worker_bind"], config, slot, SupervisorChannel(line), boot.secret).start()


class Roles(NamedTuple):
    """The two roles that the supervisor has children for."""

    manager: Callable[[Config, Boot, socket.socket], None] = run_manager
    worker: Callable[[Config, Boot, int, socket.socket], None] = run_worker
