"""A client's end of a unix socket, against bytes that a test says; against the real library it is tested elsewhere."""

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import zmq

from lmaps import Client
from lmaps.errors import Busy, NotAllowed, OutcomeUnknown
from lmaps.transport.bind import bind_sockets
from lmaps.transport.server import ServerSocket, listening
from lmaps.transport.zap import CLIENT_DOMAIN, Refused, ZapAuthenticator
from lmaps.transport.zmtp import COMMAND, GREETING, MORE, LocalClientSocket
from tests.daemons import until

READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER"
LARGE = 5 * 1024 * 1024


def frame(body, flags=0):
    if len(body) > 255:
        return bytes([flags | 2]) + len(body).to_bytes(8, "big") + body
    return bytes([flags, len(body)]) + body


WELCOME = GREETING + frame(READY, COMMAND)


@pytest.fixture
def manager(short_path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"{short_path}/s.sock")
        made.listen()
        yield made


@pytest.fixture
def link(short_path):
    with contextlib.closing(LocalClientSocket(f"ipc://{short_path}/s.sock")) as made:
        yield made


def now():
    return time.monotonic()


def connect(manager, link):
    """The manager's end of a connection that nothing was said on yet."""
    assert not link.send(b"early", now())
    return manager.accept()[0]


def let_in(manager, link):
    """The same, with the first message sent."""
    theirs = connect(manager, link)
    theirs.sendall(WELCOME)
    assert link.send(b"ask", now() + 5)
    return theirs


def is_let_in_at_last(manager, link):
    """Whether the client comes again until it is welcome."""
    manager.setblocking(False)
    with contextlib.ExitStack() as made:

        def welcome():
            with contextlib.suppress(BlockingIOError):
                made.enter_context(manager.accept()[0]).sendall(WELCOME)

        return until(lambda: link.send(b"again", now()) or welcome())


def test_a_client_says_what_a_dealer_says(manager, link):
    with connect(manager, link) as theirs:
        theirs.sendall(WELCOME)
        assert link.send(b"ask", now() + 5)
        ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
        assert theirs.recv(1000) == GREETING + frame(ready, COMMAND) + frame(b"", MORE) + frame(b"ask")


def test_bytes_may_come_one_by_one(manager, link):
    with connect(manager, link) as theirs:
        for byte in WELCOME[:-1]:
            theirs.send(bytes([byte]))
            assert not link.send(b"ask", now())
        theirs.send(WELCOME[-1:])
        assert link.send(b"ask", now() + 5)
        answer = frame(b"", MORE) + frame(b"answer")
        for byte in answer[:-1]:
            theirs.send(bytes([byte]))
            assert link.receive(now()) is None
        theirs.send(answer[-1:])
        assert link.receive(now() + 5) == b"answer"


def test_several_answers_may_come_at_once(manager, link):
    with let_in(manager, link) as theirs:
        theirs.sendall((frame(b"", MORE) + frame(b"one")) + (frame(b"", MORE) + frame(b"two")))
        assert [link.receive(now() + 5) for _ in range(2)] == [b"one", b"two"]


@pytest.mark.parametrize(
    "dropped",
    [frame(b"x"), frame(b"x", MORE) + frame(b"y"), frame(b"", MORE) * 2 + frame(b"y"), frame(b"\x04PING\0\0", COMMAND)],
)
def test_what_is_no_message_of_ours_is_passed_over(manager, link, dropped):
    with let_in(manager, link) as theirs:
        theirs.sendall(dropped + frame(b"", MORE) + frame(b"answer"))
        assert link.receive(now() + 5) == b"answer"


