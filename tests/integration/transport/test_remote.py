"""A real daemon over tcp: keys are made, let in, told apart, and taken away."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lmaps.errors import NotAllowed, NotReached, ValidationFailed
from tests.daemons import BIN, WEB, RunningDaemon
from tests.remote import Remote

Start = Callable[..., RunningDaemon]


@pytest.fixture
def remote(short_path: Path) -> Remote:
    return Remote(short_path)


@pytest.fixture
def daemon(remote: Remote, start_daemon: Start, short_path: Path) -> RunningDaemon:
    """Serves alice, who may do all, and bob, who may look."""
    alice, bob = remote.make_client("alice"), remote.make_client("bob")
    (short_path / "policy.yaml").write_text(
        f"- {{subjects: 'key:{alice.fingerprint}', rights: all, units: '*'}}\n"
        f"- {{subjects: 'key:{bob.fingerprint}', rights: [list, show], units: '*'}}\n"
    )
    return start_daemon(WEB, rpc=remote.rpc, policy="../policy.yaml")


def lmaps(*args: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [BIN / "lmaps", *args],
        env=os.environ | environment,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_key_is_its_holder(daemon: RunningDaemon, remote: Remote) -> None:
    with remote.client("alice") as alice, remote.client("bob") as bob:
        assert alice.call("create", unit="web", instances=[{"host": "a"}]).revision == 1
        assert bob.call("show", unit="web").extra["state"]
        with pytest.raises(NotAllowed, match="has no right create on web"):
            bob.call("create", unit="web", instances=[{"host": "b"}])
        [change] = alice.call("history", unit="web").extra["changesets"]
        fingerprint = lmaps_fingerprint(remote, "alice")
        assert change["author"] == f"key:{fingerprint}"
        assert alice.call("may", who=f"key:{fingerprint}", do="apply", on="web").extra["allowed"]
    assert len(daemon.data("units")) == 1, "the unix socket goes on as before"


def lmaps_fingerprint(remote: Remote, name: str) -> str:
    from lmaps.transport.curve import read_key_pair

    return read_key_pair(str(remote.directory / f"{name}.key")).fingerprint


def test_the_command_line_over_tcp(daemon: RunningDaemon, remote: Remote, own_home: Path) -> None:
    keys = (
        "--client-key",
        f"{remote.directory}/alice.key",
        "--server-public-key",
        f"{remote.directory}/server.key.pub",
    )
    assert lmaps("--endpoint", remote.endpoint, "create", "web", "--set", "host=a", *keys).returncode == 0
    environment = {"LMAPS_ENDPOINT": remote.endpoint, "LMAPS_CLIENT_KEY": keys[1], "LMAPS_SERVER_PUBLIC_KEY": keys[3]}
    assert '"host": "a"' in lmaps("show", "web", "-o", "json", **environment).stdout
    own = own_home / ".config/lmaps"
    own.mkdir(parents=True)
    (own / "client.key").symlink_to(keys[1])
    (own / "server.pub").symlink_to(keys[3])
    assert '"host": "a"' in lmaps("show", "web", "-o", "json", LMAPS_ENDPOINT=remote.endpoint).stdout
    (own / "server.pub").unlink()
    told = lmaps("show", "web", LMAPS_ENDPOINT=remote.endpoint)
    assert told.returncode == 2
    assert f"cannot read the public key {own}/server.pub" in told.stderr


def test_strangers_and_false_servers(daemon: RunningDaemon, remote: Remote) -> None:
    remote.make_client("stranger", authorize=False)
    with remote.client("stranger") as stranger, pytest.raises(NotAllowed, match="does not let this key in"):
        stranger.call("units")
    false = str(remote.directory / "alice.key.pub")
    with remote.client("alice", 1.0, server_public_key=false) as alice, pytest.raises(NotReached) as unreached:
        alice.call("units")
    assert false in (unreached.value.hint or "")


def test_a_new_key_is_let_in_by_a_reload(daemon: RunningDaemon, remote: Remote) -> None:
    remote.make_client("carol")
    assert daemon.lmaps("reload").returncode == 0
    with remote.client("carol") as carol, pytest.raises(NotAllowed, match="has no right list"):
        carol.call("units")


def test_a_reload_with_a_broken_key_keeps_those_in_use(daemon: RunningDaemon, remote: Remote) -> None:
    (remote.authorized / "broken.pub").write_text("no key\n")
    remote.revoke("bob")
    with remote.client("alice") as alice:
        with pytest.raises(ValidationFailed, match="keys in use stay") as refused:
            alice.call("reload")
        assert [finding.place for finding in refused.value.errors] == [f"{remote.authorized}/broken.pub:1"]
        with remote.client("bob") as bob:
            bob.call("units")


@pytest.mark.parametrize("missing", ["server key", "clients' keys", "any client's key"])
def test_there_is_no_tcp_without_keys(remote: Remote, start_daemon: Start, missing: str) -> None:
    if missing == "server key":
        remote.make_client("alice")
        (remote.directory / "server.key").unlink()
        words = [f"cannot read the secret key {remote.directory}/server.key", "lmaps keygen --server"]
    elif missing == "clients' keys":
        remote.authorized.rmdir()
        words = [f"cannot read {remote.authorized}", "put a client's public key there"]
    else:
        words = [f"no client's key lies in {remote.authorized}", "lmaps keygen makes one"]
    daemon = start_daemon(WEB, wait=False, rpc=remote.rpc)
    assert daemon.process.wait(20) == 78
    assert all(each in daemon.output() for each in words), daemon.output()
    daemon.start("--check")
    assert daemon.process.wait(20) == 78
    assert all(each in daemon.output() for each in words), daemon.output()
    assert "Traceback" not in daemon.output()


def test_keygen(short_path: Path, own_home: Path) -> None:
    done = lmaps("keygen", f"{short_path}/ci.key", "--comment", "ci\nevil", "-o", "json")
    made = json.loads(done.stdout)
    assert Path(made["public_file"]).read_text() == f"{made['public_key']}\n"
    assert made["public_key"].endswith("= ci evil")
    assert "authorized_keys.d" in done.stderr
    again = lmaps("keygen", f"{short_path}/ci.key")
    assert (again.returncode, again.stdout) == (5, "")
    assert "exists and is not overwritten" in again.stderr
    mine = lmaps("keygen", "-o", "name")
    assert len(mine.stdout.strip()) == 32
    assert (own_home / ".config/lmaps/client.key").stat().st_mode & 0o777 == 0o600
    assert "as ~/.config/lmaps/server.pub" in lmaps("keygen", "--server", f"{short_path}/etc/server.key").stderr
    assert (short_path / "etc").stat().st_mode & 0o055 == 0o055, "root's manager is another user"
    assert (own_home / ".config/lmaps").stat().st_mode & 0o077 == 0
    assert lmaps("keygen", "/proc/none/x").returncode == 1
