"""`Daemon`: with children that do nothing. How it runs real ones is tested with the supervisor."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from lmaps.config.load import load_config
from lmaps.core.daemon import Daemon

SCRIPT = """
import sys
from lmaps.config.load import load_config
from lmaps.core.daemon import Daemon
from lmaps.supervisor.roles import Roles


class Watched(Daemon):
    def start_workers(self):
        before = len(self.threads)
        super().start_workers()
        print("started", len(self.threads) - before, flush=True)

    def manage_workers(self):
        print(len(self.workers), len(self.threads), Daemon.threads, flush=True)
        super().manage_workers()


def leave(*_):
    sys.stdin.read()


daemon = Watched(load_config(sys.argv[1]), 1.0, Roles(leave, leave))
daemon.make_workers(2)
sys.exit(daemon.run())
"""


def test_workers_are_wanted_before_they_run(own_home: Path) -> None:
    daemon = Daemon(load_config())
    assert (daemon.threads, daemon.workers) == ([], [])
    daemon.make_workers()
    daemon.make_workers(count=2)
    assert [slot.number for slot in daemon.workers] == [1, 2, 3]
    assert daemon.config["workers"]
    assert daemon.threads == []
    assert Daemon.workers == []


def test_it_runs_a_manager_and_the_workers_until_it_is_told_to_end(short_path: Path) -> None:
    (short_path / "lmaps.yaml").write_text(
        "rpc: {manager_bind: ipc://m.sock, worker_bind: ipc://w.sock}\ndb: lmaps.db\nuser: root\n"
    )
    argv = [sys.executable, "-c", SCRIPT, str(short_path / "lmaps.yaml")]
    read, write = os.pipe()
    daemon = subprocess.Popen(argv, stdin=read, stdout=subprocess.PIPE, text=True)
    os.close(read)
    assert daemon.stdout is not None
    assert daemon.stdout.readline() == "started 3\n", "two workers and the manager"
    assert daemon.stdout.readline() == "2 3 []\n"
    daemon.send_signal(signal.SIGINT)
    assert daemon.wait(30) == 0
    os.close(write)
    daemon.stdout.close()
