"""Text that would command a terminal, reorder what stands on it, or hide: no command prints it, in no format."""

import contextlib
import io
import json
import subprocess
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lmaps.api.registry import ENDPOINTS
from lmaps.cli import app
from lmaps.cli.session import CLEAR_LINE, DIM, PLAIN, Session
from lmaps.errors import Conflict, Finding, LmapsError
from lmaps.model.states import ChangesetKind
from lmaps.protocol import Reply, Request
from lmaps.store import Document, Edit, Origin
from lmaps.util import yamlio
from tests.daemons import BIN, RunningDaemon
from tests.in_process import InProcess

HIDDEN = {
    character
    for character in map(chr, range(0x110000))
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
}
SENDABLE = "".join(sorted(character for character in HIDDEN if not "\ud800" <= character <= "\udfff"))
"""Every hidden character that JSON can carry, those first that forge a line and a prompt."""
HOSTILE = f"\nFORGED\n\x1b]0;x\x07{SENDABLE}日本\t\N{ADHESIVE BANDAGE}"
IN_NAMES = HOSTILE.replace("\0", "").replace("/", "")
UNIT = {
    "meta": {"name": "t", "primary_key": "k"},
    "handler": {"type": "noop", "name": HOSTILE},
    "params": {
        "type": "object",
        "description": HOSTILE,
        "required": ["k"],
        "properties": {
            "k": {"type": "string"},
            "v": {"description": HOSTILE, "default": HOSTILE},
            "p" + HOSTILE: {"enum": [1, HOSTILE], "description": HOSTILE},
            "password": {"type": "string", "writeOnly": True},
        },
    },
}
EMPTY_UNIT = {"meta": {"name": "empty"}, "handler": {"type": "noop"}, "params": {"type": "object"}}
BAD_UNIT = {
    "meta": {"name": "bad", HOSTILE: 1, "primary_key": HOSTILE, "store_key": 1},
    "handler": {"type": HOSTILE},
    "params": {"type": "object", "properties": {HOSTILE: {"pattern": "(" + HOSTILE, "minimum": HOSTILE}}},
}
NOT_TEXT = {
    "state", "kind", "confirmation", "confirm_deadline", "outcome", "at", "queued_at", "started_at", "ended_at", "changed_at",
    "sign", "stream", "type", "sha256", "data", "backup", "code", "path", "op", "pid", "result", "verdict",
}  # fmt: skip
"""Fields that the client reads itself: their values are not free text."""


def poisoned(value: Any, name: str = "", text: str = HOSTILE) -> Any:
    """Return an answer's data with hostile text behind every text in it."""
    if isinstance(value, dict):
        return {key: poisoned(below, key, text) for key, below in value.items()}
    if isinstance(value, list):
        return [poisoned(item, name, text) for item in value]
    return value + text if isinstance(value, str) and name not in NOT_TEXT else value


class Poisoning:
    """A client whose daemon answers with hostile text wherever an answer has text, or refuses everything with it."""

    endpoint = "ipc:///nowhere"
    timeout = 30.0
    reach_within = 1.0

    def __init__(self, daemon: InProcess) -> None:
        self.daemon = daemon
        self.refusing = False
        self.asked: set[str] = set()
        self._answers: dict[str, Reply] = {}

    def ask(self, request: Request) -> Reply:
        self.asked.add(request.verb)
        if self.refusing:
            findings = [Finding(HOSTILE, (HOSTILE, 0), file=IN_NAMES, line=1, column=2, hint=HOSTILE, got=HOSTILE)]
            return Reply.refusal(Conflict(HOSTILE, errors=findings * 2, hint=HOSTILE, extra={"x": HOSTILE}))
        question = json.dumps([request.verb, request.args])
        if question not in self._answers:
            self._answers[question] = self._answer(request)
        answer = self._answers[question].to_json()
        if request.verb in ("backup", "backup_read"):
            return Reply.from_json(answer)
        text = IN_NAMES if request.verb == "status" else HOSTILE  # the doctor looks for the files that it names
        if request.verb == "export" and request.args.get("at") == "r1":  # for --tree: the name of a directory
            text = ""
        if request.verb == "units":
            answer["extra"]["errors"] = [Finding("text", ("at",), file="file", line=1, column=1).to_json()]
        return Reply.from_json(poisoned(answer, text=text) | {"id": None})

    def _answer(self, request: Request) -> Reply:
        if request.verb in CANNED:
            job = self.daemon.call("job", job=1).extra["job"]
            return Reply("text", extra=CANNED[request.verb] | {"job": job, "answer": {}})
        try:
            reply = self.daemon.call(request.verb, key=request.key, **request.args)
        except LmapsError as error:
            return Reply.refusal(error)
        if reply.job is not None:
            run_job(self.daemon, reply.job)
        return reply

    def close(self) -> None:
        """Nothing is open."""


