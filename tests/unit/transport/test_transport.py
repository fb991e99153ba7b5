import contextlib
import logging
import os
import re
import socket
import stat
import time
from pathlib import Path

import pytest
import zmq

import lmaps
from lmaps.errors import AnotherDaemon, ConfigError, MessageRefused
from lmaps.protocol.work import Ack, Hello
from lmaps.transport.addresses import ipc_path, is_tcp, tcp_address
from lmaps.transport.bind import bind_sockets, remove_stale
from lmaps.transport.selfcheck import check_peer_credentials
from lmaps.transport.server import Poller, ServerSocket, listening
from lmaps.transport.zap import CLIENT_DOMAIN, WORKER_DOMAIN, Peer, ZapAuthenticator
from lmaps.transport.zmq_client import WorkerSocket
from lmaps.transport.zmtp import LocalClientSocket
from tests.daemons import until


@pytest.fixture
def gate():
    made = ZapAuthenticator(secret="ours")
    yield made
    made.close()


@pytest.fixture
def uri(short_path):
    return f"ipc://{short_path}/s.sock"


@pytest.fixture
def listener(gate, uri):
    made = ServerSocket(gate, CLIENT_DOMAIN, bind_sockets([uri]))
    with listening(made):
        yield made


@pytest.fixture
def client(uri):
    link = LocalClientSocket(uri)
    yield link
    link.close()


def soon():
    return time.monotonic() + 5


def send(listener, client, body):
    """As soon as the handshake is done, which the listener's end has to turn for."""
    until(lambda: listener.authenticator.answer() or client.send(body, time.monotonic()))


def test_a_message_and_its_answer_and_who_sent_it(listener, client):
    send(listener, client, b"ask")
    incoming = until(listener.receive)
    assert (incoming.body, incoming.peer) == (b"ask", Peer(os.getuid(), os.getgid(), os.getpid()))
    listener.send(incoming.identity, b"answer")
    assert client.receive(soon()) == b"answer"
    assert client.receive(time.monotonic()) is None


def test_nobody_gets_in_while_the_gate_does_not_answer(listener, client):
    assert not client.send(b"early", time.monotonic() + 0.2)
    send(listener, client, b"now")
    assert until(listener.receive).body == b"now"


@pytest.mark.parametrize(
    "address",
    ["", "localhost", "localhost:1:2", "localhost:1:2:3:4", "localhost:a:2:3", "localhost:1:2:-3", "127.0.0.1",
     "localhost:1:2:3\n", "x:localhost:1:2:3", "localhost:\u0661:2:3", "localhost:99999999999:2:3"],
)  # fmt: skip
def test_a_peer_that_is_told_in_other_words_is_not_known(address):
    assert not Peer.from_address(address).is_known


def test_the_library_tells_who_we_are(short_path, monkeypatch):
    check_peer_credentials(short_path / "x.sock")
    assert not list(short_path.iterdir())
    monkeypatch.setattr(Peer, "from_address", classmethod(lambda cls, _: cls(os.getuid(), os.getgid(), 1)))
    with pytest.raises(ConfigError, match="it does not report who connects"):
        check_peer_credentials(short_path / "x.sock")
    monkeypatch.setattr(zmq, "zmq_version_info", lambda: (4, 3, 3))
    with pytest.raises(ConfigError, match="expected 4.3.4 or newer"):
        check_peer_credentials(short_path / "x.sock")


@pytest.mark.parametrize("secret", ["none", "theirs", "our", "oursx"])
def test_a_worker_that_does_not_know_the_secret_stays_out(gate, uri, secret, caplog):
    made = ServerSocket(gate, WORKER_DOMAIN, bind_sockets([uri]))
    with listening(made), contextlib.closing(WorkerSocket(uri, secret)) as link, caplog.at_level(logging.WARNING):
        until(lambda: gate.answer() or gate.refused)
        assert not link.send(Hello(1, 2, {}))
        assert made.receive() is None
    assert "it is no worker of this daemon" in caplog.text


def test_who_has_no_secret_to_tell_is_no_worker(gate, uri, client):
    with listening(ServerSocket(gate, WORKER_DOMAIN, bind_sockets([uri]))):
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            gate.answer()
            assert not client.send(b"x", time.monotonic())


def test_a_worker_of_another_user_stays_out(uri, caplog):
    gate = ZapAuthenticator(owner=os.getuid() + 1, secret="ours")
    link = WorkerSocket(uri, "ours")
    with listening(ServerSocket(gate, WORKER_DOMAIN, bind_sockets([uri]))):
        until(lambda: gate.answer() or gate.refused)
    assert "it does not belong to the daemon's user" in caplog.text
    link.close()
    gate.close()


def test_the_socket_is_private_and_gone_afterwards(gate, uri):
    with listening(ServerSocket(gate, CLIENT_DOMAIN, bind_sockets([uri]))):
        assert stat.S_IMODE(ipc_path(uri).stat().st_mode) == 0o600
    assert not ipc_path(uri).exists()


def test_a_socket_for_a_group(uri):
    bound = bind_sockets([uri], os.getgid())
    assert stat.S_IMODE(ipc_path(uri).stat().st_mode) == 0o660
    bound[0].socket.close()


