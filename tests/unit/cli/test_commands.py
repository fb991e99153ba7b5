"""Each command: the request it sends and the text it prints, with a stand-in for the daemon."""

import io
import json
import os
import stat
import subprocess
import sys
from types import SimpleNamespace

import pytest

from lmaps.cli import app, render
from lmaps.cli.diffs import all_lines
from lmaps.cli.documents import read_documents
from lmaps.cli.session import Session
from lmaps.errors import Finding, NotAllowed, UsageError, ValidationFailed
from lmaps.model.diff import Difference
from lmaps.protocol import Reply
from lmaps.protocol.views import InstanceDiff
from lmaps.util import yamlio

JOB = {
    "job": 1, "unit": "web", "kind": "apply", "revision": 4, "state": "succeeded", "rc": 0,
    "summary": {"ok": 3, "changed": 2, "failed": 0, "unknown": 0}, "error": None, "author": "me", "on_behalf_of": None,
    "door": "api", "message": None, "ticket": None, "queued_at": "2026-11-23T10:00:00.000000Z",
    "started_at": "2026-11-23T10:00:01.000000Z", "ended_at": "2026-11-23T10:00:04.100000Z", "covered_by": None, "place": None,
    "outcome": "succeeded", "after": None, "timeout": None, "repeats": None, "undoes": None, "over": True,
    "confirmation": None, "confirm_deadline": None, "previous_revision": None, "undone_by": None,
}  # fmt: skip
UNIT = {
    "unit": "web", "type": "YamlKeyList", "handler": "noop", "instances": 1, "revision": 4, "applied": None, "condition": "pending 1",
}  # fmt: skip
PROPERTIES = [
    {"path": "host", "type": "string", "required": True, "limits": "a valid hostname", "description": "The name."},
    {"path": "port", "type": "integer", "required": False, "default": 80, "limits": "", "description": None},
]
CREATED = {"id": "a", "short": "a", "result": "created", "revision": 4}
ROWS = [{"id": "a", "short": "a", "revision": 4, "given": {"host": "a"}, "completed": {"host": "a", "port": 80}}]
LINES = [
    {"number": 1, "at": "t", "stream": "event", "text": "TASK [x]", "event": {"event": "start"}},
    {"number": 2, "at": "t", "stream": "output", "text": "done"},
]

ANSWERS = {
    "units": Reply("", extra={"units": [UNIT], "errors": []}),
    "explain": Reply("", extra={"unit": "web", "description": "A vhost.", "type": "T", "handler": "noop", "properties": PROPERTIES, "schema": {"type": "object"}}),
    "create": Reply("", extra={"instances": [CREATED]}, revision=4),
    "apply": Reply("job 1", extra={"job": JOB | {"state": "queued"}, "instances": [CREATED]}, job=1),
    "job": Reply("", extra={"job": JOB}),
    "jobs": Reply("", extra={"jobs": [JOB]}),
    "rollback": Reply("", extra={"undone": 3, "target": 3, "removing": [{"host": "b"}], "before": [1], "after": [2], "changes": [{"sign": "-", "id": "b", "short": "b"}], "applied": 1, "pending": True}, revision=4),
    "export": Reply("exported 1 unit, 1 instance at r4", extra={"revision": 4, "units": [{"unit": "web", "type": "YamlList", "store_key": "root", "primary_key": None, "instances": [{"a": "no"}], "undone": [{"b": 1}]}]}),
    "validate": Reply("", extra={"instances": [{"id": "a", "short": "a", "completed": {"host": "a", "port": 80}}]}),
    "handlers": Reply("", extra={"handlers": [{"type": "noop", "doc": "Nothing.", "preview": "full"}, {"type": "bad", "error": "boom"}]}),
    "reload": Reply("reloaded 1 unit, 0 changed", extra={"units": ["web"], "changed": []}),
    "discover": Reply("schema", extra={"verbs": {}}),
    "unit_check": Reply("1 error, 0 warnings", level=1, extra={"units": [], "warnings": []}, errors=(Finding("bad", ("meta",), file="f", line=1, column=2),)),
    "status": Reply("", extra={"version": "1", "pid": 2, "supervisor": 1, "uptime": 3.0, "db": "/db", "revision": 4, "endpoints": ["ipc:///s"], "workers": [{"slot": 1, "pid": 3, "state": "idle", "job": None}], "queue": 0, "units": [{"unit": "web", "handler": "noop", "secrets": False, "revision": 4, "applied": 3, "condition": "in sync"}], "errors": []}),
}  # fmt: skip