CANNED: dict[str, dict[str, Any]] = {
    "confirm": {},
    "wait": {"true": False},
    "import_history": {},
    "request": {"state": "done", "key": "k", "verb": "create", "unit": "t"},
    "plan_check": {},
    "handlers": {"handlers": [{"type": "a", "preview": "full", "doc": "text"}, {"type": "b", "error": "text"}]},
}
"""Answers that take a host, another state, or a plugin."""


def run_job(daemon: InProcess, number: int) -> None:
    """Take the place of a worker: hostile output and events, and a hostile reason for the failure."""
    event = {"event": "playbook_on_task_start", "host": HOSTILE, "task": HOSTILE, HOSTILE: [HOSTILE]}
    line = "line" + HOSTILE.replace("\n", "")
    with daemon.store.transaction() as tx:
        if tx.jobs.find(number).state == "queued":
            rows: list[dict[str, Any]] = [
                {"at": "2026-11-23T10:00:00.000000Z", "stream": "output", "text": line},
                {"at": "2026-11-23T10:00:00.000000Z", "stream": "event", "text": line, "event": event},
            ]
            tx.jobs.add_lines(number, 1, rows)
            tx.jobs.end(number, state="failed", rc=1, error=HOSTILE, started_at="2026-11-23T10:00:00.000000Z")


def story(daemon: InProcess) -> None:
    """Fill the state: stored before such IDs were refused, and by somebody of a hostile name."""
    unit = daemon.service.units.units["t"]
    with daemon.store.transaction() as tx:
        number = tx.instances.definition("t", unit.digest, unit.text)
        text = json.dumps({"k": HOSTILE, "v": HOSTILE, "p" + HOSTILE: HOSTILE, HOSTILE: HOSTILE})
        edit = Edit(None, Document(HOSTILE, text, text, number, secret=False))
        origin = Origin(HOSTILE, HOSTILE, message=HOSTILE, ticket=HOSTILE)
        tx.changesets.record("t", ChangesetKind.CREATE, origin, [edit], None)
    reason = {"message": HOSTILE, "ticket": HOSTILE, "on_behalf_of": HOSTILE}
    daemon.call("create", unit="t", instances=[{"k": "a", "v": 1, "password": "x"}, {"k": "日本"}], **reason)
    daemon.call("set", unit="t", id="a", set=[{"path": "/v", "value": {HOSTILE: HOSTILE}}], **reason)
    run_job(daemon, daemon.call("apply", unit="t", **reason).job or 0)
    daemon.call("delete", unit="t", ids=[HOSTILE], **reason)
    daemon.call("rollback", unit="t", **reason)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[InProcess]:
    with InProcess(
        tmp_path / "daemon", yamlio.dump_all([UNIT, EMPTY_UNIT]).removeprefix("---\n"), author="me" + HOSTILE
    ) as made:
        story(made)
        yield made