@pytest.mark.parametrize(
    "greeting",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".ljust(64),
        GREETING.replace(b"\x7f\x03", b"\x7f\x02"),
        GREETING.replace(b"NULL", b"PLAI"),
        GREETING + frame(READY),
        GREETING + frame(b"\x05HELLO", COMMAND),
        GREETING + frame(b"\x05ERROR\x02no", COMMAND),
    ],
)
def test_who_is_no_manager_is_nobody(manager, link, greeting):
    with connect(manager, link) as theirs:
        theirs.sendall(greeting)
        assert not link.send(b"ask", now() + 0.02)
    assert is_let_in_at_last(manager, link)


def test_what_is_large_goes_out_as_the_manager_reads_it(manager, link):
    with let_in(manager, link) as theirs:
        assert link.send(bytes(LARGE), now())
        read = 0
        theirs.setblocking(False)
        while read < LARGE:
            with contextlib.suppress(BlockingIOError):
                read += len(theirs.recv(LARGE))
            assert link.receive(now()) is None


def test_an_answer_that_is_there_is_read_before_the_loss_is_told(manager, link):
    with let_in(manager, link) as theirs:
        theirs.sendall(frame(b"", MORE) + frame(b"answer") + frame(b"", MORE))
    assert link.receive(now() + 5) == b"answer"
    for _ in range(2):
        with pytest.raises(ConnectionError):
            link.receive(now() + 5)


def test_a_lost_connection_is_made_anew(manager, link):
    let_in(manager, link).close()
    assert is_let_in_at_last(manager, link)


def test_who_is_refused_the_second_time_knows_that_the_first_was_sent(manager, short_path):
    with Client(f"ipc://{short_path}/s.sock", timeout=5) as client, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(client.call, "create", unit="web", instances=[{}])
        first = manager.accept()[0]
        first.sendall(WELCOME)
        until(lambda: b'"create"' in first.recv(LARGE))
        first.close()
        second = manager.accept()[0]
        second.sendall(GREETING + frame(b"\x05ERROR\x03500", COMMAND))
        with pytest.raises(OutcomeUnknown) as unknown:
            asked.result(5)
        assert unknown.value.extra["key"]
        second.close()


def test_a_large_answer_of_the_library(short_path):
    uri = f"ipc://{short_path}/s.sock"
    gate = ZapAuthenticator()
    made = ServerSocket(gate, CLIENT_DOMAIN, bind_sockets([uri]))
    with listening(made), contextlib.closing(LocalClientSocket(uri)) as link:
        until(lambda: gate.answer() or link.send(bytes(LARGE), now()))
        until(lambda: link.receive(now()) is None and made.socket.poll(10))
        incoming = until(made.receive)
        assert incoming.body == bytes(LARGE)
        made.send(incoming.identity, b"x" * LARGE)
        assert link.receive(now() + 5) == b"x" * LARGE
    gate.close()


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (b"400", NotAllowed, "does not let this user in"),
        (b"500", Busy, "this user has as many connections as limits.connections allows"),
    ],
)
def test_who_is_refused_by_the_library_is_told_why(short_path, monkeypatch, status, error, words):
    uri = f"ipc://{short_path}/s.sock"
    gate = ZapAuthenticator()

    def refuse(_):
        raise Refused(status, "no")

    monkeypatch.setattr(gate, "_check_process", refuse)
    made = ServerSocket(gate, CLIENT_DOMAIN, bind_sockets([uri]))
    with listening(made), contextlib.closing(LocalClientSocket(uri)) as link, pytest.raises(error, match=words):
        until(lambda: gate.answer() or link.send(b"x", now()))
    gate.close()


def test_the_library_takes_it_for_one_of_its_own(short_path):
    """A plain ROUTER, without a gate."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.bind(f"ipc://{short_path}/s.sock")
        with contextlib.closing(LocalClientSocket(f"ipc://{short_path}/s.sock")) as link:
            assert link.send(b"ask", now() + 5)
            identity, *frames = router.recv_multipart()
            assert frames == [b"", b"ask"]
            router.send_multipart([identity, b"", b"answer"])
            assert link.receive(now() + 5) == b"answer"
