"""Bad input gets one clear sentence and the right exit code; nothing is lost, and no traceback is ever shown."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemons import BIN, WEB, RunningDaemon, until

Start = Callable[..., RunningDaemon]


@pytest.fixture
def daemon(start_daemon: Start) -> RunningDaemon:
    made = start_daemon(WEB)
    made.lmaps("create", "web", "--set", "host=kept")
    return made


FILES = {
    "empty.yaml": b"",
    "binary.yaml": bytes(range(256)),
    "latin.yaml": b"host: caf\xe9\n",
    "brackets.yaml": b"[" * 100_000,
    "bomb.yaml": b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nhost: *c\n",
    "twice.yaml": b"host: a\nhost: b\n",
    "tag.yaml": b"host: !!python/object/apply:os.system [id]\n",
    "list.yaml": b"- 1\n- 2\n",
    "scalar.yaml": b"just text\n",
    "types.yaml": b"host: [a]\nport: x\n",
    "nul.json": b'{"host": "\\u0000"}',
    "nan.json": b'{"host": NaN}',
    "half.json": b'{"host": ',
    "surrogate.json": b'{"host": "\\ud800"}',
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_cannot_be_instances(daemon: RunningDaemon, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(FILES[name])
    refused = daemon.lmaps("create", "web", "-f", str(file))
    assert refused.returncode in (2, 3), refused
    assert refused.stderr.startswith("cannot "), refused.stderr
    assert "Traceback" not in refused.stderr + daemon.output()
    assert [row["host"] for row in daemon.data("show", "web")["vhosts"]] == ["kept"]


def test_a_file_of_a_hundred_megabytes(daemon: RunningDaemon, tmp_path: Path) -> None:
    file = tmp_path / "huge.yaml"
    with file.open("wb") as huge:
        huge.truncate(100 * 1024 * 1024)
    refused = daemon.lmaps("create", "web", "-f", str(file))
    assert (refused.returncode, refused.stderr) == (2, f"cannot read {file}: it has more than 64 MiB\n")


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("show wbe", 4, "there is no unit 'wbe'; did you mean web?"),
        ("show web nothing", 4, "there is no instance nothing in web"),
        ("job 99", 4, "there is no job 99"),
        ("create web -f /root/none/at/all", 2, "No such file"),
        ("create web -f units/../jobs", 2, "cannot find a document in"),
        ("create web --set host=kept --set port=1", 5, "kept exists with other content"),
        ("create web --set host=kept --set prot=1", 3, "did you mean port?"),
        ("--endpoint tcp://127.0.0.1:1 units", 2, "make it: lmaps keygen "),
        ("--timeout soon units", 2, "such as 30s or 5m"),
        ("--config /nothing units", 2, "cannot read the configuration /nothing"),
    ],
)
def test_words_and_exit_codes(daemon: RunningDaemon, line: str, code: int, words: str) -> None:
    refused = daemon.lmaps(*line.split())
    assert refused.returncode == code, refused.stderr
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr


def test_no_daemon_is_exit_9(tmp_path: Path) -> None:
    done = subprocess.run(
        [BIN / "lmaps", "-e", f"ipc://{tmp_path}/none.sock", "units"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 9
    assert done.stderr.startswith("no daemon at ipc://")
    assert done.stderr.endswith("nothing was done\n  start it: lmapsd --workers 4\n")


def test_a_status_that_waits_gives_a_missing_daemon_its_timeout(tmp_path: Path) -> None:
    command: list[str | Path] = [
        BIN / "lmaps",
        "-e",
        f"ipc://{tmp_path}/none.sock",
        "status",
        "--wait",
        "--timeout",
        "0.5s",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (9, "")
    assert done.stderr.startswith(f"no daemon at ipc://{tmp_path}/none.sock, waiting 0.5 s for it\n")


def test_a_status_that_waits_has_its_answer_from_a_daemon_that_is_starting(start_daemon: Start) -> None:
    daemon = start_daemon(wait=False)
    done = daemon.lmaps("status", "--wait", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["revision"]) == (0, 0)


def test_a_reader_that_goes_away_is_no_error(daemon: RunningDaemon) -> None:
    script = f"{BIN}/lmaps --config {daemon.config_file} show web -o pretty | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=daemon.environment, check=False)
    assert (done.stdout, done.stderr) == ("{", "")


def test_ctrl_c_stops_the_watching_and_not_the_job(start_daemon: Start) -> None:
    unit = "meta: {name: slow}\nhandler: {type: command, args: {argv: [sh, -c, 'echo up; while [ ! -e go ]; do sleep 0.02; done']}}\n"
    daemon = start_daemon(unit)
    watching = subprocess.Popen(
        [BIN / "lmaps", "--config", daemon.config_file, "apply", "slow"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=daemon.environment,
    )
    assert watching.stderr is not None
    while "up" not in watching.stderr.readline():
        pass
    watching.send_signal(signal.SIGINT)
    assert watching.wait(10) == 130
    assert watching.stderr.read() == "\ndetached, the job goes on: lmaps attach 1\n"
    watching.stderr.close()
    assert daemon.data("job", "1")["state"] == "running"
    next((daemon.directory / "jobs").glob("*/1")).joinpath("go").touch()
    assert daemon.lmaps("attach", "1").returncode == 0


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--workers", "0"], 2, "workers"),
        (["--check", "--bind", "tcp://127.0.0.1:5555"], 78, "cannot serve at tcp"),
        (["--config", "/nothing"], 78, "cannot read the configuration /nothing"),
        (["--frob"], 2, "--frob"),
    ],
)
def test_lmapsd_says_what_is_wrong(daemon: RunningDaemon, options: list[str], code: int, words: str) -> None:
    config = [] if "--config" in options else ["--config", str(daemon.config_file)]
    done = subprocess.run([BIN / "lmapsd", *config, *options], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert done.stderr.startswith("lmapsd: cannot ")


def test_a_daemon_without_any_configuration(short_path: Path) -> None:
    """As a user who is not root: the daemon and the client agree on where the socket is."""
    as_user = ["unshare", "--user", "--map-user=1000"]
    if subprocess.run([*as_user, "true"], capture_output=True, check=False).returncode:
        pytest.skip("user namespaces are not to be had here")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LMAPS_", "XDG_"))}
    environment["HOME"] = str(short_path)
    with (short_path / "log").open("w") as log:
        daemon = subprocess.Popen([*as_user, BIN / "lmapsd"], cwd=short_path, env=environment, stdout=log, stderr=log)
    try:
        until(lambda: "ready" in (short_path / "log").read_text() or daemon.poll() is not None)
        done = subprocess.run(
            [*as_user, BIN / "lmaps", "status", "-o", "json"],
            cwd=short_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + (short_path / "log").read_text()
        assert f'"db": "{short_path}/.local/state/lmaps/lmaps.db"' in done.stdout
    finally:
        daemon.send_signal(signal.SIGINT)
        assert daemon.wait(20) == 0
