import os
import socket
import stat
import time

import pytest
import zmq

from lmaps.core.messages import Ack, Hello
from lmaps.core.transport import ClientLink, Listener, Poller, WorkerLink, ipc_path, listening, make_context
from lmaps.errors import AnotherDaemon, ConfigError, MessageRefused
from tests.daemons import until


@pytest.fixture
def context():
    with make_context() as made:
        yield made


@pytest.fixture
def uri(short_path):
    return f"ipc://{short_path}/s.sock"


@pytest.fixture
def listener(context, uri):
    made = Listener(context, [uri])
    with listening(made):
        yield made


@pytest.fixture
def client(uri):
    link = ClientLink(uri)
    yield link
    link.close()


def soon():
    return time.monotonic() + 5


def test_a_message_and_its_answer_and_who_sent_it(listener, client):
    assert client.send(b"ask", soon())
    incoming = until(listener.receive)
    assert (incoming.body, incoming.peer.uid, incoming.peer.pid) == (b"ask", os.getuid(), os.getpid())
    listener.send(incoming.identity, b"answer")
    assert client.receive(soon()) == b"answer"
    assert client.receive(time.monotonic()) is None


def test_the_socket_is_private_and_gone_afterwards(context, uri):
    with listening(Listener(context, [uri])):
        assert stat.S_IMODE(ipc_path(uri).stat().st_mode) == 0o600
    assert not ipc_path(uri).exists()


def test_nobody_is_served_before_it_listens(context, uri, client):
    made = Listener(context, [uri])
    assert not client.send(b"early", time.monotonic() + 0.05)
    with listening(made):
        assert client.send(b"now", soon())


@pytest.mark.parametrize("frames", [[b"x"], [b"", b""], [b"", b"a", b"b"], [b"x", b"y"], [b""] * 5])
def test_messages_of_another_shape_are_dropped_and_counted(context, listener, uri, frames):
    with context.socket(zmq.DEALER) as rude:
        rude.linger = 0
        rude.connect(uri)
        rude.send_multipart(frames)
        rude.send_multipart([b"", b"good"])
        assert until(listener.receive).body == (b"good" if frames != [b"", b""] else b"")
        assert listener.dropped == (0 if frames == [b"", b""] else 1)


def test_an_answer_to_somebody_who_is_gone_is_counted(listener):
    listener.send(b"nobody", b"answer")
    assert listener.dropped == 1


def test_a_stale_socket_is_replaced(context, uri):
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(ipc_path(uri)))
    with listening(Listener(context, [uri])):
        pass


def test_a_socket_that_is_served_is_not_taken(context, listener, uri):
    with pytest.raises(AnotherDaemon):
        Listener(context, [uri])


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_anything_else_at_the_path_is_left_alone(context, uri, short_path, kind):
    path = ipc_path(uri)
    if kind == "file":
        path.write_text("mine")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(short_path / "target")
    with pytest.raises(ConfigError, match="it is no socket"):
        Listener(context, [uri])
    assert path.lstat()


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("tcp://127.0.0.1:1", "tcp needs keys"),
        ("inproc://x", "expected ipc://"),
        ("ipc://relative", "absolute path"),
        ("ipc:///" + "x" * 120, "107 is the most"),
        ("", "expected ipc://"),
    ],
)
def test_endpoints_that_cannot_be_used(uri, words):
    with pytest.raises(ConfigError, match=words):
        ipc_path(uri)


def test_a_lost_connection_is_told(context, uri, client):
    with listening(Listener(context, [uri])) as _:
        assert client.send(b"x", soon())
    with pytest.raises(ConnectionError):
        client.receive(soon())


def test_a_worker_is_connected_again_after_the_manager_came_back(context, uri):
    link = WorkerLink(uri)
    for _ in range(2):
        made = Listener(context, [uri])
        with listening(made):
            until(lambda: link.poll([], 0.05) is not None and link.connected())
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
    assert poller.wait(0) == set()
    os.write(writing, b"x")
    assert poller.wait(5) == {reading}
    client.send(b"x", soon())
    until(lambda: listener.socket in poller.wait(5))
    os.close(reading)
    os.close(writing)
