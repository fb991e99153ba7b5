"""`Manager` before it starts; tests/integration/core has one serve."""

from pathlib import Path

import pytest
import zmq

from lmaps.config.load import load_config
from lmaps.core.manager import Manager
from lmaps.errors import ConfigError


def test_a_manager_takes_the_configuration_that_is_found(own_home: Path) -> None:
    (own_home / "lmaps.yaml").write_text("workers: 3\n")
    manager = Manager(f"ipc://{own_home}/w.sock")
    assert manager.worker_connection_uri == f"ipc://{own_home}/w.sock"
    assert manager.state.config.workers == 3
    assert not manager.running
    assert not list(own_home.glob("*.sock")), "nothing is bound before it starts"


def test_or_the_one_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "lmaps.yaml").write_text("workers: 5\n")
    assert Manager("ipc:///w.sock", load_config(str(tmp_path / "lmaps.yaml"))).state.config.workers == 5


def test_setup_args_refuses_an_endpoint_that_is_none() -> None:
    with pytest.raises(ConfigError):
        Manager("w.sock")


def test_its_sockets() -> None:
    assert Manager.socket_type == Manager.manager_socket_type == zmq.ROUTER
