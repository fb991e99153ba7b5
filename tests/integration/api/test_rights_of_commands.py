"""Which rights a command takes: those of its requests, whatever the format of its output."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from lmaps.api.context import AfterCommit, Deferred, RequestContext
from lmaps.cli import app
from lmaps.cli.session import Session
from lmaps.client import Client
from lmaps.config.policy import parse_policy
from lmaps.errors import LmapsError
from lmaps.model.policy import RIGHTS, Policy
from lmaps.model.states import JobKind
from lmaps.protocol import Reply, Request
from lmaps.store import Origin, Transaction
from lmaps.util import times
from tests.in_process import InProcess, respond

UNIT = """\
meta: {name: web, data_type: YamlKeyList, primary_key: id}
params: {type: object, required: [id], properties: {id: {type: string}, text: {type: string}}}
"""
FORMATS = ("table", "yaml", "json", "pretty", "dict", "name")
WITHOUT_A_DAEMON = {"restore", "keygen", "completion"}


class Line(NamedTuple):
    """A command line, the rights that it takes, and its exit code for a subject that has them and no other."""

    line: str
    rights: str
    code: int = 0


LINES = [
    Line("units", "list"),
    Line("explain web", "list"),
    Line("unit check {unit}", "list"),
    Line("status", "list"),
    Line("handlers", "list"),
    Line("discover", "list"),
    Line("doctor --may 61001 show web", "", 1),
    Line("create web -f {document}", "create"),
    Line("create web -f {document} --dry-run", "create", 1),
    Line("create web -f {document} --apply --no-wait", "create apply"),
    Line("create web -f {document} --apply", "create apply", 8),
    Line("create web -f {document} --apply", "create apply list", 8),
    Line("create web -f {document} --apply", "create apply show"),
    Line("create web -f {clash}", "create", 5),
    Line("set web a --set text=new", "create"),
    Line("set web a --set text=new --dry-run", "create", 1),
    Line("set web a --set text=new --if-rev r1", "create", 5),
    Line("delete web a", "create"),
    Line("delete web a --dry-run", "create", 1),
    Line("delete web nothing", "create", 4),
    Line("show web", "show"),
    Line("show web a --instances", "show"),
    Line("show web --reveal", "show reveal"),
    Line("validate web -f {document} --show-defaults", "show"),
    Line("plan web", "apply", 1),
    Line("plan web -f {document}", "apply create", 1),
    Line("plan web --check", "apply", 8),
    Line("apply web --no-wait", "apply"),
    Line("apply web", "apply", 8),
    Line("apply web", "apply show"),
    Line("apply web -f {document} --dry-run", "apply create", 1),
    Line("confirm web", "apply", 5),
    Line("jobs", "show"),
    Line("job 1", "show"),
    Line("logs 1", "show"),
    Line("attach 1", "show"),
    Line("wait 1", "show"),
    Line("wait web --for applied", "show", 1),
    Line("cancel 2", "cancel"),
    Line("request k", "show"),
    Line("request k --wait", "show"),
    Line("history", "show"),
    Line("history web --diff", "show"),
    Line("diff web r1 r2", "show", 1),
    Line("blame web", "show"),
    Line("rollback web", "rollback"),
    Line("rollback web --dry-run", "rollback", 1),
    Line("rollback web --apply", "rollback apply", 8),
    Line("rollback web --apply", "rollback apply show"),
    Line("rollback web --apply --no-wait", "rollback apply"),
    Line("redo web", "rollback"),
    Line("revert web r2", "rollback"),
    Line("revert web r2 --dry-run", "rollback", 1),
    Line("export", "export"),
    Line("import {export}", "import"),
    Line("import {export} --mode replace", "import", 5),
    Line("import {export} --dry-run", "import", 1),
    Line("migrate --from-store {tree} --unit empty", "import"),
    Line("backup {backup}", "admin"),
    Line("audit", "admin"),
    Line("reload", "admin"),
    Line("--list-units", "list"),
    Line("--show-summary --unit web", "show"),
    Line("--create --unit web --file {document}", "create"),
    Line("--apply --unit web", "apply", 8),
    Line("--rollback --unit web", "rollback"),
    Line("--discover ipc:///nowhere", "list"),
]


def test_every_command_is_tried() -> None:
    tried = {line.split()[0] for line, *_ in LINES if not line.startswith("-")}
    assert tried | WITHOUT_A_DAEMON == app.COMMANDS.keys()


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.line}: {line.rights}")
def test_the_format_changes_neither_rights_nor_exit_code(world: "World", line: Line) -> None:
    outcomes = {form: world.run(line, form) for form in FORMATS}
    assert {form: code for form, (code, _) in outcomes.items()} == dict.fromkeys(FORMATS, line.code), outcomes


def test_doctor_needs_the_same_rights_in_every_format(world: "World") -> None:
    """Its exit code depends on the host."""
    assert len({world.run(Line("doctor", "list"), form)[0] for form in FORMATS}) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_a_right_less_is_too_few_in_every_format(world: "World", form: str) -> None:
    for line in LINES:
        for right in line.rights.split():
            # Without list too, a job is not there: then 4 would be the answer.
            others = {*line.rights.split(), *(["list"] if "list" not in line.rights else [])} - {right}
            fewer = line._replace(rights=" ".join(others))
            code, text = world.run(fewer, form)
            assert code == 8, (line, right, text)


@pytest.mark.parametrize(
    ("line", "patch"),
    [
        ("create web -f {document} --dry-run", [{"op": "add", "path": "/b"}]),
        ("set web a --set text=new --dry-run", [{"op": "replace", "path": "/a"}]),
        ("delete web a --dry-run", [{"op": "remove", "path": "/a"}]),
    ],
)
def test_a_dry_run_names_instances_without_the_right_show(world: "World", line: str, patch: list[Any]) -> None:
    _, text = world.run(Line(line, "create"), "json")
    assert json.loads(text.splitlines()[0]) == [operation | {"path": f"/web{operation['path']}"} for operation in patch]
    _, table = world.run(Line(line, "create"), "table")
    assert table.splitlines()[0].split() == [
        {"add": "+", "replace": "~", "remove": "-"}[patch[0]["op"]],
        patch[0]["path"][1:],
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_without_the_right_show_a_job_is_queued_and_its_number_told(world: "World", form: str) -> None:
    code, text = world.run(Line("apply web --no-wait", "apply"), form)
    assert (code, "3" in text) == (0, True), text
    code, text = world.run(Line("apply web", "apply"), form)
    assert (code, "job 3" in text) == (8, True), text


class World:
    """A state, asked by the command line as one subject; no call leaves anything behind."""

    def __init__(self, directory: Path) -> None:
        self.lmaps = InProcess(directory / "state", f"{UNIT}---\n{UNIT.replace('name: web', 'name: empty')}")
        for text in ("older", "newer"):
            self.lmaps.call("import", units=[{"unit": "web", "instances": [{"id": "a", "text": text}]}])
        self.files = {name: str(directory / name) for name in ("unit", "document", "clash", "export", "tree", "backup")}
        Path(self.files["unit"]).write_text(UNIT)
        Path(self.files["document"]).write_text("id: b\n")
        Path(self.files["clash"]).write_text("id: a\n")
        export = {"lmaps": "export", "version": 1, "units": [{"unit": "web", "instances": [{"id": "b"}]}]}
        Path(self.files["export"]).write_text(json.dumps(export))
        (directory / "tree" / "current").mkdir(parents=True)
        (directory / "tree" / "current" / "1.yaml").write_text("id: c\n")
        with self.lmaps.store.transaction() as tx:
            for unit, state in (("web", "succeeded"), ("empty", "queued")):
                job = tx.jobs.add(unit, JobKind.APPLY, 1, "digest", Origin("somebody"))
                tx.jobs.update(job.id, state=state)
        self.copy = directory / "copy"
        self.lmaps.store.copy_to(str(self.copy))

    def run(self, line: Line, form: str) -> tuple[int, str]:
        """The exit code of ``lmaps LINE -o FORM`` for a subject with these rights, and what it prints."""
        client = _Client(self.lmaps, line, self.copy)
        out, err = io.StringIO(), io.StringIO()
        words = [word.format(**self.files) for word in line.line.split()]
        words = ["-o", form, *words] if not line.line.startswith("-") else [*words, "--format", form]
        with self.lmaps.store.transaction() as client.tx, client.tx.discarded(), pytest.raises(SystemExit) as ended:
            client.prepare()
            app.start(words, Session(client=cast("Client", client), stdout=out, stderr=err))
        return cast("int", ended.value.code), out.getvalue() + err.getvalue()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("commands"))
    with made.lmaps:
        yield made


class _Client:
    """What the command line has for a client: it asks in the same process, as a subject with the rights of a line."""

    endpoint, timeout, reach_within = "ipc://here", 30.0, 3.0
    tx: Transaction

    def __init__(self, lmaps: InProcess, line: Line, copy: Path) -> None:
        rights = line.rights.split() or "none"
        everywhere = [{"subjects": "uid:61001", "rights": rights, "units": "*"}]
        self._granted = Policy(parse_policy(json.dumps(everywhere), "policy.yaml"))
        self._all = Policy(parse_policy(json.dumps([everywhere[0] | {"rights": list(RIGHTS)}]), "policy.yaml"))
        self._lmaps, self._line, self._copy = lmaps, line, copy

    def prepare(self) -> None:
        """Make what the line is about: a request under a key, a change to redo."""
        self._lmaps.service.policy = self._all
        if "redo" in self._line.line:
            self.ask(Request("rollback", {"unit": "web"}))
        if "request" in self._line.line:
            self.ask(Request("set", {"unit": "web", "id": "a", "unset": ["/text"]}, key="k"))
        self._lmaps.service.handlers = {"noop": {"preview": "full", "args_schema": {}}}
        self._lmaps.service.policy = self._granted

    def ask(self, request: Request) -> Reply:
        context = RequestContext(self._lmaps.service, self.tx, self._lmaps.service.policy.subject(61001, 62999))
        try:
            answer = respond(context, json.loads(request.encode()))
        except LmapsError as error:
            answer = Reply.refusal(error)
        if isinstance(answer, Deferred):
            for job in self.tx.jobs.queued():
                self.tx.jobs.update(job.id, state="succeeded", started_at=times.now(), ended_at=times.now())
            answer = answer.resume(self.tx)
        if isinstance(answer, AfterCommit):
            file = self._copy.open("rb")
            self._lmaps.service.copies["x"] = file
            digest, size = hashlib.file_digest(file, "sha256").hexdigest(), self._copy.stat().st_size
            answer = Reply("", extra={"backup": "x", "size": size, "sha256": digest})
        assert isinstance(answer, Reply)
        return Reply.from_json(json.loads(answer.encode()))

    def close(self) -> None:
        """Nothing is open."""
