"""The main job, end to end: real lmapsd, real lmaps."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
import zmq

from lmaps import Client
from tests.daemons import BIN, WEB, RunningDaemon, is_alive, until

Start = Callable[..., RunningDaemon]

SLOW = """\
meta: {name: slow, primary_key: id}
handler:
  type: command
  args: {argv: [sh, -c, 'echo started; sleep 60 & setsid sleep 60 & wait']}
params: {type: object, required: [id], properties: {id: {type: string}}}
"""
QUICK = """\
meta: {name: quick, primary_key: id}
handler: {type: command, args: {argv: [sh, -c, 'echo one; echo two >&2; exit 3']}}
params: {type: object, required: [id], properties: {id: {type: string}}}
"""
HOSTILE = [
    "no",
    "0x1f",
    "1e3",
    "2026-11-23",
    "~",
    "",
    "a\nb\n",
    " x ",
    "😀",
    "\x01\x7f\x85",
    "0777",
    "12:30:45",
    "null",
]


def test_the_story(start_daemon: Start) -> None:
    daemon = start_daemon(WEB)
    created = daemon.lmaps("create", "web", "--set", "host=www.example.org", "--set", "port=8080", "-o", "table")
    assert (created.stdout, created.returncode) == ("created  www.example.org  r1\n", 0)
    again = daemon.lmaps("create", "web", "--set", "host=www.example.org", "--set", "port=8080", "-o", "table")
    assert again.stdout == "unchanged  www.example.org  r1\n"
    shown = daemon.lmaps("show", "web", "-o", "yaml")
    assert shown.stdout == "vhosts:\n- host: www.example.org\n  port: 8080\n  tls: false\n"
    assert daemon.lmaps("--show-summary", "--unit", "web").stdout == shown.stdout
    applied = daemon.lmaps("apply", "web", "-o", "table")
    assert applied.returncode == 0
    assert applied.stderr.startswith("job 1: apply web r1\n   1  vhosts:\n")
    assert "job 1 succeeded in" in applied.stderr
    assert applied.stderr.endswith("; web applied r1\n")
    daemon.lmaps("create", "web", "--set", "host=api.example.org")
    undone = daemon.lmaps("rollback", "web", "-o", "table")
    assert undone.stdout == "r3: rolled back r2 (-api.example.org)\n"
    undone = daemon.lmaps("rollback", "web", "-o", "table")
    assert undone.stdout == ("r4: rolled back r1 (-www.example.org); web is pending, applied is r1: lmaps apply web\n")
    nothing = daemon.lmaps("rollback", "web")
    assert (nothing.stderr, nothing.returncode) == ("nothing to roll back in web\n", 0)


def test_rollback_data_has_removing_before_and_after(start_daemon: Start) -> None:
    daemon = start_daemon(WEB)
    daemon.lmaps("create", "web", "--set", "host=a")
    daemon.lmaps("create", "web", "--set", "host=b")
    data = daemon.data("rollback", "web")
    assert data["removing"] == [{"host": "b"}]
    assert [row["host"] for row in data["before"]["vhosts"]] == ["a", "b"]
    assert [row["host"] for row in data["after"]["vhosts"]] == ["a"]


def test_ten_thousand_documents_are_one_changeset(start_daemon: Start) -> None:
    daemon = start_daemon(WEB)
    documents = "".join(f"---\nhost: h{number}.example.org\n" for number in range(10_000))
    created = daemon.lmaps("create", "web", "-f", "-", "-o", "name", stdin=documents)
    assert created.returncode == 0, created.stderr
    assert len(created.stdout.splitlines()) == 10_000
    status = daemon.data("status")
    assert status["revision"] == 1
    bad = documents + "---\nhost: 7\n---\nhost: fine\n---\nprot: 1\nhost: x\n"
    refused = daemon.lmaps("create", "web", "-f", "-", stdin=bad.replace("example.org", "example.net"))
    assert refused.returncode == 3
    lines = refused.stderr.splitlines()
    assert lines[0] == "cannot create in web: stdin has 2 errors, nothing was changed"
    assert lines[1].split()[:2] == ["stdin:20002:7", "$.host"]
    assert lines[2].split()[:2] == ["stdin:20006:1", "$.prot"]
    assert daemon.data("units")[0]["instances"] == 10_000


def test_state_answers_while_a_long_apply_runs(start_daemon: Start) -> None:
    daemon = start_daemon(SLOW + "---\n" + WEB, workers=1)
    with Client(daemon.endpoint) as client:
        job = client.call("apply", unit="slow").job
        until(lambda: client.call("lines", job=job, wait_ms=1000).extra["lines"])
        took = []
        for number in range(20):
            begin = time.monotonic()
            client.call("create", unit="web", instances=[{"host": f"h{number}"}])
            client.call("show", unit="web")
            took.append((time.monotonic() - begin) / 2)
    assert sorted(took)[len(took) // 2] < 0.05


def test_a_failing_handler_tells_its_output_and_its_code(start_daemon: Start) -> None:
    daemon = start_daemon(QUICK)
    done = daemon.lmaps("apply", "quick", "-o", "table")
    assert done.returncode == 6
    assert "   1  one\n   2  two\n" in done.stderr
    assert "failed 1" in done.stderr
    assert "exit code 3" in done.stderr
    assert daemon.lmaps("--apply", "--unit", "quick").returncode == 3
    assert daemon.data("job", "1")["rc"] == 3
    assert daemon.lmaps("logs", "1").stdout == "one\ntwo\n"
    assert daemon.data("units")[0]["condition"] == "dirty"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_leaves_nothing_running(start_daemon: Start, number: int) -> None:
    daemon = start_daemon(SLOW, "--stop-grace", "1s")
    with Client(daemon.endpoint) as client:
        job = client.call("apply", unit="slow").job
        until(lambda: client.call("lines", job=job, wait_ms=1000).extra["lines"])
    assert daemon.end(number) == 0
    assert daemon.everything() == []
    daemon.start()
    daemon.wait_ready()
    assert daemon.data("job", str(job))["state"] == "interrupted"


def test_killed_manager_is_replaced_and_the_job_goes_on(start_daemon: Start) -> None:
    unit = SLOW.replace("sleep 60 & setsid sleep 60 & wait", "while [ ! -e go ]; do sleep 0.05; done; echo done")
    daemon = start_daemon(unit + "---\n" + WEB)
    with Client(daemon.endpoint) as client:
        client.call("create", unit="web", instances=[{"host": "kept"}])
        job = client.call("apply", unit="slow").job
        lines = until(lambda: client.call("lines", job=job, wait_ms=1000).extra["lines"])
        assert [line["text"] for line in lines] == ["started"]
        os.kill(daemon.pid_of("manager") or 0, signal.SIGKILL)
        assert client.call("show", unit="web").extra["state"]["vhosts"][0]["host"] == "kept"
        assert client.call("job", job=job).extra["job"]["state"] == "running"
        folder = next((daemon.directory / "jobs").glob(f"*/{job}"))
        (folder / "go").touch()
        ended = until(lambda: _ended(client, job))
        assert ended["state"] == "succeeded", ended
        output = client.call("lines", job=job).extra["lines"]
        assert [line["text"] for line in output] == ["started", "done"]


def _ended(client: Client, job: int | None) -> dict[str, object] | None:
    found: dict[str, object] = client.call("job", job=job).extra["job"]
    return found if found["state"] not in ("queued", "running") else None


def test_killed_worker_interrupts_its_job_and_is_replaced(start_daemon: Start) -> None:
    daemon = start_daemon(SLOW, workers=1)
    with Client(daemon.endpoint) as client:
        job = client.call("apply", unit="slow").job
        until(lambda: client.call("lines", job=job, wait_ms=1000).extra["lines"])
        worker = daemon.pid_of("worker 1")
        os.kill(worker or 0, signal.SIGKILL)
        assert until(lambda: _ended(client, job))["state"] == "interrupted"
        until(lambda: not [pid for pid in daemon.everything() if _runs(pid, b"sleep")])
        assert until(lambda: daemon.pid_of("worker 1")) != worker
        following = client.call("apply", unit="slow").job
        until(lambda: client.call("lines", job=following, wait_ms=1000).extra["lines"])


def _runs(pid: int, name: bytes) -> bool:
    try:
        return name in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_killed_supervisor_leaves_nothing_running(start_daemon: Start) -> None:
    daemon = start_daemon(SLOW)
    with Client(daemon.endpoint) as client:
        job = client.call("apply", unit="slow").job
        until(lambda: client.call("lines", job=job, wait_ms=1000).extra["lines"])
    daemon.process.kill()
    daemon.process.wait()
    until(lambda: not [pid for pid in daemon.everything() if is_alive(pid)], within=5)
    daemon.start()
    daemon.wait_ready()
    assert daemon.data("job", str(job))["state"] == "interrupted"


def test_hostile_strings_survive_every_format(start_daemon: Start) -> None:
    unit = "meta: {name: text}\nparams: {type: object, properties: {t: {type: string}}}\n"
    daemon = start_daemon(unit)
    with Client(daemon.endpoint) as client:
        client.call("create", unit="text", instances=[{"t": text} for text in HOSTILE])
    wanted = [{"t": text} for text in HOSTILE]
    assert json.loads(daemon.lmaps("show", "text", "-o", "json").stdout) == wanted
    assert json.loads(daemon.lmaps("show", "text", "-o", "pretty").stdout) == wanted
    assert yaml.safe_load(daemon.lmaps("show", "text", "-o", "yaml").stdout) == wanted
    exported = list(yaml.safe_load_all(daemon.lmaps("export", "--yaml").stdout))
    assert exported[1]["instances"] == wanted
    assert json.loads(daemon.lmaps("export", "--json").stdout)["units"][0]["instances"] == wanted


def test_export_of_every_data_type_gives_the_documents_back(start_daemon: Start, tmp_path: Path) -> None:
    types = ("YamlFile", "YamlList", "YamlKeyList", "YamlKeyDict")
    units = "---\n".join(
        f"meta: {{name: {name.lower()}, data_type: {name}}}\nparams: {{type: object}}\n" for name in types
    )
    daemon = start_daemon(units)
    given = [{"a": 1, "b": {"c": [1, 2.5, None, True]}}, {"d": "no", "a": 2}]
    with Client(daemon.endpoint) as client:
        for name in types:
            client.call("create", unit=name.lower(), instances=given)
            client.call("create", unit=name.lower(), instances=[{"undone": True}])
            client.call("rollback", unit=name.lower())
    exported = list(yaml.safe_load_all(daemon.lmaps("export", "--yaml").stdout))
    assert [unit["instances"] for unit in exported[1:]] == [given] * 4
    tree = tmp_path / "tree"
    assert daemon.lmaps("export", "--tree", str(tree)).returncode == 0
    for name in types:
        current = sorted((tree / name.lower() / "current").iterdir())
        rolled_back = sorted((tree / name.lower() / "rollback").iterdir())
        assert [yaml.safe_load(path.read_text()) for path in current] == given
        assert [yaml.safe_load(path.read_text()) for path in rolled_back] == [{"undone": True}]


def test_second_daemon_is_refused_by_the_pid_of_the_first(start_daemon: Start) -> None:
    daemon = start_daemon(WEB)
    second = subprocess.run(
        [BIN / "lmapsd", "--config", daemon.config_file],
        capture_output=True,
        text=True,
        env=daemon.environment,
        check=False,
    )
    assert second.returncode == 75
    assert str(daemon.process.pid) in second.stderr
    assert daemon.lmaps("status").returncode == 0


def test_reload_keeps_the_old_set_when_a_file_is_broken(start_daemon: Start) -> None:
    daemon = start_daemon(WEB)
    file = daemon.unit_dir / "unit0.yaml"
    file.write_text(WEB.replace("primary_key: host", "primary_key: nothing"))
    refused = daemon.lmaps("reload")
    assert refused.returncode == 3
    assert f"{file}:1:75" in refused.stderr
    assert daemon.lmaps("create", "web", "--set", "host=still").returncode == 0
    changed = daemon.lmaps("apply", "web")
    assert changed.returncode == 6
    assert "its unit file has changed since it was loaded; run lmaps reload" in changed.stderr
    file.write_text(WEB.replace("default: 80", "default: 81"))
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: daemon.lmaps("explain", "web.port", "-o", "json").stdout.count("81"))


def test_a_broken_unit_file_spares_the_others(start_daemon: Start) -> None:
    daemon = start_daemon(WEB + "---\nmeta: {name: bad}\nparams: {type: strin}\n")
    assert [row["unit"] for row in daemon.data("units")] == ["web"]
    errors = daemon.lmaps("units", "--errors", "-o", "table").stdout
    assert "unit1.yaml:2:16" in errors
    missing = daemon.lmaps("show", "bad")
    assert missing.returncode == 4
    assert "unit1.yaml:2:16" in missing.stderr


def test_the_originals_wire_gets_the_originals_envelope(start_daemon: Start) -> None:
    daemon = start_daemon(WEB)
    everything = {
        "list_units": False, "create": False, "apply": False, "rollback": False, "show_summary": False,
        "discover": None, "unit_name": "web", "instance": None, "unit": "web", "config_file": None,
        "format": "yaml", "daemon": False, "discover_endpoint": None,
    }  # fmt: skip
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.connect(daemon.endpoint)

        def ask(**flags: object) -> dict[str, object]:
            socket.send_json(everything | flags)
            assert socket.poll(10_000)
            answer: dict[str, object] = socket.recv_json()  # type: ignore[assignment]
            assert {"message", "level", "extra"} <= answer.keys()
            return answer

        assert ask(list_units=True)["extra"]["units"][0]["unit"] == "web"  # type: ignore[index]
        assert ask(create=True, instance={"host": "a"})["level"] == 0
        assert ask(create=True, instance={"host": 1})["level"] == 3
        assert ask(show_summary=True)["extra"] == {"vhosts": [{"host": "a", "port": 80, "tls": False}]}
        assert ask(apply=True)["message"] == "job 1 succeeded"
        assert ask(rollback=True)["extra"]["after"] == {"vhosts": []}  # type: ignore[index]
        assert "verbs" in ask(discover="schema")["extra"]  # type: ignore[operator]
        assert ask()["level"] == 2
    daemon.lmaps("apply", "web")
    with Client(daemon.endpoint) as client:
        client.call("apply", unit="web")
    assert [job["door"] for job in daemon.data("jobs")] == ["api", "cli", "legacy"]


def test_the_daemon_runs_in_the_foreground_as_the_original_did(start_daemon: Start) -> None:
    daemon = start_daemon(WEB)
    assert daemon.end() == 0
    with daemon.log.open("wb") as log:
        daemon.process = subprocess.Popen(
            [BIN / "lmaps", "-D", "--config", daemon.config_file], stdout=log, stderr=log, env=daemon.environment
        )
    daemon.wait_ready()
    assert daemon.data("status")["supervisor"] == daemon.process.pid
    assert daemon.end(signal.SIGTERM) == 0
