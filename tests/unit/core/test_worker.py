"""`Worker` before it starts; tests/integration/core has one work."""

from pathlib import Path
from typing import Any

import zmq

from lmaps.config.load import load_config
from lmaps.core.worker import Worker


def test_a_worker_takes_the_configuration_that_is_found(own_home: Path) -> None:
    (own_home / "lmaps.yaml").write_text("workers: 3\n")
    uri = f"ipc://{own_home}/w.sock"
    worker = Worker(uri)
    assert (worker.worker_connection_uri, worker.config.workers, worker.slot) == (uri, 3, 1)
    before = worker.running
    worker.stop()
    assert (before, worker.running) == (True, False)
    worker.start()
    assert Worker.running is True


def test_a_more_verbose_worker_takes_further_arguments(own_home: Path) -> None:
    class Verbose(Worker):
        def setup_args(self, args: tuple[Any, ...]) -> None:
            super().setup_args(args)
            self.name = args[2]

    worker = Verbose(f"ipc://{own_home}/w.sock", load_config(), 7, "seven")
    assert (worker.name, worker.slot) == ("seven", 7)


def test_its_socket() -> None:
    assert Worker.socket_type == zmq.DEALER