class StandIn:
    """Answers as the daemon would, and remembers what it was asked."""

    timeout = 30.0
    reach_within = 3.0

    def __init__(self):
        self.asked = []
        self.answers = dict(ANSWERS)

    def ask(self, request):
        self.asked.append((request.verb, request.args))
        if request.verb == "lines":
            lines = [line for line in LINES if line["number"] > request.args["after"]]
            return Reply("", extra={"lines": lines, "job": JOB, "more": False})
        if request.verb == "show":
            instances = (
                {"instances": ROWS}
                if request.args.get("instances")
                else {"state": {"root": [{"host": "a", "port": 80}]}}
            )
            return Reply("", extra={"unit": "web", "primary_key": "host", **instances})
        return self.answers[request.verb]

    def close(self):
        pass


@pytest.fixture
def daemon():
    return StandIn()


@pytest.fixture
def lmaps(daemon):
    """Run ``lmaps`` against the stand-in: exit code, stdout, stderr."""

    def run(*args, terminal=False):
        out, err = io.StringIO(), io.StringIO()
        out.isatty = lambda: terminal
        with pytest.raises(SystemExit) as ended:
            app.start(list(args), Session(client=daemon, stdout=out, stderr=err))
        return SimpleNamespace(code=ended.value.code, out=out.getvalue(), err=err.getvalue())

    return run


TABLE = """\
UNIT  TYPE         HANDLER  INSTANCES  REVISION  APPLIED  CONDITION
web   YamlKeyList  noop     1          r4        -        pending 1
"""


@pytest.mark.parametrize(
    ("line", "asked", "out"),
    [
        ("units -o table", ("units", {}), TABLE),
        ("list-units -o name", ("units", {}), "web\n"),
        ("-o json units", ("units", {}), json.dumps([UNIT]) + "\n"),
        ("units --format=dict", ("units", {}), f"{[UNIT]!r}\n"),
        ("create web --set host=7 -m why --ticket T -o table",
         ("create", {"unit": "web", "instances": [{}], "texts": [{"path": "/host", "text": "7"}], "message": "why", "ticket": "T"}), "created  a  r4\n"),
        ("create --set port=7 -u web -o name", ("create", {"unit": "web", "instances": [{}], "texts": [{"path": "/port", "text": "7"}]}), "a\n"),
        ("show web", ("show", {"unit": "web", "ids": [], "reverse": False}), "root:\n- host: a\n  port: 80\n"),
        ("show-summary --unit web a -o table", ("show", {"unit": "web", "ids": ["a"], "instances": True}), "ID  PORT\na   80\n"),
        ("show web --instances -o table", ("show", {"unit": "web", "ids": [], "instances": True}), "ID  REV  PORT\na   r4   80\n"),
        ("jobs web --state failed -o name", ("jobs", {"unit": "web", "state": "failed", "limit": 20}), "1\n"),
        ("logs 1", ("lines", {"job": 1, "after": 0}), "TASK [x]\ndone\n"),
        ("logs 1 --since 1", ("lines", {"job": 1, "after": 1}), "done\n"),
        ("logs 1 --events", ("lines", {"job": 1, "after": 0}), '{"event": "start"}\n'),
        ("rollback web -o table", ("rollback", {"unit": "web", "states": False}), "r4: rolled back r3 (-b); web is pending, applied is r1: lmaps apply web\n"),
        ("handlers -o table", ("handlers", {}), "HANDLER  PREVIEW  WHAT IT DOES\nnoop     full     Nothing.\nbad      -        cannot be loaded: boom\n"),
        ("discover -o json", ("discover", {}), '{"verbs": {}}\n'),
        ("explain web.port -o name", ("explain", {"unit": "web", "property": "port"}), "host\nport\n"),
        ("--list-units", ("units", {}), "- web\n"),
        ("-l --format json", ("units", {}), '["web"]\n'),
        ("--show-summary --unit web", ("show", {"unit": "web"}), "root:\n- host: a\n  port: 80\n"),
        ("-s -u web -o dict", ("show", {"unit": "web"}), "{'root': [{'host': 'a', 'port': 80}]}\n"),
        ("--rollback --unit web --format json", ("rollback", {"unit": "web", "states": True}), '{"removing": [{"host": "b"}], "before": [1], "after": [2]}\n'),
        ("--discover ipc:///x --format json", ("discover", {}), '{"verbs": {}}\n'),
    ],
)  # fmt: skip
def test_what_is_asked_and_what_is_printed(lmaps, daemon, line, asked, out):
    done = lmaps(*line.split())
    assert (done.out, done.code) == (out, 0), done.err
    assert daemon.asked[-1] == asked


