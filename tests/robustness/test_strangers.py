"""Who is not to get in, or not any more: users of this host, strangers at tcp, and keys that were taken away."""

import contextlib
import functools
import json
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from lmaps import Client
from lmaps.errors import NotAllowed, NotReached
from tests.daemons import WEB, RunningDaemon
from tests.remote import Remote
from tests.robustness.conftest import cannot

Start = Callable[..., RunningDaemon]
Figure = Callable[[str, str], None]
Rounds = Callable[[int, int], int]

AT_ONCE = 50
"""Strangers that knock side by side."""
REQUEST = b'{"v":1,"verb":"units","args":{}}'


STRANGER = 65534


def actions(daemon: RunningDaemon, remote: Remote) -> dict[str, Callable[[], object]]:
    """What a user of the host tries who is nobody to lMaPS: 40 actions, each of which has to fail."""
    top, state, run = daemon.directory, daemon.directory / "state", daemon.directory / "run"
    supervisor, manager, worker = daemon.process.pid, daemon.pid_of("manager") or 0, daemon.pid_of("worker 1") or 0
    pids = {"supervisor": supervisor, "manager": manager, "worker": worker}
    tried: dict[str, Callable[[], object]] = {
        "connect to the clients' socket": lambda: connect(run / "m.sock"),
        "connect to the workers' socket": lambda: connect(run / "w.sock"),
        "ask as a client": lambda: Client(f"ipc://{run}/m.sock", 0.5).call("units"),
        "ask over tcp with a key of one's own": lambda: remote.client("stranger", 2.0).call("units"),
        "remove the clients' socket": (run / "m.sock").unlink,
        "move the clients' socket": lambda: (run / "m.sock").rename("/tmp/lmaps-moved.sock"),
        "open the clients' socket to all": lambda: (run / "m.sock").chmod(0o666),
        "bind another socket beside it": lambda: socket.socket(socket.AF_UNIX).bind(str(run / "x.sock")),
        "list the sockets": lambda: os.listdir(run),
        "take the lock of the socket": lambda: (run / "m.sock.lock").open("r+"),
        "remove the lock of the socket": (run / "m.sock.lock").unlink,
        "list the jobs": lambda: os.listdir(run / "jobs"),
        "make a job's folder": (run / "jobs" / "1" / "7").mkdir,
        "put a link into the jobs": lambda: (run / "jobs" / "x").symlink_to("/etc"),
        "list the state": lambda: os.listdir(state),
        "read the database": (state / "lmaps.db").read_bytes,
        "read its log": (state / "lmaps.db-wal").read_bytes,
        "write the database": lambda: (state / "lmaps.db").open("ab"),
        "remove the database": (state / "lmaps.db").unlink,
        "link the database": lambda: os.link(state / "lmaps.db", "/tmp/lmaps-linked.db"),
        "put a file into the state": (state / "lmaps.db.backup").touch,
        "take the lock of the state": lambda: (state / "lmaps.db.lock").open("r+"),
        "move the state away": lambda: state.rename(top / "away"),
        "write the configuration": lambda: daemon.config_file.open("a"),
        "put another configuration in its place": daemon.config_file.unlink,
        "write a unit file": lambda: (daemon.unit_dir / "unit0.yaml").open("a"),
        "add a unit file": (daemon.unit_dir / "mine.yaml").touch,
        "write the policy": lambda: (remote.directory / "policy.yaml").open("a"),
        "read the server's key": (remote.directory / "server.key").read_bytes,
        "let in a key of one's own": (remote.authorized / "mine.pub").touch,
        "trace the manager": functools.partial(Path(f"/proc/{manager}/mem").open, "rb"),
    }
    for name, pid in pids.items():
        tried[f"kill the {name}"] = functools.partial(os.kill, pid, signal.SIGTERM)
        tried[f"read the {name}'s environment"] = Path(f"/proc/{pid}/environ").read_bytes
        tried[f"list the {name}'s descriptors"] = functools.partial(os.listdir, f"/proc/{pid}/fd")
    return tried


def connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(str(path))


def succeed_as(uid: int, tried: dict[str, Callable[[], object]]) -> list[str]:
    """Which of the actions did not fail for ``uid``, who is in no group."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        with contextlib.suppress(BaseException):
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.write(writing, json.dumps([name for name, act in tried.items() if not fails(act)]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        answer = told.read()
    os.waitpid(pid, 0)
    succeeded: list[str] = json.loads(answer)
    return succeeded


def fails(act: Callable[[], object]) -> bool:
    try:
        act()
    except (PermissionError, NotAllowed, NotReached):
        return True
    return False


def test_a_user_of_the_host_who_is_no_member_gets_nowhere(
    remote: Remote, start_daemon: Start, short_path: Path, figure: Figure
) -> None:
    if os.getuid() != 0:
        cannot("only root can become another user")
    short_path.chmod(0o755)
    remote.make_client("stranger", authorize=False)
    os.chown(short_path / "stranger.key", STRANGER, -1)
    remote.rpc |= {"manager_bind": ["ipc://run/m.sock", remote.endpoint], "worker_bind": "ipc://run/w.sock"}
    account = {"user": "daemon", "group": "daemon"}
    daemon = start_daemon(WEB, rpc=remote.rpc, policy="../policy.yaml", db="state/lmaps.db", **account)
    tried = actions(daemon, remote)
    assert len(tried) == 40
    assert succeed_as(STRANGER, tried) == []
    with Client(f"ipc://{daemon.directory}/run/m.sock") as root:
        assert root.call("create", unit="web", instances=[{"host": "a"}]).revision == 1
    assert not any("lmaps" in line for line in abstract_sockets())
    figure("T1 stranger on the host", f"{len(tried)} actions as uid {STRANGER}: {len(tried)} refused")


def abstract_sockets() -> list[str]:
    """Sockets without a file, which no file's mode protects."""
    return [line for line in Path("/proc/net/unix").read_text(errors="replace").splitlines() if "@" in line]


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
