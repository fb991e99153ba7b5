"""History at the command line, end to end: real lmapsd, real lmaps."""

import json
import os
import pwd
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.daemons import BIN, WEB, RunningDaemon
from tests.databases import rewrite

Start = Callable[..., RunningDaemon]
ME = pwd.getpwuid(os.getuid()).pw_name
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
def daemon(start_daemon: Start) -> RunningDaemon:
    return start_daemon(WEB)


@pytest.fixture
def told(daemon: RunningDaemon) -> Iterator[Callable[..., tuple[str, int]]]:
    """What a command prints as a table, stdout and stderr, times left out; and its exit code."""

    def run(line: str) -> tuple[str, int]:
        done = daemon.lmaps("-o", "table", *line.split())
        assert "Traceback" not in done.stderr
        return TIME.sub("WHEN", done.stdout + done.stderr).replace(ME, "alice"), done.returncode

    yield run


def test_the_session_back_and_forth(daemon: RunningDaemon, told: Callable[..., tuple[str, int]]) -> None:
    told("create web --set host=www.example.org --set port=8080 -m vhost --ticket CHG1")
    told("apply web")
    told("-q set web www.example.org --set tls=true -m https --ticket CHG2")
    told("-q create web --set host=api.example.org -m api --ticket CHG3")
    history, _ = told("history web")
    assert [line.split() for line in history.splitlines()] == [
        ["REV", "KIND", "WHEN", "AUTHOR", "TICKET", "CHANGE", "MESSAGE"],
        ["r3", "create", "WHEN", "alice", "CHG3", "+api.example.org", "api"],
        ["r2", "set", "WHEN", "alice", "CHG2", "~www.example.org", "https"],
        ["r1", "create", "WHEN", "alice", "CHG1", "+www.example.org", "vhost"],
    ]
    for line, text, code in (
        ("rollback web", "r4: rolled back r3 (-api.example.org); web is pending, applied is r1: lmaps apply web\n", 0),
        ("rollback web", "r5: rolled back r2 (~www.example.org)\n", 0),
        ("redo web", "r6: redone r2 (~www.example.org); web is pending, applied is r1: lmaps apply web\n", 0),
        (
            "set web www.example.org --set port=81 --if-rev r5",
            "web is not at r5: it is at r6 (alice, https); see: lmaps diff web r5 r6\n",
            5,
        ),
        (
            "rollback web --to r1 --dry-run",
            "~ www.example.org  tls: true -> false\ndry run: 1 instance would change, nothing was done\n",
            1,
        ),
        ("diff web", "~ www.example.org  tls: false -> true\n", 1),
        ("diff web r5 r1", "", 0),
        ("diff web r1 r3 --stat", "1 added, 1 changed, 0 deleted\n", 1),
        ("diff web r1 r99", "there is no r99, the newest is r6\n", 4),
    ):
        assert told(line) == (text, code)
    blame, _ = told("blame web www.example.org")
    assert [line.split() for line in blame.splitlines()] == [
        ["PATH", "VALUE", "REV", "AUTHOR", "TICKET", "BEFORE"],
        ["/host", "www.example.org", "r1", "alice", "CHG1", "-"],
        ["/port", "8080", "r1", "alice", "CHG1", "-"],
        ["/tls", "true", "r2", "(redo", "r6)", "alice", "CHG2", "false"],
    ]
    exported = daemon.lmaps("export", "--yaml")
    assert exported.stderr == "exported 1 unit, 1 instance at r6\n"
    (daemon.directory / "state.yaml").write_text(exported.stdout)
    assert told("import state.yaml")[0].startswith("unchanged  www.example.org  r6\n")
    assert daemon.lmaps("export", "--yaml").stdout == exported.stdout


def test_a_value_that_only_looks_like_the_id_is_shown(daemon: RunningDaemon) -> None:
    daemon.lmaps("create", "web", "--set", "host=80")
    assert daemon.lmaps("plan", "web", "-o", "table").stdout == "+ 80  port=80 tls=false\n"


def test_a_json_patch_for_programs(daemon: RunningDaemon) -> None:
    daemon.lmaps("create", "web", "--set", "host=a")
    daemon.lmaps("set", "web", "a", "--set", "port=81")
    done = daemon.lmaps("diff", "web", "r1", "r2", "-o", "json")
    assert (json.loads(done.stdout), done.returncode) == ([{"op": "replace", "path": "/a/port", "value": 81}], 1)
    done = daemon.lmaps("delete", "web", "a", "--dry-run", "-o", "json")
    assert (json.loads(done.stdout), done.returncode) == ([{"op": "remove", "path": "/web/a"}], 1)


