"""Confirmed applies: kept when somebody or the probe says so in time, undone otherwise, whoever dies meanwhile."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemons import RunningDaemon, until

Start = Callable[..., RunningDaemon]

UNIT = """\
meta: {name: web, primary_key: id, data_type: YamlList}
handler:
  type: command
PROBE  args:
    argv:
      - sh
      - -c
      - 'cat > $HOME/state; while [ -e $HOME/hold ]; do sleep 0.05; done; [ ! -e $HOME/fail ]'
params: {type: object, required: [id], properties: {id: {type: string}}}
"""


def web(probe: str = "") -> str:
    return UNIT.replace("PROBE", f"  probe: [sh, -c, '{probe}']\n" if probe else "")


@pytest.fixture
def daemon(start_daemon: Start) -> RunningDaemon:
    return applied_once(start_daemon(web()))


def applied_once(daemon: RunningDaemon) -> RunningDaemon:
    """r1 (a) is applied, r2 adds b."""
    for line in ("create web --set id=a", "apply web", "create web --set id=b"):
        assert daemon.lmaps(*line.split()).returncode == 0
    return daemon


def host(daemon: RunningDaemon) -> str:
    return ", ".join(row["id"] for row in json.loads((daemon.directory / "state").read_text()))


def arm(daemon: RunningDaemon, within: str = "1h") -> int:
    return int(daemon.lmaps("apply", "web", "--confirm", within, "--no-wait", "-o", "name").stdout)


def waiting(daemon: RunningDaemon, job: int) -> None:
    until(lambda: daemon.data("job", str(job))["state"] == "succeeded")


def test_what_is_confirmed_is_kept_and_until_then_nobody_else_writes(daemon: RunningDaemon) -> None:
    job = arm(daemon)
    waiting(daemon, job)
    assert daemon.data("units")[0]["condition"] == "confirming"
    for line in ("create web --set id=c", "delete web a", "rollback web", "apply web", "redo web", "revert web r1"):
        done = daemon.lmaps(*line.split())
        assert (done.returncode, f"job {job} (" in done.stderr) == (5, True), done.stderr
        assert "waits for confirmation, until 20" in done.stderr
    assert daemon.lmaps("show", "web").returncode == 0
    done = daemon.lmaps("confirm", "web", "-o", "table")
    assert (done.stdout, done.returncode) == ("web r2 is confirmed\n", 0)
    assert daemon.data("job", str(job))["confirmation"] == "confirmed"
    assert daemon.lmaps("attach", str(job)).returncode == 0
    assert (host(daemon), daemon.data("units")[0]["applied"]) == ("a, b", 2)
    again = daemon.lmaps("confirm", "web")
    assert (again.returncode, "no job waits" in again.stderr) == (5, True)
    assert daemon.lmaps("create", "web", "--set", "id=c").returncode == 0


def test_what_is_not_confirmed_in_time_is_undone(daemon: RunningDaemon) -> None:
    done = daemon.lmaps("apply", "web", "--confirm", "1s")
    assert done.returncode == 11, done.stderr
    assert "goes back to r1 at 20" in done.stderr
    assert "web was not confirmed: r3 brings back the state of r1, applied by job 3 (handler ok)" in done.stderr
    assert host(daemon) == "a"
    [change, *_] = daemon.data("history", "web")
    assert (change["kind"], change["target"], change["door"]) == ("rollback", 1, "timer")
    assert change["message"] == "job 2 was not confirmed"
    unit = daemon.data("units")[0]
    assert (unit["applied"], unit["condition"]) == (3, "in sync")
    assert daemon.lmaps("redo", "web").returncode == 0


def test_a_person_may_undo_it_at_once(daemon: RunningDaemon) -> None:
    waiting(daemon, arm(daemon))
    done = daemon.lmaps("confirm", "web", "--rollback", "-m", "does not answer", "-o", "table")
    assert (done.returncode, "r3 brings back the state of r1" in done.stdout) == (0, True), done.stderr
    assert (host(daemon), daemon.data("history", "web")[0]["message"]) == ("a", "does not answer")


def test_a_handler_that_fails_is_undone_at_once(daemon: RunningDaemon) -> None:
    (daemon.directory / "hold").touch()
    (daemon.directory / "fail").touch()
    job = arm(daemon)
    until(lambda: daemon.data("job", str(job))["state"] == "running")
    until(lambda: (daemon.directory / "state").read_text().count("id") == 2)
    (daemon.directory / "hold").unlink()
    until(lambda: daemon.data("job", str(job))["confirmation"] == "undo_failed")
    assert daemon.lmaps("attach", str(job)).returncode == 12
    assert "the undo failed: job 3 failed; the host needs manual repair" in daemon.lmaps("attach", str(job)).stderr
    assert daemon.data("units")[0]["condition"] == "dirty"
    (daemon.directory / "fail").unlink()
    assert daemon.lmaps("apply", "web").returncode == 0
    assert host(daemon) == "a"


def test_a_cancelled_one_is_undone(daemon: RunningDaemon) -> None:
    (daemon.directory / "hold").touch()
    job = arm(daemon)
    until(lambda: daemon.data("job", str(job))["state"] == "running")
    until(lambda: (daemon.directory / "state").read_text().count("id") == 2)
    assert daemon.lmaps("cancel", str(job)).returncode == 0
    (daemon.directory / "hold").unlink()
    assert daemon.lmaps("attach", str(job)).returncode == 11
    assert host(daemon) == "a"


def test_another_confirm_begins_the_time_anew(daemon: RunningDaemon) -> None:
    first = arm(daemon, "1h")
    waiting(daemon, first)
    done = daemon.lmaps("apply", "web", "--confirm", "1s")
    assert (done.returncode, "brings back the state of r1" in done.stderr) == (11, True), done.stderr
    assert daemon.data("job", str(first))["confirmation"] == "rearmed"
    assert host(daemon) == "a"


def test_what_was_never_applied_has_no_way_back(start_daemon: Start) -> None:
    daemon = start_daemon(web())
    done = daemon.lmaps("apply", "web", "--confirm", "1m")
    assert (done.returncode, "it was never applied, so there is no state to go back to" in done.stderr) == (5, True)


def test_a_probe_confirms_or_does_not(start_daemon: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = applied_once(start_daemon(web("[ -e $HOME/healthy ] || exit 22")))
    job = arm(daemon, "2m")
    until(lambda: "probe failed (exit 22), 0 of 3" in daemon.lmaps("logs", str(job)).stdout, within=30)
    (daemon.directory / "healthy").touch()
    assert daemon.lmaps("attach", str(job), timeout=60).returncode == 0
    assert daemon.data("job", str(job))["confirmation"] == "confirmed"
    assert "probe passed, 3 of 3" in daemon.lmaps("logs", str(job)).stdout
    assert host(daemon) == "a, b"


def kill_everything(daemon: RunningDaemon) -> None:
    subprocess.run(["kill", "-KILL", str(daemon.process.pid), *map(str, daemon.everything())], check=False)
    daemon.process.wait(10)
    until(lambda: not daemon.everything())


@pytest.mark.parametrize("step", ["queued", "running", "waiting", "undoing", "undone", "confirmed"])
def test_everything_is_killed_at_each_step_and_started_again(start_daemon: Start, step: str) -> None:
    """The host ends on the previous revision, or on the confirmed one, never between."""
    daemon = applied_once(start_daemon(web()))
    if step in ("running", "undoing"):
        (daemon.directory / "hold").touch()
    if step == "undoing":
        (daemon.directory / "hold").unlink()
    job = arm(daemon, "1s" if step in ("undoing", "undone") else "1h")
    if step == "running":
        until(lambda: (daemon.directory / "state").read_text().count("id") == 2)
    elif step in ("waiting", "confirmed"):
        waiting(daemon, job)
    elif step == "undoing":
        waiting(daemon, job)
        (daemon.directory / "hold").touch()
        until(lambda: len(daemon.data("jobs")) == 3 and daemon.data("job", "3")["state"] == "running")
    elif step == "undone":
        until(lambda: daemon.data("job", str(job))["confirmation"] == "undone")
    if step == "confirmed":
        assert daemon.lmaps("confirm", "web").returncode == 0
    kill_everything(daemon)
    (daemon.directory / "hold").unlink(missing_ok=True)
    daemon.start()
    daemon.wait_ready()
    if step in ("queued", "waiting"):
        told = daemon.data("job", str(job))
        assert told["confirmation"] in (None, "waiting", "undoing", "undone")
        if told["state"] in ("queued", "running"):
            waiting(daemon, job)
        if daemon.data("job", str(job))["confirmation"] == "waiting":
            assert daemon.lmaps("confirm", "web", "--rollback").returncode == 0
    until(lambda: daemon.data("job", str(job))["over"])
    until(lambda: all(row["state"] not in ("queued", "running") for row in daemon.data("jobs")))
    expected = ("confirmed", "a, b") if step == "confirmed" else ("undone", "a")
    assert (daemon.data("job", str(job))["confirmation"], host(daemon)) == expected
    assert daemon.data("units")[0]["condition"] == "in sync"


def test_an_interrupted_one_is_undone_and_not_run_again(start_daemon: Start) -> None:
    """Also where the unit says that interrupted jobs are run once more."""
    daemon = applied_once(start_daemon(web().replace("handler:\n", "handler:\n  on_interrupt: rerun\n")))
    (daemon.directory / "hold").touch()
    job = arm(daemon)
    until(lambda: (daemon.directory / "state").read_text().count("id") == 2)
    worker = daemon.pid_of(
        f"worker {next(row['slot'] for row in daemon.data('status')['workers'] if row['job'] == job)}"
    )
    (daemon.directory / "hold").unlink()
    subprocess.run(["kill", "-KILL", str(worker)], check=True)
    until(lambda: daemon.data("job", str(job))["over"])
    until(lambda: all(row["state"] not in ("queued", "running") for row in daemon.data("jobs")))
    assert (host(daemon), daemon.data("job", str(job))["confirmation"]) == ("a", "undone")
    assert [row["repeats"] for row in daemon.data("jobs")] == [None, None, None]


def test_a_probe_runs_once_at_a_time(start_daemon: Start) -> None:
    probe = "echo >> $HOME/probes; while [ -e $HOME/slow ]; do sleep 0.05; done"
    daemon = applied_once(start_daemon(web(probe)))
    (daemon.directory / "slow").touch()
    job = arm(daemon)
    waiting(daemon, job)
    until((daemon.directory / "probes").exists)
    for _ in range(3):
        assert daemon.data("units")[0]["condition"] == "confirming"
    (daemon.directory / "slow").unlink()
    until(lambda: "probe passed, 1 of 3" in daemon.lmaps("logs", str(job)).stdout)
    assert (daemon.directory / "probes").read_text() == "\n"


def test_a_unit_that_goes_away_while_it_is_probed_spares_the_manager(start_daemon: Start) -> None:
    daemon = applied_once(start_daemon(web("exit 1")))
    job = arm(daemon, "1h")
    until(lambda: "probe failed" in daemon.lmaps("logs", str(job)).stdout, within=30)
    manager = daemon.pid_of("manager")
    (daemon.unit_dir / "unit0.yaml").unlink()
    daemon.lmaps("reload")
    start = float(Path("/proc/uptime").read_text().split()[0])
    until(lambda: float(Path("/proc/uptime").read_text().split()[0]) > start + 6)
    assert daemon.pid_of("manager") == manager
    assert daemon.data("job", str(job))["confirmation"] == "waiting"


def test_a_deadline_that_passed_while_nothing_ran_is_seen_to_at_the_start(daemon: RunningDaemon) -> None:
    job = arm(daemon, "2s")
    waiting(daemon, job)
    daemon.end(signal.SIGTERM)
    deadline = Path("/proc/uptime").read_text().split()[0]
    until(lambda: float(Path("/proc/uptime").read_text().split()[0]) > float(deadline) + 2.5)
    daemon.start()
    daemon.wait_ready()
    until(lambda: daemon.data("job", str(job))["confirmation"] == "undone")
    assert host(daemon) == "a"