def test_apply_shows_the_output_and_the_outcome(lmaps, daemon):
    done = lmaps("apply", "web", "-o", "table")
    assert done.code == 0
    assert done.out == ""
    assert done.err == (
        "job 1: apply web r4\n   1  TASK [x]\n   2  done\n"
        "job 1 succeeded in 3.1 s: ok 3, changed 2, failed 0, unknown 0; web applied r4\n"
    )
    assert json.loads(lmaps("apply", "web", "-o", "json").out) == JOB


@pytest.mark.parametrize(("state", "code"), [("failed", 6), ("timed_out", 7), ("cancelled", 7), ("interrupted", 7)])
def test_the_exit_code_tells_how_a_job_ended(lmaps, monkeypatch, state, code):
    monkeypatch.setitem(JOB, "state", state)
    monkeypatch.setitem(JOB, "outcome", state)
    monkeypatch.setitem(JOB, "error", "the handler ended with exit code 3")
    monkeypatch.setitem(JOB, "rc", 3)
    assert lmaps("apply", "web").code == code
    assert lmaps("attach", "1").code == code
    assert lmaps("--apply", "--unit", "web").code == (3 if state == "failed" else code)


def test_words_go_to_stderr_and_quiet_keeps_them(lmaps):
    assert lmaps("reload").err == "reloaded 1 unit, 0 changed\n"
    assert lmaps("reload", "-q").err == ""
    assert lmaps("-q", "reload").out == ""


def test_a_refused_document_is_told_with_its_place(lmaps, daemon, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "www.yaml").write_text("host: a\n---\nprot: 1\ntls: maybe\n")
    findings = (
        Finding("'maybe' is not a boolean", ("tls",), document=1),
        Finding("unknown property; did you mean port?", ("prot",), on_key=True, document=1),
    )
    refusal = ValidationFailed("cannot create in web: 2 errors, nothing was changed", errors=findings)
    daemon.answers["create"] = Reply.refusal(refusal)
    done = lmaps("create", "web", "-f", "www.yaml")
    assert done.code == 3
    assert done.err == (
        "cannot create in web: www.yaml has 2 errors, nothing was changed\n"
        "  www.yaml:3:1  $.prot  unknown property; did you mean port?\n"
        "  www.yaml:4:6  $.tls   'maybe' is not a boolean\n"
    )
    told = json.loads(lmaps("create", "web", "-f", "www.yaml", "-o", "json").out)
    assert (told["code"], told["errors"][0]["line"]) == ("invalid", 3)


def test_unit_check_sends_the_texts(lmaps, daemon, tmp_path):
    (tmp_path / "u.yaml").write_text("meta: {name: a}\n")
    done = lmaps("unit", "check", str(tmp_path), "-o", "table")
    assert daemon.asked == [("unit_check", {"files": [{"name": f"{tmp_path}/u.yaml", "text": "meta: {name: a}\n"}]})]
    assert done.code == 1
    assert done.out == "PLACE  KIND   PATH    FINDING\nf:1:2  error  $.meta  bad\n"


def test_offline_commands_show_no_secret(lmaps, tmp_path):
    unit, document = tmp_path / "vault.yaml", tmp_path / "document.yaml"
    unit.write_text("meta: {name: vault}\nparams: {properties: {pin: {writeOnly: true, default: canary}, n: {}}}\n")
    for text in ("{pin: canary, n: 1}", "{n: 1}"):
        document.write_text(text)
        validated = lmaps("validate", "-f", str(document), "--offline", str(unit), "--show-defaults", "-o", "json")
        assert json.loads(validated.out) == {"pin": {"$secret": "set"}, "n": 1}
        assert "canary" not in validated.err


