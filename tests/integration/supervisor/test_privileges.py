"""Root's daemon gives its manager another user: what that one is, what it owns, and that all goes on as before."""

import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmaps import Client
from tests.daemons import WEB, RunningDaemon, is_alive, until
from tests.robustness.conftest import cannot

Start = Callable[..., RunningDaemon]
NOBODY = 65534
WHOAMI = """\
meta: {name: who}
handler: {type: command, args: {argv: [sh, -c, id -u]}}
"""


def settings(**more: Any) -> dict[str, Any]:
    rpc = {"manager_bind": "ipc://run/m.sock", "worker_bind": "ipc://run/w.sock"}
    return {"rpc": rpc, "db": "state/lmaps.db", "user": "nobody", "group": "nogroup"} | more


@pytest.fixture
def open_path(short_path: Path) -> Path:
    """Where other users get to."""
    if os.getuid() != 0:
        cannot("only root can give up rights")
    short_path.chmod(0o755)
    return short_path


@pytest.fixture
def daemon(open_path: Path, start_daemon: Start) -> RunningDaemon:
    return start_daemon(f"{WEB}---\n{WHOAMI}", **settings())


def status_of(pid: int | None) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def owner(path: Path) -> tuple[int, int, int]:
    told = path.lstat()
    return told.st_uid, told.st_gid, stat.S_IMODE(told.st_mode)


def client(daemon: RunningDaemon) -> Client:
    return Client(f"ipc://{daemon.directory}/run/m.sock")


def test_the_manager_is_nobody_for_good(daemon: RunningDaemon) -> None:
    told = status_of(daemon.pid_of("manager"))
    assert told["Uid"] == told["Gid"] == [str(NOBODY)] * 4
    assert told["Groups"] == []
    assert told["NoNewPrivs"] == ["1"]
    assert {told[name][0].strip("0") for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {""}
    assert status_of(daemon.pid_of("worker 1"))["Uid"] == ["0"] * 4


def test_what_it_owns_and_what_it_does_not(daemon: RunningDaemon) -> None:
    state, run = daemon.directory / "state", daemon.directory / "run"
    assert owner(state) == (NOBODY, NOBODY, 0o700)
    for name in ("lmaps.db", "lmaps.db-wal", "lmaps.db.lineage"):
        assert owner(state / name) == (NOBODY, NOBODY, 0o600)
    assert owner(state / "lmaps.db.lock") == (0, 0, 0o600)
    assert owner(run) == (0, NOBODY, 0o750)
    assert owner(run / "m.sock") == (0, NOBODY, 0o660)
    assert owner(run / "w.sock") == (0, 0, 0o600)
    assert owner(run / "jobs") == (0, 0, 0o700)


def test_all_goes_on_as_before(daemon: RunningDaemon) -> None:
    with client(daemon) as lmaps:
        assert lmaps.call("create", unit="web", instances=[{"host": "a"}]).revision == 1
        assert lmaps.call("rollback", unit="web").revision == 2
    assert daemon.lmaps("apply", "who").returncode == 0
    assert daemon.data("logs", "1")["text"] == "0", "tools run as root"
    assert daemon.lmaps("backup", f"{daemon.directory}/copy.db").returncode == 0
    assert daemon.lmaps("reload").returncode == 0
    found = {row["check"]: row for row in daemon.data("doctor")["checks"]}
    assert {name: row for name, row in found.items() if row["verdict"] != "ok"} == {}
    assert found["daemon"]["words"].endswith(", as nobody")
    assert daemon.end(signal.SIGTERM) == 0
    assert not (daemon.directory / "run/m.sock").exists()
    assert "others can use" not in daemon.lmaps("doctor", "-o", "json").stdout
    assert daemon.lmaps("restore", f"{daemon.directory}/copy.db").returncode == 0
    daemon.start()
    daemon.wait_ready()
    with client(daemon) as lmaps:
        assert lmaps.call("create", unit="web", instances=[{"host": "b"}]).revision or 0 > 2
    assert "Traceback" not in daemon.output()


def test_the_next_manager_is_nobody_too_and_none_outlives_its_supervisor(daemon: RunningDaemon) -> None:
    first = daemon.pid_of("manager")
    os.kill(first or 0, signal.SIGKILL)
    with client(daemon) as lmaps:
        lmaps.call("create", unit="web", instances=[{"host": "a"}])
    second = daemon.pid_of("manager")
    assert second != first
    assert status_of(second)["Uid"] == [str(NOBODY)] * 4
    daemon.process.kill()
    until(lambda: not is_alive(second or 0))


def test_a_state_that_was_roots_is_handed_over(open_path: Path, start_daemon: Start) -> None:
    daemon = start_daemon(WEB, **settings(user="root", group="root"))
    assert owner(daemon.directory / "state/lmaps.db") == (0, 0, 0o600)
    with client(daemon) as lmaps:
        lmaps.call("create", unit="web", instances=[{"host": "a"}])
    daemon.process.kill()
    daemon.end()
    daemon.config_file.write_text(json.dumps(json.loads(daemon.config_file.read_text()) | {"user": "nobody"}))
    link = daemon.directory / "state/lmaps.db.link"
    link.symlink_to(daemon.config_file)
    os.link(daemon.config_file, daemon.directory / "state/lmaps.db.second")
    daemon.start()
    daemon.wait_ready()
    with client(daemon) as lmaps:
        assert lmaps.call("show", unit="web").extra["state"]
    assert owner(daemon.directory / "state/lmaps.db") == (NOBODY, NOBODY, 0o600)
    assert owner(daemon.config_file)[0] == 0, "neither by a link nor by a second name"


def test_a_directory_that_holds_other_things_is_left_alone(open_path: Path, start_daemon: Start) -> None:
    daemon = start_daemon(WEB, wait=False, **settings(db="lmaps.db"))
    assert daemon.process.wait(20) == 78
    assert f"cannot keep the state in {daemon.directory} as nobody" in daemon.output()
    assert "chown nobody: " in daemon.output()
    assert owner(daemon.directory)[0] == 0


@pytest.mark.parametrize(("key", "words"), [("user", "has no such user"), ("group", "has no such group")])
def test_a_user_or_group_that_is_not_there(open_path: Path, start_daemon: Start, key: str, words: str) -> None:
    daemon = start_daemon(WEB, wait=False, **settings(**{key: "no-such-one"}))
    assert daemon.process.wait(20) == 78
    assert words in daemon.output()
    daemon.start("--check")
    assert daemon.process.wait(20) == 78
    assert words in daemon.output()


def test_secrets_are_sealed_under_a_key_that_root_alone_can_read(open_path: Path, start_daemon: Start) -> None:
    pytest.importorskip("cryptography")
    key = open_path / "state.key"
    key.write_text("A" * 43 + "=\n")
    key.chmod(0o600)
    daemon = start_daemon(WEB, **settings(state_key=str(key)))
    with client(daemon) as lmaps:
        lmaps.call("create", unit="web", instances=[{"host": "a"}])
