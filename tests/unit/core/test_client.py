from pathlib import Path

import pytest
import zmq

from lmaps import client
from lmaps.core.client import Client
from lmaps.errors import NotReached


def test_the_client_takes_the_configuration_that_is_found(own_home: Path) -> None:
    (own_home / "lmaps.yaml").write_text("rpc: {manager_bind: ipc://m.sock, timeout: 7s}\n")
    made = Client()
    assert (made.endpoint, made.timeout) == (f"ipc://{own_home}/m.sock", 7.0)


def test_without_a_configuration_it_takes_the_default_endpoint() -> None:
    assert Client().endpoint == client.Client().endpoint


def test_arguments_come_first(own_home: Path) -> None:
    (own_home / "lmaps.yaml").write_text("rpc: {manager_bind: ipc://m.sock}\n")
    made = Client("ipc:///x.sock", 5.0)
    assert (made.endpoint, made.timeout) == ("ipc:///x.sock", 5.0)


def test_a_request_to_nobody_is_answered_in_words(own_home: Path) -> None:
    with Client(f"ipc://{own_home}/m.sock", 0.1) as made, pytest.raises(NotReached, match="nothing was done"):
        made.request({"list_units": True})


def test_its_socket() -> None:
    assert Client.manager_socket_type == zmq.DEALER