def test_words_and_exit_codes(told: Callable[..., tuple[str, int]]) -> None:
    told("create web --set host=a")
    for line, code, words in (
        ("set web", 2, "name one ID"),
        ("set web a", 2, "there is nothing to set"),
        ("set web zz --unset tls", 0, ""),
        ("set web a --set prt=8", 3, "$.prt  unknown property; did you mean port?"),
        ("set web a --set host=b", 5, "host of a cannot become b: it identifies the instance"),
        ("set web a --set port.x=1", 3, "$.port  the object is not an integer"),
        ("delete web", 2, "name the IDs"),
        ("delete web a nosuch", 4, "there is no instance nosuch in web, nothing was changed"),
        ("rollback web --to yesterday", 2, "'yesterday' is no revision"),
        ("rollback web --to r1 --steps 2", 2, "not both"),
        ("rollback web --steps 0", 2, "0"),
        ("revert web", 2, "name the revision"),
        ("revert web r9", 4, "web has no changeset r9"),
        ("revert web @", 2, "revision"),
        ("redo web", 0, "nothing to redo in web"),
        ("history --since soon", 2, "cannot read the time 'soon'"),
        ("history nosuch", 4, "there is no unit 'nosuch'"),
        ("blame web nosuch", 4, "there is no instance nosuch in web"),
        ("create web --set host=c --if-rev x", 2, "if_rev"),
        ("create web --set host=c --changed-rc 7", 7, ""),
        ("create web --set host=a --changed-rc 7", 0, ""),
        ("import lmaps.yaml", 2, "it is not an export of lMaPS"),
        ("import", 2, "name a file that lmaps export wrote"),
        ("import nosuch", 2, "cannot read nosuch: No such file"),
        ("migrate --from-store nosuch --unit web", 2, "it has no directory current"),
        ("migrate --from-store nosuch", 2, "give --unit UNIT"),
        ("migrate", 2, "give --from-store DIR"),
        ("export --history --at r1", 2, "--history goes alone"),
        ("backup nosuch/x", 2, "cannot write"),
        ("restore nosuch", 2, "there is no such file"),
    ):
        text, got = told(line)
        assert (got, words in text) == (code, True), f"{line}: {text}"


def test_all_that_was_exported_makes_an_empty_daemon_equal(start_daemon: Start) -> None:
    one, other = start_daemon(WEB), start_daemon(WEB)
    for line in (
        "create web --set host=a",
        "set web a --set port=81 -m why",
        "create web --set host=b",
        "rollback web",
    ):
        assert one.lmaps(*line.split()).returncode == 0
    state, history = one.lmaps("export").stdout, one.lmaps("export", "--history").stdout
    dry = other.lmaps("import", "-", "--dry-run", "-o", "table", stdin=history)
    assert (dry.returncode, dry.stdout) == (1, "+ a  port=81 tls=false\n")
    done = other.lmaps("import", "-", stdin=history)
    assert (done.returncode, done.stderr) == (0, "imported 4 changesets of 1 unit, at r4\n")
    assert other.lmaps("export", "--history").stdout == history
    assert other.lmaps("export").stdout == state
    assert other.lmaps("redo", "web", "-o", "table").stdout.startswith("r5: redone r3 (+b)")
    again = other.lmaps("import", "-", stdin=history)
    assert (again.returncode, "the state has one already" in again.stderr) == (5, True)
    as_json = other.lmaps("export", "--json").stdout
    assert other.lmaps("import", "-", "--mode", "replace", stdin=as_json).returncode == 0
    assert other.lmaps("export", "--json").stdout == as_json


def test_every_error_of_an_import_has_its_place(daemon: RunningDaemon) -> None:
    (daemon.directory / "s.yaml").write_text(
        "lmaps: export\nversion: 1\n---\nunit: web\ninstances:\n- host: a\n- host: b\n  prt: 1\n- port: x\n  host: c\n"
    )
    done = daemon.lmaps("import", "s.yaml")
    assert (done.returncode, done.stderr.splitlines()) == (
        3,
        [
            "cannot import: s.yaml has 2 errors, nothing was changed",
            "  s.yaml:8:3  $.prt   unknown property; did you mean port?",
            "  s.yaml:9:9  $.port  'x' is not an integer",
        ],
    )


