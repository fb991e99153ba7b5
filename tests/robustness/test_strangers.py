"""Who is not to get in, or not any more: strangers at tcp, and keys that were taken away."""

import contextlib
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from lmaps import Client
from lmaps.errors import NotAllowed
from tests.daemons import WEB, RunningDaemon
from tests.remote import Remote

Start = Callable[..., RunningDaemon]
Figure = Callable[[str, str], None]
Rounds = Callable[[int, int], int]

AT_ONCE = 50
"""Strangers that knock side by side."""
REQUEST = b'{"v":1,"verb":"units","args":{}}'


@pytest.fixture
def remote(short_path: Path) -> Remote:
    made = Remote(short_path)
    known = made.make_client("known")
    (short_path / "policy.yaml").write_text(f"- {{subjects: 'key:{known.fingerprint}', rights: all, units: '*'}}\n")
    return made


@pytest.fixture
def daemon(remote: Remote, start_daemon: Start) -> RunningDaemon:
    return start_daemon(WEB, rpc=remote.rpc, policy="../policy.yaml")


def raw(remote: Remote, text: bytes) -> Iterator[None]:
    """Speak ZMTP, or nothing known, over a plain connection."""
    host, _, port = remote.endpoint.removeprefix("tcp://").partition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 5) as connection:
        connection.settimeout(5)
        connection.sendall(text)
        yield
        connection.recv(64)
        connection.sendall(REQUEST)


def speaking(remote: Remote, context: "zmq.Context[zmq.Socket[bytes]]", how: str) -> Iterator[None]:
    """Speak as a client of ZMQ does that has no key, or one of its own."""
    with context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        if how == "plain":
            dealer.plain_username, dealer.plain_password = b"root", b"root"
        if how.startswith("curve"):
            dealer.curve_publickey, dealer.curve_secretkey = zmq.curve_keypair()
            dealer.curve_serverkey = zmq.curve_keypair()[0] if how == "curve elsewhere" else remote.server.public
        dealer.connect(remote.endpoint)
        with contextlib.suppress(zmq.Again):  # it may have been refused already
            dealer.send_multipart([b"", REQUEST], zmq.NOBLOCK)
        yield
        assert not dealer.poll(10), f"a stranger ({how}) got an answer"


def strangers(
    remote: Remote, context: "zmq.Context[zmq.Socket[bytes]]", dice: random.Random, count: int
) -> Iterator[Iterator[None]]:
    """``count`` who have no key that the daemon knows."""
    greeting = b"\xff\0\0\0\0\0\0\0\1\x7f\3\0" + b"%-20s" % b"NULL" + b"\0" * 32
    for _ in range(count):
        kind = dice.choice(["null", "plain", "curve", "curve elsewhere", "greeting", "noise", "nothing"])
        if kind in ("greeting", "noise", "nothing"):
            text = {"greeting": greeting, "noise": dice.randbytes(dice.randrange(1, 300)), "nothing": b""}[kind]
            yield raw(remote, text)
        else:
            yield speaking(remote, context, kind)


def test_nothing_that_a_stranger_sends_is_read(
    daemon: RunningDaemon, remote: Remote, rounds: Rounds, seed: int, figure: Figure
) -> None:
    count = rounds(200, 10_000)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    knocking = strangers(remote, context, random.Random(seed), count)
    slowest = 0.0
    with daemon.client() as near, remote.client("known") as far:
        before = counted(near)
        asked = 0
        while batch := [stranger for _, stranger in zip(range(AT_ONCE), knocking, strict=False)]:
            for stranger in batch:
                next(stranger, None)
            for client in (near, far):
                begin = time.monotonic()
                client.call("units")
                slowest = max(slowest, time.monotonic() - begin)
                asked += 1
            for stranger in batch:
                next(stranger, None)
        read = counted(near) - before - asked - 1
    context.destroy(0)
    assert read == 0
    assert "Traceback" not in daemon.output()
    figure("T3 strangers over tcp", f"{count:,} connections, 0 read; others answered within {slowest * 1000:.0f} ms")


def test_a_key_that_is_taken_away_is_refused_at_once(
    daemon: RunningDaemon, remote: Remote, rounds: Rounds, figure: Figure
) -> None:
    slowest = 0.0
    for number in range(rounds(5, 100)):
        name = f"k{number}"
        pair = remote.make_client(name)
        (remote.directory / "policy.yaml").write_text(
            f"- {{subjects: 'key:{pair.fingerprint}', rights: all, units: '*'}}\n"
        )
        with daemon.client() as near, remote.client(name) as far, remote.client(name) as idle:
            near.call("reload")
            for connection in (far, idle):
                connection.call("units")
            remote.revoke(name)
            begin = time.monotonic()
            near.call("reload")
            for connection in (far, idle):
                expect_refusal(connection, "is no longer authorized")
            slowest = max(slowest, time.monotonic() - begin)
        with remote.client(name) as anew:
            expect_refusal(anew, "does not let this key in")
    assert slowest < 1.0
    figure("T4 key revoked while connected", f"{number + 1} keys: refused within {slowest * 1000:.0f} ms")


def counted(client: Client) -> int:
    """Messages that came through, whatever their shape; the one that asks is not counted yet."""
    counters = client.call("status").extra["counters"]
    return int(counters.get("requests", 0)) + int(counters.get("dropped", 0))


def expect_refusal(client: Client, words: str) -> None:
    with pytest.raises(NotAllowed, match=words):
        client.call("create", unit="web", instances=[{"host": f"h{os.getpid()}"}])
