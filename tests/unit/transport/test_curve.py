import contextlib
import os
import resource
import stat
import time

import pytest
import zmq

from lmaps.errors import Busy, ConfigError, NotAllowed
from lmaps.transport.bind import bind_sockets
from lmaps.transport.curve import (
    ClientKeys,
    fingerprint,
    make_key_pair,
    public_line,
    read_authorized_keys,
    read_client_keys,
    read_key_pair,
    read_public_key,
    read_server_keys,
)
from lmaps.transport.server import ServerSocket, listening
from lmaps.transport.zap import CLIENT_DOMAIN, REMOTE_DOMAIN, Peer, ZapAuthenticator
from lmaps.transport.zmq_client import RemoteClientSocket
from lmaps.transport.zmtp import LocalClientSocket
from tests.daemons import until
from tests.remote import Remote


@pytest.fixture
def remote(tmp_path):
    return Remote(tmp_path)


def test_a_pair_is_made_once_and_read_back(tmp_path):
    file = tmp_path / "k"
    made = make_key_pair(file, "me@here")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "k.pub").stat().st_mode) == 0o644
    assert read_key_pair(str(file)) == made
    assert read_public_key(f"{file}.pub") == made.public
    assert made.fingerprint == fingerprint(made.public)
    assert len(made.fingerprint) == 32
    with pytest.raises(FileExistsError):
        make_key_pair(file, "again")
    assert read_key_pair(str(file)) == made