def test_offline_commands_ask_nobody(lmaps, daemon, tmp_path):
    unit, good, bad = tmp_path / "u.yaml", tmp_path / "good.yaml", tmp_path / "bad.yaml"
    unit.write_text("meta: {name: a}\nparams: {properties: {x: {type: integer, default: 1}}}\n")
    good.write_text("{}")
    bad.write_text("x: y\n")
    assert lmaps("unit", "check", "--offline", str(unit)).code == 0
    assert lmaps("validate", "-f", str(good), "--offline", str(unit), "--show-defaults").out == "x: 1\n"
    refused = lmaps("validate", "a", "-f", str(bad), "--offline", str(unit))
    assert (refused.code, refused.err.splitlines()[1]) == (3, f"  {bad}:1:4  $.x  'y' is not an integer")
    assert daemon.asked == []


@pytest.mark.parametrize(("form", "read"), [("--yaml", yamlio.load), ("--json", json.loads)])
def test_pages_of_an_export_are_written_as_one(lmaps, daemon, form, read):
    def row(unit, *documents):
        return {"unit": unit, "type": "YamlList", "store_key": "root", "instances": list(documents)}

    pages = {
        0: ([row("a", {"n": "it's 1"})], {"units": ["a", "b", "c"], "revisions": [4, 4, 4], "after": 1}),
        1: ([row("a", {"n": 2}), row("b"), row("c", {"n": 3})], {"units": ["c"], "revisions": [4], "after": 3}),
        3: ([row("c")], None),
    }
    daemon.ask = lambda request: Reply(
        "", extra=dict(zip(("units", "next"), pages[request.args.get("after", 0)], strict=True)) | {"revision": 4}
    )
    found = lmaps("export", form)
    assert found.err == "exported 3 units, 3 instances at r4\n"
    value = read(found.out)
    units = value["units"] if form == "--json" else [each.value for each in value[1:]]
    assert units == [row("a", {"n": "it's 1"}, {"n": 2}), row("b"), row("c", {"n": 3})]


@pytest.mark.parametrize("form", ["--yaml", "--json"])
def test_an_export_that_is_refused_writes_nothing(lmaps, daemon, form):
    daemon.answers["export"] = Reply.refusal(NotAllowed("me has no right reveal on web"))
    refused = lmaps("export", form, "--reveal")
    assert (refused.code, refused.out) == (8, "")


def test_export_to_a_stream_a_file_and_a_tree(lmaps, tmp_path):
    assert lmaps("export", "--yaml").out == (
        "---\nlmaps: export\nversion: 1\n"
        "---\nunit: web\ntype: YamlList\nstore_key: root\nprimary_key: null\ninstances:\n- a: 'no'\n"
    )
    assert json.loads(lmaps("export", "--json").out)["units"][0]["instances"] == [{"a": "no"}]
    target = tmp_path / "state.yaml"
    assert lmaps("export", "--output", str(target)).code == 0
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["state.yaml"]
    assert lmaps("export", "--tree", str(tmp_path / "t")).code == 0
    [current] = (tmp_path / "t/web/current").iterdir()
    [rolled_back] = (tmp_path / "t/web/rollback").iterdir()
    assert (current.read_text(), rolled_back.read_text()) == ("a: 'no'\n", "b: 1\n")
    again = lmaps("export", "--tree", str(tmp_path / "t"))
    assert (again.code, "it exists already" in again.err) == (2, True)
    assert lmaps("export", "--output", "/nothing/here").code == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("frobnicate", "there is no command frobnicate"),
        ("statuz", "did you mean status?"),
        ("show", "no unit is named"),
        ("create web", "no document is given"),
        ("create web -f /nothing", "cannot read /nothing: No such file"),
        ("create web -f a --set b=c", "use one of them"),
        ("create web --set =b", "expected PROPERTY=VALUE"),
        ("units -o xml", "invalid value for"),
        ("jobs --limit 0", "invalid value for"),
        ("logs x", "invalid value for"),
        ("units --frob", "no such option"),
        ("--create --unit web", "name it with --file"),
        ("--apply", "name it with --unit"),
        ("--rollback", "name it with --unit"),
        ("--show-summary", "name it with --unit"),
        ("export --tree x --json", "--tree goes alone"),
    ],
)
def test_usage_errors_are_one_sentence_and_exit_2(lmaps, line, words):
    done = lmaps(*line.split())
    assert done.code == 2
    assert words in done.err.splitlines()[0].lower() or words in done.err
    assert "Traceback" not in done.err