def test_the_originals_trees_are_taken_over(daemon: RunningDaemon) -> None:
    """Files are named by time.time(): Python 2 wrote fewer digits, so their order is that of the numbers."""
    tree = daemon.directory / "store" / "web"
    for name, text in {
        "current/1400000000.1": "{host: first}\n",
        "current/1400000000.09": "host: zeroth\nport: 80\n",
        "current/1764050000.1234567": "host: last\nport: 81\n",
        "rollback/1764050001.0": "host: undone\n",
        "rollback/999999999.99": "host: undone-before\n",
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (daemon.directory / "old.yaml").write_text(
        "units:\n- meta: {name: web, store_root: store/web}\n- meta: {name: x}\n"
    )
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    done = daemon.lmaps("migrate", "--from-config", "old.yaml", "-m", "moved", "-o", "table")
    assert (done.returncode, done.stderr) == (0, "migrated 3 instances to web, 2 for redo\n")
    assert done.stdout == "created  zeroth  r1\ncreated  first  r2\ncreated  last  r3\n"
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before
    [unit] = daemon.data("export", "--json")["units"]
    assert unit["instances"] == [{"host": "zeroth"}, {"host": "first"}, {"host": "last", "port": 81}]
    assert daemon.data("redo", "web")["changes"][0]["id"] == "undone-before"
    again = daemon.lmaps("migrate", "--from-store", "store/web", "--unit", "web")
    assert (again.returncode, "it has a history already" in again.stderr) == (3, True)


def test_a_backup_of_a_running_daemon_is_restored(daemon: RunningDaemon) -> None:
    daemon.lmaps("create", "web", "--set", "host=a")
    done = daemon.lmaps("backup", "b.db", "-o", "json")
    assert done.returncode == 0, done.stderr
    backup = daemon.directory / "b.db"
    assert backup.stat().st_mode & 0o777 == 0o600
    subprocess.run(["sha256sum", "-c", "--quiet", "b.db.sha256"], cwd=daemon.directory, check=True)
    assert json.loads(done.stdout)["size"] == backup.stat().st_size
    daemon.lmaps("create", "web", "--set", "host=b")
    refused = daemon.lmaps("restore", "b.db")
    assert (refused.returncode, "cannot restore: another lmapsd" in refused.stderr) == (5, True)
    daemon.end()
    done = daemon.lmaps("restore", "b.db")
    assert (done.returncode, done.stderr.splitlines()[0]) == (0, f"lmapsd: restored {backup}, at r3")
    daemon.start()
    daemon.wait_ready()
    assert [row["host"] for row in daemon.data("show", "web")["vhosts"]] == ["a"]
    assert [(row["revision"], row["kind"]) for row in daemon.data("history", "web")] == [(3, "restore"), (1, "create")]
    assert daemon.data("create", "web", "--set", "host=c")[0]["revision"] == 4
    assert not [path.name for path in daemon.directory.iterdir() if path.name.endswith((".copy", ".restoring"))]


def test_a_backup_that_was_changed_is_refused(daemon: RunningDaemon) -> None:
    daemon.lmaps("create", "web", "--set", "host=a")
    daemon.lmaps("backup", "b.db")
    daemon.end()
    with sqlite3.connect(daemon.directory / "b.db") as driver:
        driver.execute("DELETE FROM instance")
    driver.close()
    for words in ("its checksum is not the one in b.db.sha256", "is not what its changesets make it"):
        done = daemon.lmaps("restore", "b.db")
        assert (done.returncode, words in done.stderr) == (1, True), done.stderr
        (daemon.directory / "b.db.sha256").unlink(missing_ok=True)
    daemon.start()
    daemon.wait_ready()
    assert len(daemon.data("show", "web")["vhosts"]) == 1


def test_check_replays_the_state_and_leaves_it_as_it_is(daemon: RunningDaemon) -> None:
    daemon.lmaps("create", "web", "--set", "host=a")
    daemon.lmaps("set", "web", "a", "--set", "port=81")
    daemon.end()
    database = daemon.directory / "lmaps.db"
    before = database.read_bytes()

    def check() -> tuple[str, int]:
        done = subprocess.run(
            [BIN / "lmapsd", "--config", daemon.config_file, "--check"],
            capture_output=True,
            text=True,
            env=daemon.environment,
            check=False,
        )
        return done.stdout + done.stderr, done.returncode

    assert check() == ("lmapsd: nothing is wrong\n", 0)
    assert database.read_bytes() == before
    rewrite(database, "UPDATE instance SET document = 1")
    text, code = check()
    assert (code, "instance 1 of web is not what its changesets make it" in text) == (65, True), text
    daemon.start()


def test_what_a_new_unit_text_would_break_is_told(daemon: RunningDaemon) -> None:
    daemon.lmaps("create", "web", "--set", "host=a", "--set", "port=8080")
    (daemon.directory / "new.yaml").write_text(WEB.replace("maximum: 65535", "maximum: 1023"))
    done = daemon.lmaps("unit", "check", "new.yaml", "-o", "table")
    assert done.returncode == 1
    assert "breaks" in done.stdout
    assert "8080 is more than 1023 (1 instance: a)" in done.stdout
    assert done.stderr == "1 file: 0 errors, 0 warnings, 1 impact\n"
    assert daemon.lmaps("unit", "check", "units/unit0.yaml").returncode == 0


def test_who_called_sudo_is_kept_beside_who_the_socket_proves(daemon: RunningDaemon) -> None:
    daemon.environment |= {"SUDO_USER": "bob"}
    daemon.lmaps("create", "web", "--set", "host=a")
    daemon.lmaps("create", "web", "--set", "host=b", "--on-behalf-of", "carol")
    rows = daemon.data("history", "web")
    expected = "bob" if os.geteuid() == 0 else None
    assert [(row["author"], row["on_behalf_of"]) for row in rows] == [(ME, "carol"), (ME, expected)]
    assert [row["door"] for row in rows] == ["cli", "cli"]