def test_a_public_half_that_is_there_is_kept_and_no_secret_is_left(tmp_path):
    (tmp_path / "k.pub").write_text("mine")
    with pytest.raises(FileExistsError):
        make_key_pair(tmp_path / "k", "me")
    assert [path.name for path in tmp_path.iterdir()] == ["k.pub"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_secret_key_that_others_can_read_is_refused(tmp_path, mode):
    make_key_pair(tmp_path / "k", "me")
    (tmp_path / "k").chmod(mode)
    with pytest.raises(ConfigError, match=f"others can read it .mode {mode:04o}.; chmod 600"):
        read_key_pair(str(tmp_path / "k"))


@pytest.mark.parametrize(
    "text", ["", "lmaps-secret-key", "lmaps-secret-key AAAA", "lmaps-secret-key é", "x " + "A" * 43 + "=", b"\xff\xfe"]
)
def test_what_is_no_secret_key_is_refused(tmp_path, text):
    (tmp_path / "k").write_bytes(text if isinstance(text, bytes) else text.encode())
    (tmp_path / "k").chmod(0o600)
    with pytest.raises(ConfigError, match=r"cannot (use|read) the secret key"):
        read_key_pair(str(tmp_path / "k"))


def test_a_secret_key_is_no_public_one(tmp_path):
    make_key_pair(tmp_path / "k", "me")
    with pytest.raises(ConfigError, match="expected a line with lmaps-public-key"):
        read_public_key(str(tmp_path / "k"))
    (tmp_path / "k.pub").chmod(0o600)
    with pytest.raises(ConfigError, match="expected a line with lmaps-secret-key"):
        read_key_pair(str(tmp_path / "k.pub"))


def test_the_authorized_are_all_lines_of_all_files_that_end_in_pub(remote):
    one, two = (remote.make_client(name) for name in ("one", "two"))
    third = remote.make_client("third", authorize=False)
    (remote.authorized / "more.pub").write_text(f"# a team\n\n{public_line(third.public, 'a b c')}\n")
    (remote.authorized / "off.pub.off").write_text("not looked at")
    expected = {pair.fingerprint for pair in (one, two, third)}
    assert read_authorized_keys(str(remote.authorized)) == expected
    assert tuple(read_server_keys(str(remote.rpc["server_key"]), str(remote.authorized))) == (remote.server, expected)


def test_every_line_that_is_no_key_is_told(remote):
    remote.make_client("one")
    (remote.authorized / "bad.pub").write_text("# x\nssh-ed25519 AAAA me\nlmaps-public-key short\n")
    with pytest.raises(ConfigError) as refused:
        read_authorized_keys(str(remote.authorized))
    assert [finding.place for finding in refused.value.errors] == [
        f"{remote.authorized}/bad.pub:2",
        f"{remote.authorized}/bad.pub:3",
    ]


def test_what_is_missing_is_named_with_its_cure(remote):
    server, clients = remote.rpc["server_key"], str(remote.authorized)
    with pytest.raises(ConfigError, match="no client's key lies in") as refused:
        read_server_keys(server, clients)
    assert "lmaps keygen" in (refused.value.hint or "")
    with pytest.raises(ConfigError, match=f"cannot read {clients}x: No such"):
        read_server_keys(server, f"{clients}x")
    with pytest.raises(ConfigError, match=f"cannot serve at tcp: cannot read the secret key {server}x") as refused:
        read_server_keys(f"{server}x", clients)
    assert refused.value.hint == f"make it: lmaps keygen --server {server}x"
    with pytest.raises(ConfigError, match="cannot read the public key"):
        read_client_keys(server, f"{server}.nothing")


@pytest.fixture
def listener(remote):
    remote.make_client("known")
    gate = ZapAuthenticator(keys=read_server_keys(str(remote.rpc["server_key"]), str(remote.authorized)))
    made = ServerSocket(gate, CLIENT_DOMAIN, bind_sockets([remote.endpoint]))
    with listening(made):
        yield made
    gate.close()


def send(listener, link, body):
    until(lambda: listener.authenticator.answer() or link.send(body, time.monotonic()))


def test_a_key_is_told_with_each_message_and_unix_sockets_go_on(short_path):
    remote = Remote(short_path)
    pair = remote.make_client("known")
    gate = ZapAuthenticator(keys=read_server_keys(str(remote.rpc["server_key"]), str(remote.authorized)))
    local = f"ipc://{remote.directory}/m.sock"
    made = ServerSocket(gate, CLIENT_DOMAIN, bind_sockets([local, remote.endpoint]))
    far = RemoteClientSocket(remote.endpoint, ClientKeys(pair, remote.server.public))
    with listening(made), contextlib.closing(far), contextlib.closing(LocalClientSocket(local)) as near:
        send(made, far, b"far")
        incoming = until(made.receive)
        assert (incoming.body, incoming.peer) == (b"far", Peer(key=pair.fingerprint))
        made.send(incoming.identity, b"answer")
        assert far.receive(time.monotonic() + 5) == b"answer"
        send(made, near, b"near")
        assert until(made.receive).peer == Peer(os.getuid(), os.getgid(), os.getpid())
        assert gate.is_authorized(incoming.peer)
        gate.authorized = frozenset()
        assert not gate.is_authorized(incoming.peer)
        assert gate.is_authorized(Peer(0, 0, 1))
    gate.close()


def test_a_key_that_is_not_authorized_stays_out_and_is_told_so(remote, listener, caplog):
    stranger = remote.make_client("stranger", authorize=False)
    link = RemoteClientSocket(remote.endpoint, ClientKeys(stranger, remote.server.public))
    with contextlib.closing(link), pytest.raises(NotAllowed, match="does not let this key in"):
        send(listener, link, b"x")
    assert f"its key {stranger.fingerprint} is not authorized" in caplog.text
    assert listener.receive() is None


def test_over_tcp_half_of_the_descriptors_can_be_taken(remote, listener, monkeypatch):
    keys = ClientKeys(read_key_pair(str(remote.directory / "known.key")), remote.server.public)
    used = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2 * used, 2 * used))
    link = RemoteClientSocket(remote.endpoint, keys)
    with (
        contextlib.closing(link),
        pytest.raises(Busy, match="the daemon has as many connections over tcp as it may have"),
    ):
        send(listener, link, b"x")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (4 * used, 4 * used))
    with contextlib.closing(RemoteClientSocket(remote.endpoint, keys)) as link:
        send(listener, link, b"x")


def test_a_client_speaks_to_the_server_with_the_expected_key_alone(remote, listener):
    known = read_key_pair(str(remote.directory / "known.key"))
    with contextlib.closing(RemoteClientSocket(remote.endpoint, ClientKeys(known, known.public))) as link:
        assert not link.send(b"x", time.monotonic() + 0.3)
    assert listener.receive() is None


@pytest.mark.parametrize("mechanism", ["null", "plain"])
def test_who_has_no_key_stays_out(remote, listener, mechanism):
    with listener.authenticator.context.socket(zmq.DEALER) as rude:
        rude.linger = 0
        if mechanism == "plain":
            rude.plain_username = rude.plain_password = b"x"
        rude.connect(remote.endpoint)
        rude.send_multipart([b"", b"x"])
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            assert listener.receive() is None


def test_nothing_listens_at_tcp_without_a_key(remote):
    gate = ZapAuthenticator()
    made = ServerSocket(gate, CLIENT_DOMAIN, bind_sockets([remote.endpoint]))
    with pytest.raises(ConfigError, match="there is no server key"), listening(made):
        pass
    gate.close()
    assert REMOTE_DOMAIN != CLIENT_DOMAIN