def test_nobody_is_served_before_it_listens(gate, uri, client):
    made = ServerSocket(gate, CLIENT_DOMAIN, bind_sockets([uri]))
    assert not client.send(b"early", time.monotonic() + 0.05)
    with listening(made):
        send(made, client, b"now")


@pytest.mark.parametrize("frames", [[b"x"], [b"", b""], [b"", b"a", b"b"], [b"x", b"y"], [b""] * 5])
def test_messages_of_another_shape_are_dropped_and_counted(gate, listener, uri, frames):
    with gate.context.socket(zmq.DEALER) as rude:
        rude.linger = 0
        rude.connect(uri)
        rude.send_multipart(frames)
        rude.send_multipart([b"", b"good"])
        until(lambda: gate.answer() or listener.socket.poll(10))
        assert until(listener.receive).body == (b"good" if frames != [b"", b""] else b"")
        assert listener.dropped == (0 if frames == [b"", b""] else 1)


def test_an_answer_to_somebody_who_is_gone_is_counted(listener):
    listener.send(b"nobody", b"answer")
    assert listener.dropped == 1


def test_a_stale_socket_is_replaced(gate, uri):
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(ipc_path(uri)))
    with listening(ServerSocket(gate, CLIENT_DOMAIN, bind_sockets([uri]))):
        remove_stale([uri])
        assert ipc_path(uri).exists()


def test_only_a_stale_socket_is_removed_at_the_end(uri, short_path):
    other = f"ipc://{short_path}/file"
    ipc_path(other).write_text("mine")
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(ipc_path(uri)))
    remove_stale([uri, other, f"ipc://{short_path}/nothing"])
    assert [path.name for path in short_path.iterdir()] == ["file"]


def test_a_socket_that_is_served_is_not_taken(listener, uri):
    with pytest.raises(AnotherDaemon):
        bind_sockets([uri])


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_anything_else_at_the_path_is_left_alone(uri, short_path, kind):
    path = ipc_path(uri)
    if kind == "file":
        path.write_text("mine")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(short_path / "target")
    with pytest.raises(ConfigError, match="the file is no socket"):
        bind_sockets([f"ipc://{short_path}/other.sock", uri])
    assert path.lstat()


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("inproc://x", "expected ipc://"),
        ("ipc://relative", "absolute path"),
        ("ipc:///" + "x" * 120, "107 is the most"),
        ("", "expected ipc://"),
        ("tcp://*:7733", "expected tcp://HOST:PORT"),
        ("tcp://127.0.0.1", "expected tcp://HOST:PORT"),
        ("tcp://:7733", "expected tcp://HOST:PORT"),
        ("tcp://127.0.0.1:0", "expected tcp://HOST:PORT"),
        ("tcp://127.0.0.1:70000", "expected tcp://HOST:PORT"),
    ],
)
def test_endpoints_that_cannot_be_used(uri, words):
    with pytest.raises(ConfigError, match=words):
        (tcp_address if is_tcp(uri) else ipc_path)(uri)


def test_a_lost_connection_is_told(gate, uri, client):
    with listening(made := ServerSocket(gate, CLIENT_DOMAIN, bind_sockets([uri]))):
        send(made, client, b"x")

    def wait():
        gate.answer()  # a connection ends when the gate has heard of it, too
        client.receive(time.monotonic())

    with pytest.raises(ConnectionError):
        until(wait)


def test_a_worker_is_connected_again_after_the_manager_came_back(gate, uri):
    link = WorkerSocket(uri, "ours")
    for _ in range(2):
        made = ServerSocket(gate, WORKER_DOMAIN, bind_sockets([uri]))
        with listening(made):
            until(lambda: gate.answer() or (link.poll([], 0.01) is not None and link.connected()))
            assert not link.connected()
            assert link.send(Hello(1, 2, {}))
            incoming = until(made.receive)
            made.send(incoming.identity, b'{"kind":"ack","token":"t","upto":1}')
            assert until(link.receive) == Ack("t", 1)
            made.send(incoming.identity, b'{"kind":"hello","slot":1,"pid":1,"handlers":{}}')
            with pytest.raises(MessageRefused):
                until(link.receive)
    link.close()


def test_a_poller_waits_for_sockets_and_descriptors(listener, client):
    reading, writing = os.pipe()
    poller = Poller()
    poller.watch(listener)
    poller.watch(reading)
    until(lambda: listener.authenticator.answer() or client.send(b"x", time.monotonic()))
    until(lambda: listener in poller.wait(5))
    assert until(listener.receive).body == b"x"
    assert poller.wait(0) == set()
    os.write(writing, b"x")
    assert poller.wait(5) == {reading}
    os.close(reading)
    os.close(writing)


def test_the_room_is_all_that_speaks_zmq():
    package = Path(lmaps.__file__).parent
    files = [
        path.relative_to(package)
        for path in package.rglob("*.py")
        if re.search(r"\bimport zmq|from zmq", path.read_text())
    ]
    assert {file.parts[0] for file in files} == {"transport"}