def calls(directory: Path) -> dict[str, list[list[str]]]:
    """Return the calls of every command; their arguments and files are hostile where they may be."""
    name = IN_NAMES[:60]
    documents, bad, unit, broken = (directory / f"{name}{end}" for end in ("d.json", "b.yaml", "u.yaml", "x.yaml"))
    documents.write_text(json.dumps([{"k": "n", "v": HOSTILE, HOSTILE: [HOSTILE]}]))
    bad.write_text(yamlio.dump({"k": HOSTILE, "v": 1}))
    unit.write_text(yamlio.dump(BAD_UNIT))
    broken.write_text("k: [\n")
    good = directory / "good.yaml"
    good.write_text(yamlio.dump(UNIT))
    export = directory / "export.json"
    export.write_text(
        json.dumps({"lmaps": "export", "version": 1, "units": [{"unit": "t", "instances": [{"k": "i"}]}]})
    )
    history = directory / "history.json"
    rows: dict[str, Any] = {"unit": "t", "instances": [], "definitions": {}, "history": []}
    history.write_text(json.dumps({"lmaps": "export", "version": 1, "units": [rows]}))
    current = directory / "old" / "current"
    current.mkdir(parents=True)
    (current / "1.000000.yaml").write_text(yamlio.dump({"v": HOSTILE}))
    reason = ["-m", HOSTILE, "--ticket", HOSTILE, "--on-behalf-of", HOSTILE]
    file = str(documents)
    return {
        "units": [["units"], ["units", "--errors"], ["units", HOSTILE]],
        "explain": [["explain", "t"], ["explain", "t", "--schema"], ["explain", HOSTILE]],
        "unit": [["unit", "check", str(unit)], ["unit", "check", "--offline", str(unit)], ["unit", "check", name]],
        "create": [
            ["create", "t", "-f", file, *reason],
            ["create", "t", "-f", str(bad)],
            ["create", "t", "-f", str(broken)],
            ["create", "t", "--set", "k=b", "--set", f"v={HOSTILE}", "--apply"],
            ["create", "t", "--set", "=" + HOSTILE],
            ["create", "t", "-f", file, "--dry-run"],
        ],
        "set": [["set", "t", HOSTILE, "--set", "v=1"], ["set", "t", "a", "--set", f"{HOSTILE}=1", "--dry-run"]],
        "delete": [["delete", "t", HOSTILE, "--dry-run"], ["delete", "t", "n" + HOSTILE]],
        "show": [["show", "t"], ["show", "t", HOSTILE], ["show", "t", "--instances"], ["show", "t", "--at", HOSTILE]],
        "validate": [
            ["validate", "t", "-f", file, "--show-defaults"],
            ["validate", "-f", str(bad), "--offline", str(good)],
            ["validate", "-f", file, "--offline", str(good), "--show-defaults"],
            ["validate", "-f", file, "--offline", str(unit)],
        ],
        "plan": [["plan", "t"], ["plan", "t", "-f", file], ["plan", "t", "--check"]],
        "apply": [["apply", "t", *reason], ["apply", "t", "-f", file], ["apply", "t", "--no-wait"]],
        "jobs": [["jobs"], ["jobs", "t"]],
        "job": [["job", "1"]],
        "logs": [["logs", "1"], ["logs", "1", "--events"], ["logs", "1", "--tail", "1"]],
        "attach": [["attach", "1"]],
        "confirm": [["confirm", "t"], ["confirm", "t", "--rollback"]],
        "wait": [["wait", "1"], ["wait", "t", "--for", "applied"], ["wait", HOSTILE]],
        "cancel": [["cancel", "1"], ["cancel", HOSTILE]],
        "request": [["request", HOSTILE]],
        "history": [["history"], ["history", "t", "--diff"], ["history", "--since", HOSTILE]],
        "diff": [["diff", "t", "r1", "@"], ["diff", "t", "r3", "r1", "--stat"], ["diff", "t", HOSTILE]],
        "blame": [["blame", "t"], ["blame", "t", HOSTILE], ["blame", "t", "/v"]],
        "rollback": [["rollback", "t", "--dry-run"], ["rollback", "t"], ["rollback", "t", "--to", HOSTILE]],
        "redo": [["redo", "t"]],
        "revert": [["revert", "t", "r2"], ["revert", "t", "r3", "--dry-run"]],
        "export": [
            ["export"],
            ["export", "--json"],
            ["export", "--history", "--reveal"],
            ["export", "t", "--tree", str(directory / "tree"), "--at", "r1"],
            ["export", "--output", str(directory / name / "x")],
        ],
        "import": [["import", str(export)], ["import", file], ["import", str(history)], ["import", str(export), "--dry-run"]],
        "migrate": [["migrate", "--from-store", str(directory / "old"), "--unit", "empty"], ["migrate", "--from-config", name]],
        "backup": [["backup", str(directory / f"{name}.db")], ["backup", str(directory / name / "x")]],
        "restore": [["restore", name], ["restore", file]],
        "status": [["status"]],
        "doctor": [["doctor"], ["doctor", "--may", HOSTILE, "apply", "t"], ["doctor", "--may", "uid:0", "apply", "t"]],
        "keygen": [["keygen", str(directory / f"{name}.key"), "--comment", HOSTILE]],
        "audit": [["audit"], ["audit", "t"]],
        "handlers": [["handlers"]],
        "reload": [["reload"]],
        "discover": [["discover"]],
        "completion": [["completion", "bash"]],
        "": [
            ["--list-units"],
            ["--create", "--file", file, "--unit", "t"],
            ["--apply", "--unit", "t"],
            ["--rollback", "--unit", "t"],
            ["--show-summary", "--unit", "t"],
            ["--version"],
            [HOSTILE],
            ["show", f"--{HOSTILE}"],
            ["wait", "1", "--timeout", HOSTILE],
        ],
    }  # fmt: skip


class Terminal(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def run(client: Poisoning, args: Sequence[str], *, terminal: bool) -> str:
    """Return everything that a call of ``lmaps`` prints, without what lMaPS itself sends to terminals."""
    streams = Terminal(terminal=terminal), Terminal(terminal=terminal)
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]), pytest.raises(SystemExit):
        app.start(list(args), Session(client, *streams))  # type: ignore[arg-type]
    text = "".join(stream.getvalue() for stream in streams)
    for own in (DIM, PLAIN, CLEAR_LINE) if terminal else ():
        text = text.replace(own, "")
    return text


def faults(text: str) -> list[str]:
    """Return what a terminal should not get of this text, and the lines that a value has forged."""
    raw = sorted(character for character in set(text) & HIDDEN if character != "\n")
    return [*(f"U+{ord(character):04X}" for character in raw), *(["a forged line"] if "\nFORGED" in text else [])]