def test_an_error_of_our_own_is_told_without_a_traceback(lmaps, daemon, own_home, monkeypatch):
    monkeypatch.setattr("os.getuid", lambda: 7)
    daemon.answers["status"] = None
    log = own_home / ".local/state/lmaps/lmaps-crash.log"
    log.parent.mkdir(parents=True)
    (own_home / "aim").write_text("kept")
    log.symlink_to(own_home / "aim")
    mask = os.umask(0)
    try:
        done = lmaps("status")
    finally:
        os.umask(mask)
    assert (stat.S_IMODE(log.lstat().st_mode), (own_home / "aim").read_text()) == (0o600, "kept")
    assert done.code == 1
    assert done.err.startswith("cannot go on: an error in lMaPS itself")
    assert "Traceback" in (own_home / ".local/state/lmaps/lmaps-crash.log").read_text()


@pytest.mark.parametrize("command", [*app.COMMANDS, *app.ALIASES])
def test_every_command_has_help_with_an_example(command, capsys):
    group = app.get_parser()
    with pytest.raises(SystemExit) as ended:
        group.main([command, "--help"], prog_name="lmaps")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "Usage: lmaps" in text
    assert command == "unit" or "Examples:" in text


HELP = """
import sys, click
def ask(command):
    try: command(["--help"])
    except SystemExit: pass
ask(click.Group("hello"))
before = set(sys.modules)
from lmaps.cli import app as shell
ask(shell.start)
print(*sorted(set(sys.modules) - before))
"""


def test_help_imports_little_beside_click():
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    rooms = (
        "cli",
        "cli.app",
        "cli.options",
        "cli.render",
        "cli.session",
        "errors",
        "util",
        "util.lazy",
        "util.terminal",
    )
    assert done.stdout.splitlines()[-1].split() == ["lmaps", *(f"lmaps.{room}" for room in rooms)]
    assert "rollback" in done.stdout


def test_no_command_imports_the_store_or_jsonschema():
    code = "import sys, importlib\nfrom lmaps.cli import app as shell\nimport lmaps.client, lmaps.util.yamlio\n"
    code += "for name in shell.COMMANDS: shell.LazyGroup().get_command(None, name)\n"
    code += "print([name for name in ('sqlalchemy', 'alembic', 'jsonschema', 'lmaps.store', 'lmaps.handlers') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_documents_from_files_directories_and_lists(tmp_path):
    (tmp_path / "b.yaml").write_text("n: 2\n---\nn: 3\n")
    (tmp_path / "a.json").write_text('[{"n": 0}, {"n": 1}]')
    (tmp_path / "c.txt").write_text("not looked at")
    given = read_documents([str(tmp_path)])
    assert [one.value["n"] for one in given] == [0, 1, 2, 3]
    assert given[1].locate(Finding("x", ("n",))).place == f"{tmp_path}/a.json:1:18"
    assert given[3].locate(Finding("x", ("n",))).place == f"{tmp_path}/b.yaml:3:4"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="cannot find a document"):
        read_documents([str(tmp_path / "empty")])


def test_a_terminal_is_not_commanded():
    hostile = "a\x1b[31m\x07\u202e"
    assert render.table_lines(render.Table(("ID",), [(hostile,)])) == ["ID", "a\\x1b[31m\\x07\\u202e"]


def test_wide_characters_do_not_shift_the_columns_of_a_diff():
    rows = [
        InstanceDiff("~", name, name, "k", [Difference(("port",), 80, 81), Difference(("tls",), False, True)])
        for name in ("日本", "abc", "e\u0301", "\t")
    ]
    assert all_lines(rows)[::2] == [
        "~ 日本  port: 80 -> 81",
        "~ abc   port: 80 -> 81",
        "~ e\u0301     port: 80 -> 81",
        r"~ \t    port: 80 -> 81",
    ]
    assert set(all_lines(rows)[1::2]) == {"        tls: false -> true"}


def test_a_long_value_is_cut_by_its_columns():
    assert render.short("日" * 31) == "日" * 28 + "..."
    assert render.short("日" * 30) == "日" * 30


def test_print_response(capsys):
    app.print_response({"a": None})
    app.print_response({"a": None}, "json")
    app.print_response({"a": None}, format="yaml")
    assert capsys.readouterr().out == "{'a': None}\n{\"a\": null}\na: null\n"


@pytest.mark.parametrize(("options", "seconds"), [((), 3.0), (("--wait",), 30.0)])
def test_status_gives_a_daemon_that_starts_the_whole_timeout_if_told_to_wait(lmaps, daemon, options, seconds):
    assert lmaps("status", *options).code == 0
    assert daemon.reach_within == seconds
