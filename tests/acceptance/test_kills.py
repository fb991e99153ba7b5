"""What was acknowledged is there, once, whoever is killed meanwhile."""

import os
import signal
import threading
from collections.abc import Callable

from lmaps import Client
from tests.daemons import WEB, RunningDaemon, until


def test_acknowledged_creates_survive_kills_of_the_manager(start_daemon: Callable[..., RunningDaemon]) -> None:
    daemon = start_daemon(WEB)
    acknowledged: dict[str, int | None] = {}
    enough = threading.Event()

    def create(name: str) -> None:
        with Client(daemon.endpoint) as client:
            for number in range(100_000):
                if enough.is_set():
                    return
                host = f"{name}{number}"
                acknowledged[host] = client.call("create", unit="web", instances=[{"host": host}]).revision

    clients = [threading.Thread(target=create, args=(name,)) for name in "abcd"]
    for client in clients:
        client.start()
    for _ in range(3):
        before = len(acknowledged)
        until(lambda before=before: len(acknowledged) > before + 50)
        manager = until(lambda: daemon.pid_of("manager"))
        os.kill(manager, signal.SIGKILL)
        until(lambda manager=manager: daemon.pid_of("manager") not in (None, manager))
    enough.set()
    for client in clients:
        client.join(60)
    stored = {row["id"]: row["revision"] for row in daemon.data("show", "web", "--instances")}
    assert stored == acknowledged
    assert sorted(stored.values()) == list(range(1, len(stored) + 1)), "each happened once, and no number is missing"
