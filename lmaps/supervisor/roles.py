"""The roles of the children: one entry function for each, called after the fork.

The modules of both are imported before the fork: a replacement starts within milliseconds, and runs the same code.
"""

import gc
import socket
from collections.abc import Callable
from typing import NamedTuple

from lmaps.config.settings import Config
from lmaps.manager import Manager, bind_manager_sockets
from lmaps.supervisor.privileges import drop_privileges, socket_group
from lmaps.transport.addresses import ipc_path
from lmaps.transport.selfcheck import check_peer_credentials
from lmaps.util.heartbeat import SupervisorChannel
from lmaps.worker.worker import Worker

GC_THRESHOLDS = (20_000, 20, 50)
"""Of the manager: a large request creates hundreds of thousands of objects, hardly any of them in a cycle."""


class Boot(NamedTuple):
    """One run of the daemon, as its children know it.

    ``secret`` proves a worker to the manager. ``state_opened`` is whether a manager of this run has opened the state.
    """

    id: str
    secret: str
    state_opened: bool = False


def run_manager(config: Config, boot: Boot, channel: socket.socket) -> None:
    """Serve clients and workers until stopped, or until ``channel`` ends because the supervisor is gone."""
    uri = config.rpc.worker_bind
    sockets = bind_manager_sockets(config, uri, boot.secret, socket_group(config))
    check_peer_credentials(ipc_path(uri))
    drop_privileges(config, state_opened=boot.state_opened)
    gc.set_threshold(*GC_THRESHOLDS)
    Manager(uri, config, boot.id, SupervisorChannel(channel), sockets, state_opened=boot.state_opened).start()


def run_worker(config: Config, boot: Boot, slot: int, channel: socket.socket) -> None:
    """Run jobs in ``slot`` until stopped, or until ``channel`` ends because the supervisor is gone."""
    Worker(config.rpc.worker_bind, config, slot, SupervisorChannel(channel), boot.secret).start()


class Roles(NamedTuple):
    """The entry functions of the two kinds of children."""

    manager: Callable[[Config, Boot, socket.socket], None] = run_manager
    worker: Callable[[Config, Boot, int, socket.socket], None] = run_worker