@pytest.mark.parametrize("form", [None, "table", "name", "yaml", "json", "pretty", "dict"])
def test_no_command_prints_a_hidden_character(daemon: InProcess, tmp_path: Path, form: str | None) -> None:
    client = Poisoning(daemon)
    everything = calls(tmp_path)
    assert everything.keys() == app.COMMANDS.keys() | {""}
    faulty, silent = {}, []
    for command, lines in everything.items():
        printed = ""
        for line in lines:
            for client.refusing in (False, True):
                text = run(client, [*line, "-v", *(["-o", form] if form else [])], terminal=form is None)
                assert "an error in lMaPS itself" not in text, text
                printed += "" if client.refusing else text
                if found := faults(text):
                    faulty[" ".join(line)[:60], client.refusing] = found[:5]
        if not any(escape in printed for escape in ("\\x1b", "\\u001b", "\\e")):
            silent.append(command)
    assert faulty == {}
    # The names of jobs and changesets are numbers.
    assert form == "name" or set(silent) <= {"completion"}, "they show nothing of the hostile text: the walk is blind"


def test_the_walk_asks_every_endpoint(daemon: InProcess, tmp_path: Path) -> None:
    client = Poisoning(daemon)
    for lines in calls(tmp_path).values():
        for line in lines:
            run(client, line, terminal=False)
    assert client.asked == ENDPOINTS.keys()


OUTPUT = bytes(range(1, 256)) + f"\0\nline {HOSTILE.replace(chr(10), '')}\n".encode()
PRINTING = {
    "meta": {"name": "loud", "primary_key": "k"},
    "handler": {"type": "command", "args": {"argv": ["sh", "-c", "cat $HOME/output; cat $HOME/output >&2; exit 3"]}},
    "params": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"enum": [HOSTILE]}}},
}
REASON = ("-m", IN_NAMES, "--ticket", IN_NAMES, "--on-behalf-of", IN_NAMES)


@pytest.mark.parametrize("form", [None, "table", "json", "yaml"])
def test_a_real_job_prints_none(start_daemon: Callable[..., RunningDaemon], form: str | None) -> None:
    daemon = start_daemon(yamlio.dump(PRINTING), log={"level": "debug"})
    (daemon.directory / "output").write_bytes(OUTPUT)
    (daemon.directory / "in.json").write_text(json.dumps([{"k": "é\u200d\u200b", "v": HOSTILE, HOSTILE: HOSTILE}]))
    (daemon.directory / "bad.json").write_text(json.dumps([{"k": HOSTILE}, {"k": "b", "v": HOSTILE + "x"}]))
    (daemon.unit_dir / "bad.yaml").write_text(yamlio.dump(BAD_UNIT))
    printed = ""
    for line, code in {
        ("reload",): 3,
        ("units", "--errors"): 0,
        ("create", "loud", "-f", "in.json", *REASON): 0,
        ("create", "loud", "-f", "bad.json"): 3,
        ("apply", "loud", *REASON): 6,
        ("logs", "1"): 0,
        ("attach", "1"): 6,
        ("job", "1"): 0,
        ("history", "loud", "--diff"): 0,
        ("show", "loud", "é\u200d\u200b", "--instances"): 0,
        ("delete", "loud", IN_NAMES): 4,
        ("audit",): 0,
    }.items():
        done = daemon.lmaps(*line, *(["-o", form] if form else []))
        assert done.returncode == code, done
        assert faults(done.stdout + done.stderr) == [], line
        printed += done.stdout + done.stderr
    assert printed.count("FORGED") > 10
    assert faults(daemon.output()) == []
    assert "FORGED" in daemon.output()


def test_lmapsd_prints_none(tmp_path: Path) -> None:
    units = tmp_path / IN_NAMES[:60]
    units.mkdir()
    (units / "bad.yaml").write_text(yamlio.dump(BAD_UNIT))
    (units / f"{IN_NAMES[:60]}.yaml").write_text("meta: [")
    unknown = tmp_path / "unknown.yaml"
    unknown.write_text(yamlio.dump({HOSTILE: 1, "db": [HOSTILE], "workers": HOSTILE}))
    good = tmp_path / "good.yaml"
    good.write_text(yamlio.dump({"unit_dirs": [str(units)], "db": "x.db", "user": "root"}))
    for args in (["--config", good], ["--config", unknown], ["--config", IN_NAMES[:60]], [IN_NAMES], [f"--{IN_NAMES}"]):
        done = subprocess.run([BIN / "lmapsd", "--check", *args], capture_output=True, cwd=tmp_path, timeout=30)
        assert done.returncode in (2, 78), done
        text = (done.stdout + done.stderr).decode()
        assert faults(text) == []
        assert "FORGED" in text
