"""A secret is shown nowhere: not in data, words, logs, diffs, exports; and comes back whole where it is asked for."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemons import RunningDaemon, until

Start = Callable[..., RunningDaemon]

CANARY, SECOND = "canary-one-äö", 'canary-two-"quoted"'
UNIT = """\
meta: {name: db, primary_key: id, strict: true, unique: [/password]}
handler:
  type: command
  args: {argv: [sh, -c, 'cat; cat >&2 {state}; tr "," "\\n" < {state}; env; cat /proc/$$/cmdline', "{state}"]}
params:
  type: object
  required: [id]
  properties:
    id: {type: string}
    password: {type: string, writeOnly: true, minLength: 3, maxLength: 40}
    keys: {type: array, items: {type: object, properties: {pin: {type: string, x-lmaps-secret: true}, n: {type: integer}}}}
---
meta: {name: show, primary_key: id}
params: {type: object, required: [id], properties: {id: {type: string}, pin: {type: string, writeOnly: true}}}
"""


@pytest.fixture
def daemon(start_daemon: Start) -> RunningDaemon:
    return start_daemon(UNIT.replace("{state} ", "").replace(" < {state}", "").replace(', "{state}"', ""))


def document(password: str) -> str:
    return json.dumps({"id": "a", "password": password, "keys": [{"pin": f"{password}-pin", "n": 1}]})


def test_no_output_has_a_secret(daemon: RunningDaemon) -> None:
    said = ""

    def run(*args: str, stdin: str = "", code: int = 0) -> str:
        nonlocal said
        done = daemon.lmaps(*args, stdin=stdin)
        assert done.returncode == code, done.stderr
        said += done.stdout + done.stderr
        return done.stdout

    run("create", "db", "-f", "-", stdin=document(CANARY))
    assert json.loads(run("show", "db", "-o", "json"))[0] == {
        "id": "a", "password": {"$secret": "set"}, "keys": [{"pin": {"$secret": "set"}, "n": 1}],
    }  # fmt: skip
    run("show", "db", "-o", "table")
    run("show", "db", "--instances", "-o", "json")
    run("plan", "db", "-o", "table", code=1)
    run("apply", "db")
    run("logs", "1")
    run("logs", "1", "--events")
    run("set", "db", "a", "-f", "-", stdin=document(SECOND))
    assert run("diff", "db", "r1", "r2", "-o", "table", code=1) == (
        "~ a  password: (secret) -> (changed)\n     keys.0.pin: (secret) -> (changed)\n"
    )
    run("diff", "db", "r1", "r2", "-o", "json", code=1)
    assert "password: (secret) -> (changed)" in run("diff", "db", "r2", "r1", "-o", "table", code=1)
    run("history", "db", "--diff", "-o", "table")
    run("history", "db", "--diff", "-o", "json")
    run("blame", "db", "-o", "table")
    run("blame", "db", "-o", "json")
    run("rollback", "db", "--dry-run", "-o", "json", code=1)
    run("rollback", "db", "-o", "json")
    run("redo", "db", "-o", "json")
    run("export")
    run("export", "--json")
    run("export", "--history", code=5)
    run("export", "--tree", "tree")
    said += "".join(path.read_text() for path in (daemon.directory / "tree").rglob("*") if path.is_file())
    run("set", "db", "a", "--set", "password=x", code=3)
    run("create", "db", "-f", "-", stdin=document(SECOND).replace('"a"', '"b"'), code=5)
    run("set", "db", "a", "--set", "password=canary-two-third")
    run("revert", "db", "r2", code=5)
    run("validate", "db", "-f", "-", "--show-defaults", stdin=document(CANARY))
    run("jobs", "-o", "json")
    run("job", "1", "-o", "json")
    (daemon.directory / "new.yaml").write_text(UNIT.partition("---")[0].replace("writeOnly: true, ", ""))
    run("unit", "check", "new.yaml", code=1)
    said += daemon.output()
    for canary in ("canary-one", "canary-two"):
        place = said.find(canary)
        assert place < 0, said[max(0, place - 300) : place + 100]
    assert "(secret)" in said


def test_a_handler_that_prints_the_state_prints_no_secret(daemon: RunningDaemon) -> None:
    daemon.lmaps("create", "show", "--set", "id=a", "--set", "pin=1234")
    done = daemon.lmaps("apply", "show")
    assert (done.returncode, "1234" in done.stderr, "$secret" in done.stderr) == (0, False, True)


def test_whoever_asks_to_reveal_gets_them_back(daemon: RunningDaemon, tmp_path: Path) -> None:
    daemon.lmaps("create", "db", "-f", "-", stdin=document(SECOND))
    assert daemon.data("show", "db", "--reveal")[0]["password"] == SECOND
    [unit, _] = daemon.data("export", "--json", "--reveal")["units"]
    assert unit["instances"][0]["keys"][0]["pin"] == f"{SECOND}-pin"
    masked, whole = daemon.lmaps("export").stdout, daemon.lmaps("export", "--reveal").stdout
    same = daemon.lmaps("import", "-", "-o", "table", stdin=masked)
    assert (same.returncode, same.stdout) == (0, "unchanged  a  r1\n"), same.stderr
    daemon.lmaps("delete", "db", "a")
    gone = daemon.lmaps("import", "-", stdin=masked)
    assert gone.returncode == 3
    assert "$.password     this is the mask of a secret" in gone.stderr
    assert daemon.lmaps("import", "-", stdin=whole).returncode == 0
    assert daemon.data("show", "db", "--reveal")[0]["password"] == SECOND
    edited = json.dumps({"id": "a", "password": {"$secret": "set"}, "keys": []})
    assert daemon.lmaps("set", "db", "a", "-f", "-", stdin=edited).returncode == 0
    assert daemon.data("show", "db", "--reveal") == [{"id": "a", "password": SECOND, "keys": []}]
    assert daemon.lmaps("export", "--history", "--reveal").returncode == 0


def test_a_daemon_with_a_state_key_keeps_nothing_in_plain_text(start_daemon: Start) -> None:
    daemon = start_daemon(UNIT, state_key="state.key", wait=False)
    assert "cannot read the state_key" in until(lambda: daemon.process.poll() is not None and daemon.output())
    key = daemon.directory / "state.key"
    key.write_text("A" * 43 + "=\n")
    key.chmod(0o600)
    daemon.start()
    daemon.wait_ready()
    daemon.lmaps("create", "db", "-f", "-", stdin=document("canary-one"))
    daemon.lmaps("set", "db", "a", "-f", "-", stdin=document("canary-two"))
    refused = daemon.lmaps("create", "db", "--set", "id=b", "--set", "password=canary-two")
    assert (refused.returncode, "has to be unique" in refused.stderr) == (5, True)
    daemon.lmaps("rollback", "db")
    assert daemon.lmaps("backup", "b.db").returncode == 0
    daemon.end()
    files = [path for path in daemon.directory.iterdir() if path.name.startswith(("lmaps.db", "b.db"))]
    assert not [path for path in files if b"canary" in path.read_bytes()]
    daemon.start()
    daemon.wait_ready()
    assert daemon.data("show", "db", "--reveal")[0]["password"] == "canary-one"
