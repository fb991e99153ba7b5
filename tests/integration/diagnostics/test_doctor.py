"""`lmaps doctor` with a real daemon, without one, and as somebody who may see little; and what `status` counts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmaps.api.endpoints.system import COUNTERS
from lmaps.diagnostics.checks import CHECKS
from lmaps.diagnostics.programs import has_wal_reset_bug
from tests.daemons import BIN, WEB, RunningDaemon, until

NAMES = [check.name for check in CHECKS if check.doctor]
Start = Callable[..., RunningDaemon]
SECRET = """\
meta: {name: vault, data_type: YamlList}
handler: {type: ansible_playbook, args: {playbook: p.yml}}
params: {type: object, properties: {password: {type: string, writeOnly: true}}}
"""


def checked(daemon: RunningDaemon, *options: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """What each check has found."""
    import json

    done = daemon.lmaps("--timeout", "10s", "doctor", "-o", "json", *options)
    assert done.returncode == code, done
    return {row["check"]: row for row in json.loads(done.stdout)["checks"]}


def faults(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: row["words"] for name, row in found.items() if row["verdict"] != "ok"}


@pytest.mark.parametrize(
    ("told", "has_it"),
    [
        ("3.6.23", False), ("3.7.0", True), ("3.40.1", True), ("3.44.5", True), ("3.44.6", False), ("3.45.0", True),
        ("3.50.6", True), ("3.50.7", False), ("3.51.2", True), ("3.51.3", False), ("3.52.0", False),
    ],
)  # fmt: skip
def test_the_range_of_the_wal_reset_bug(told: str, has_it: bool) -> None:
    assert has_wal_reset_bug(tuple(map(int, told.split(".")))) is has_it


def test_nothing_is_wrong_with_a_new_daemon(start_daemon: Start) -> None:
    daemon = start_daemon()
    found = checked(daemon)
    assert list(found) == NAMES
    assert faults(found) == {}
    assert f"pid {daemon.pid_of('manager')}" in found["daemon"]["words"]
    told = daemon.lmaps("-o", "table", "doctor")
    assert (told.returncode, told.stderr) == (0, f"{len(NAMES)} ok\n")
    assert len(told.stdout.splitlines()) == len(NAMES) + 1, "one line for each, and what to do about backups"


def test_what_is_wrong_is_found_with_what_to_do(start_daemon: Start, short_path: Path) -> None:
    key = short_path / "key"
    key.write_text("A" * 43 + "=")
    key.chmod(0o600)
    (short_path / "policy.yaml").write_text("[]")
    daemon = start_daemon(f"{WEB}---\n{SECRET}", state_key="../key", policy="../policy.yaml")
    assert daemon.lmaps("create", "web", "--set", "host=a").returncode == 0
    assert daemon.lmaps("backup", "copy.db").returncode == 0
    found = checked(daemon)
    assert faults(found) == {"units": "vault is broken"}
    assert "was made" in found["backups"]["words"]
    assert "sealed" in found["secrets"]["words"]
    assert "ansible-playbook" in found["ansible"]["words"]
    key.chmod(0o644)
    (short_path / "policy.yaml").write_text("- {subjects: 'uid:0', rights: lst, units: web}\n")
    (daemon.unit_dir / "unit0.yaml").chmod(0o666)
    (daemon.directory / "lmaps.db-wal").chmod(0o640)
    (daemon.directory / "m.sock").chmod(0o666)
    found = checked(daemon, code=1)
    for name, words, todo in (
        ("keys", "others can read it (mode 0644)", None),
        ("policy", "policy.yaml:1:31", "lmaps reload"),
        ("configuration", f"everybody may write {daemon.unit_dir}/unit0.yaml", "chmod o-w"),
        ("state", "lmaps.db-wal", "chmod 600"),
        ("sockets", "m.sock has mode 0666, 0660 is the most", "chmod 660"),
    ):
        assert found[name]["verdict"] == "fault", found[name]
        assert words in found[name]["words"]
        assert todo is None or todo in found[name]["todo"]
    (daemon.unit_dir / "unit0.yaml").chmod(0o644)
    assert checked(daemon, code=1)["configuration"]["verdict"] == "ok"


def test_it_looks_at_the_files_when_no_daemon_runs(start_daemon: Start) -> None:
    daemon = start_daemon(f"{WEB}---\n{SECRET}")
    daemon.end(signal.SIGTERM)
    found = checked(daemon, code=1)
    assert faults(found).keys() == {"daemon", "workers", "backups", "secrets"}
    assert found["daemon"]["todo"] == "start it: lmapsd --workers 4"
    assert found["secrets"] == found["secrets"] | {"verdict": "warning", "todo": "set state_key"}
    (daemon.directory / "w.sock").mkdir()
    job = daemon.directory / "jobs" / "1" / "7"
    job.mkdir(parents=True)
    ahead = time.time() + 3600
    os.utime(daemon.directory / "lmaps.db", (ahead, ahead))
    (daemon.unit_dir / "bad.yaml").write_text("meta: 7\n")
    left = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={"LMAPS_JOB": str(job)})
    try:
        until(lambda: b"LMAPS_JOB" in Path(f"/proc/{left.pid}/environ").read_bytes())
        found = checked(daemon, code=1)
    finally:
        left.kill()
        left.communicate()
    assert "w.sock is no socket" in found["sockets"]["words"]
    assert found["leftovers"]["words"] == "job 7 was cut off, 1 process still running"
    assert "the newest change is of" in found["clock"]["words"]
    assert "error" in found["units"]["words"]


def test_a_daemon_that_does_not_answer_here_is_named(start_daemon: Start) -> None:
    daemon = start_daemon()
    found = checked(daemon, "--endpoint", f"ipc://{daemon.directory}/other.sock", code=1)
    assert f"lmapsd (pid {daemon.process.pid}) has the state" in found["daemon"]["words"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_who_may_see_little_is_told_what_he_could_not_see(start_daemon: Start, short_path: Path) -> None:
    (short_path / "policy.yaml").write_text("- {subjects: 'uid:65534', rights: [list], units: '*'}\n")
    daemon = start_daemon(policy="../policy.yaml")
    for directory in (short_path, daemon.directory):
        directory.chmod(0o711)
    (daemon.directory / "m.sock").chmod(0o666)
    daemon.config_file.chmod(0o644)
    daemon.unit_dir.chmod(0o700)
    done = subprocess.run(
        [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            BIN / "lmaps",
            "-e",
            daemon.endpoint,
            "-o",
            "table",
            "doctor",
        ],
        capture_output=True,
        text=True,
        env=daemon.environment | {"HOME": "/"},
        cwd="/",
        timeout=60,
        check=False,
    )
    told = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines() if not line.startswith(" ")}
    assert told["daemon"] == told["sqlite"] == told["clock"] == "ok", done
    assert told["backups"] == told["configuration"] == "unknown", done
    assert "Traceback" not in done.stderr


def test_status_tells_what_was_counted(start_daemon: Start, short_path: Path) -> None:
    daemon = start_daemon()
    assert daemon.lmaps("show", "nothing").returncode == 4
    told = daemon.data("status")
    assert told["counters"].keys() == set(COUNTERS)
    assert (told["counters"]["requests"], told["counters"]["refused"], told["counters"]["restarts"]) == (1, 1, 0)
    os.kill(daemon.pid_of("worker 1") or 0, signal.SIGKILL)
    os.kill(daemon.pid_of("manager") or 0, signal.SIGKILL)
    until(lambda: daemon.data("status")["counters"]["restarts"] == 2)
    shown = daemon.lmaps("-o", "table", "status").stdout
    assert f"SQLite {told['versions']['sqlite']}" in shown
    assert "2 since the start" in shown
    assert "denied" not in shown, "what has not happened is not mentioned"
