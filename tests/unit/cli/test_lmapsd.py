import os
import sqlite3

import pytest

from lmaps.cli import lmapsd
from lmaps.config.settings import Log
from lmaps.supervisor.locks import locked

UNIT = "meta: {name: web}\nparams: {type: object, properties: {host: {type: string}}}\n"


@pytest.fixture
def run(tmp_path, monkeypatch, capfd, restored_logging):
    """Run lmapsd in ``tmp_path`` with a configuration and units; exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LMAPS_CONFIG", raising=False)
    (tmp_path / "lmaps.yaml").write_text("db: lmaps.db\nrpc: {manager_bind: ipc://m.sock, worker_bind: ipc://i.sock}\n")
    (tmp_path / "units.d").mkdir()
    (tmp_path / "units.d" / "web.yaml").write_text(UNIT)

    def run(*arguments):
        code = lmapsd.start(["--config", str(tmp_path / "lmaps.yaml"), *arguments])
        told = capfd.readouterr()
        return code, told.out, told.err

    mask = os.umask(0o022)
    os.umask(mask)
    yield run
    os.umask(mask)  # a daemon that was run here has set its own


def test_help_shows_examples_and_exit_codes(run):
    code, out, _ = run("--help")
    assert code == 0
    assert "lmapsd --workers 4\n" in out
    assert "75 another daemon runs" in out


def test_version(run):
    code, out, _ = run("--version")
    assert (code, out.split()[0]) == (0, "lmapsd")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--workers", "none"], 2, "lmapsd: cannot understand the command: "),
        (["--workers", "0"], 2, "lmapsd: cannot understand the command: "),
        (["--nope"], 2, "lmapsd: cannot understand the command: "),
        (["--stop-grace", "5"], 2, "lmapsd: cannot read the duration '5'"),
        (["--config", "gone.yaml"], 78, "lmapsd: cannot read the configuration gone.yaml"),
        (["--check", "--bind", "tcp://127.0.0.1:1"], 78, "lmapsd: cannot serve at tcp: cannot read the secret key "),
        (["--check", "--bind", "tcp://*:1"], 78, "lmapsd: cannot use 'tcp://*:1' as an endpoint"),
        (["--check", "--bind", "ipc:///" + "x" * 200], 78, "107 is the most"),
    ],
)
def test_bad_input_gets_one_clear_sentence(run, arguments, code, words):
    told = run(*arguments)
    assert told[:2] == (code, "")
    assert words in told[2]
    assert "Traceback" not in told[2]


def test_an_error_of_the_configuration_names_its_place(run, tmp_path):
    (tmp_path / "lmaps.yaml").write_text("workers: 2\nrpc:\n  timeout: 5*60\n")
    code, _, err = run()
    assert code == 78
    assert "lmaps.yaml:3:12  $.rpc.timeout" in err


def test_check_says_that_nothing_is_wrong_and_leaves_nothing_behind(run, tmp_path):
    assert run("--check") == (0, "lmapsd: nothing is wrong\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lmaps.yaml", "units.d"]


def test_check_tells_every_unit_that_cannot_be_used(run, tmp_path):
    (tmp_path / "units.d" / "a.yaml").write_text("meta: {name: a\n")
    (tmp_path / "units.d" / "b.yaml").write_text("meta: {nam: b}\nparams: {}\n")
    code, out, err = run("--check")
    assert (code, out) == (78, "")
    assert "units.d/a.yaml:" in err
    assert "units.d/b.yaml:" in err


def test_check_tells_every_fault_of_the_policy(run, tmp_path):
    with (tmp_path / "lmaps.yaml").open("a") as file:
        file.write("\npolicy: policy.yaml\n")
    (tmp_path / "policy.yaml").write_text("- {subjects: 'uid:0', rights: lst, units: web}\n- 7\n")
    code, out, err = run("--check")
    assert (code, out) == (78, "")
    assert "policy.yaml:1:31" in err
    assert "policy.yaml:2:3" in err


def test_check_looks_at_the_database(run, tmp_path):
    (tmp_path / "lmaps.db").write_bytes(os.urandom(5000))
    code, _, err = run("--check")
    assert code == 65
    assert "lmapsd: cannot use the database" in err


def test_check_refuses_a_database_of_a_newer_version(run, tmp_path):
    database = sqlite3.connect(tmp_path / "lmaps.db")
    database.execute("CREATE TABLE alembic_version (version_num TEXT)")
    database.execute("INSERT INTO alembic_version VALUES ('from_the_future')")
    database.commit()
    database.close()
    assert run("--check")[0] == 65


def test_check_leaves_a_database_alone_that_a_daemon_holds(run, tmp_path):
    (tmp_path / "lmaps.db").write_bytes(b"in use")
    with locked([tmp_path / "lmaps.db"]):
        code, _, err = run("--check")
    assert code == 0
    assert f"the database was not looked at: another lmapsd (pid {os.getpid()})" in err


@pytest.mark.parametrize("held", ["lmaps.db", "m.sock", "jobs"])
def test_a_second_daemon_is_refused_naming_the_first(run, tmp_path, held):
    with locked([tmp_path / held]):
        code, _, err = run()
    assert code == 75
    assert err.startswith(f"lmapsd: cannot start: another lmapsd (pid {os.getpid()}) uses {tmp_path / held}\n")


@pytest.mark.usefixtures("restored_logging")
def test_options_stand_above_the_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("lmaps.supervisor.supervisor.Daemon", Recorder)
    arguments = ["--workers", "7", "--db", "x.db", "--bind", "ipc://a.sock", "--bind", "ipc:///b.sock", "--units", "u"]
    (tmp_path / "c.yaml").write_text("workers: 3\n")
    assert lmapsd.start([*arguments, "--config", "c.yaml", "--stop-grace", "2m", "--log-level", "error"]) == 0
    config = Recorder.config
    assert (config.workers, config.db, Recorder.grace) == (7, str(tmp_path / "x.db"), 120.0)
    assert config.rpc.manager_bind == [f"ipc://{tmp_path}/a.sock", "ipc:///b.sock"]
    assert config.rpc.worker_bind == f"ipc://{tmp_path}/internal.sock"
    assert config.unit_dirs == [str(tmp_path / "u")]
    assert config.log == Log(level="error", format="text")


class Recorder:
    """Stands where the daemon stands, and keeps what it was made with."""

    def __init__(self, config, grace):
        Recorder.config, Recorder.grace = config, grace

    def run(self):
        return 0
