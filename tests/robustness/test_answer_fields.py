"""Rights on content: endpoint by right by field of its answer, against an oracle that knows nothing of lMaPS.

The oracle is written from the words of docs/how-to/control-access.md. Every field that occurs in an answer has to be in
it, so a new field of an answer needs a decision who may see it.
"""

import itertools
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lmaps.api.context import AfterCommit, Deferred
from lmaps.api.registry import ENDPOINTS, RequestContext, Slot
from lmaps.config.policy import parse_policy
from lmaps.errors import Finding, LmapsError, UnitRefused
from lmaps.model.policy import RIGHTS, Policy, Subject
from lmaps.model.states import JobKind
from lmaps.model.units import load_units_from
from lmaps.protocol import VERSION, Reply
from lmaps.store import Origin
from lmaps.util.jsonio import JsonObject
from tests.in_process import InProcess, respond

Figure = Callable[[str, str], None]

# What there is to see

UNIT = """\
meta: {name: NAME, data_type: YamlKeyList, primary_key: id, unique: [/port]}
params:
  type: object
  required: [id]
  properties:
    id: {type: string}
    text: {type: string, maxLength: 40}
    port: {type: integer}
    tags: {type: object, additionalProperties: {type: string, maxLength: 40}}
    pin: {type: string, writeOnly: true}
"""
NARROW = UNIT.replace("maxLength: 40", "maxLength: 5")
"""The unit after a change: what is stored does not fit it any more."""
TAGS = {
    "seen-author": "show",
    "seen-message": "show",
    "seen-ticket": "show",
    "seen-value": "show",
    "seen-key": "show",
    "4711": "show",
    "seen-output": "show",
    "seen-fault": "list",
    "seen-secret": "reveal",
    "hidden": "never",
}
"""Contents by the texts that stand for them, and the right that they take in a field that else everybody sees.

``hidden`` is the name of a unit on which the subject has no right at all, and is part of whatever is about it.
"""
Steps = tuple[tuple[str, JsonObject], ...]


def content(name: str, value: str, port: int) -> JsonObject:
    return {
        "id": name,
        "text": f"seen-value {value}",
        "port": port,
        "tags": {"seen-key": f"seen-value {value}"},
        "pin": "seen-secret",
    }


class Case(NamedTuple):
    """A request, with the rights that it takes, the code of its refusal, and what is done ``before`` it.

    ``key``: it is sent a second time under its key, ``text``: the unit has this text by then, ``is_fresh``: nothing is
    stored yet. The subject has its rights on every unit (``everywhere``) or on web alone. ``findings`` is the right that
    the places and values in the findings take.
    """

    verb: str
    takes: str
    args: JsonObject
    before: Steps = ()
    code: str | None = None
    key: bool = False
    text: str = UNIT
    is_fresh: bool = False
    everywhere: bool = False
    findings: str = ""


def case(verb: str, takes: str, *before: tuple[str, JsonObject], unit: str | None = "web", **args: Any) -> Case:
    """Arguments that are no fields of a case are those of the request."""
    fields = {name: args.pop(name) for name in Case._fields if name in args}
    named = {} if unit is None else {"unit": unit}
    return Case(verb, takes, named | {name.rstrip("_"): value for name, value in args.items()}, before, **fields)


OWN = {"id": "b", "text": "own", "pin": "own"}
ROLLBACK = ("rollback", {"unit": "web"})
WAITING: tuple[str, JsonObject] = ("waiting", {})
RUNNING: tuple[str, JsonObject] = ("running", {})
FAULTY: tuple[str, JsonObject] = ("faulty", {})
LATER = ("set", {"unit": "web", "id": "a", "set": [{"path": "/text", "value": "seen-value later"}]})
OTHERWISE = ("set", {"unit": "web", "id": "a", "set": [{"path": "/id", "value": "a"}, {"path": "/extra", "value": 1}]})
TAKEN = ("create", {"unit": "web", "instances": [content("d", "taken", 4711)]})
DELETED = ("delete", {"unit": "web", "ids": ["a"]})
FILE = {"name": "web.yaml", "text": NARROW.replace("NAME", "web")}
CASES = [
    case("create", "create", instances=[OWN]),
    case("create", "create", instances=[OWN], dry_run=True),
    case("create", "create apply", RUNNING, instances=[OWN], apply={}),
    case("create", "create apply", RUNNING, instances=[OWN], apply={}, key=True),
    case("create", "create", instances=[{"id": "a"}], code="exists"),
    case("create", "create", instances=[{"id": "b", "text": 1}], code="invalid"),
    case("create", "create", instances=[{"id": "b", "port": 80}], code="rule-broken"),
    case("create", "create", instances=[OWN], if_rev="r1", code="outdated"),
    case("create", "create", WAITING, instances=[OWN], code="pending-confirm"),
    case("create", "create", FAULTY, instances=[OWN], code="unit-unusable"),
    case("create", "create", unit="refused", instances=[OWN], code="not-found"),
    case("create", "create apply", instances=[OWN], apply={}, text=NARROW, code="unit-unusable", findings="show"),
    case("set", "create", id="a", instance={"id": "a"}),
    case("set", "create", id="a", instance={"id": "a"}, dry_run=True),
    case("set", "create", id="a", set=[{"path": "/port", "value": 7}], text=NARROW, code="invalid", findings="show"),
    case("set", "create", id="a", set=[{"path": "/port", "value": "x"}], code="invalid"),
    case("set", "create", id="c", unset=["/text"], if_rev="r1", code="outdated"),
    case("delete", "create", ids=["a"]),
    case("delete", "create", ids=["a"], dry_run=True),
    case("delete", "create", ids=["a"], if_rev="r1", code="outdated"),
    case("delete", "create", ids=["z"], code="not-found"),
    case("rollback", "rollback", states=True),
    case("rollback", "rollback", states=True, key=True),
    case("rollback", "rollback", dry_run=True),
    case("rollback", "rollback apply", RUNNING, apply={}),
    case("rollback", "rollback", to="r1"),
    case("rollback", "rollback", ROLLBACK, ROLLBACK, ROLLBACK, ROLLBACK),
    case("rollback", "rollback", to="r999", code="not-found"),
    case("redo", "rollback", ROLLBACK, states=True),
    case("redo", "rollback", ROLLBACK, dry_run=True),
    case("revert", "rollback", revision="r2", states=True),
    case("revert", "rollback", revision="r2", states=True, key=True),
    case("revert", "rollback", LATER, revision="r2", code="revert-conflict", findings="show"),
    case("revert", "rollback", DELETED, revision="r2", code="revert-conflict", findings="show"),
    case("revert", "rollback", TAKEN, revision="r2", code="rule-broken"),
    case("revert", "rollback", OTHERWISE, revision="r2", text=NARROW, code="invalid", findings="show"),
    case("revert", "rollback", revision="r4", code="not-found"),
    case("apply", "apply", RUNNING),
    case("apply", "apply create", instances=[OWN]),
    case("apply", "apply create", instances=[OWN], dry_run=True),
    case("apply", "apply", WAITING, code="pending-confirm"),
    case("apply", "apply", text=NARROW, code="unit-unusable", findings="show"),
    case("plan", "apply"),
    case("plan", "apply create", instances=[OWN]),
    case("plan_check", "apply"),
    case("confirm", "apply", WAITING),
    case("confirm", "apply", WAITING, rollback=True),
    case("confirm", "apply", code="conflict"),
    case("cancel", "cancel", unit=None, job="QUEUED"),
    case("cancel", "cancel", unit=None, job="ENDED"),
    case("show", "show"),
    case("show", "show", ids=["a"], instances=True, at="r1"),
    case("show", "show reveal", instances=True, reveal=True),
    case("validate", "show", instances=[OWN]),
    case("validate", "show", instances=[{"id": 1}], code="invalid"),
    case("history", "show", unit=None, diff=True),
    case("diff", "show", from_="r1"),
    case("blame", "show"),
    case("jobs", "show", RUNNING, unit=None),
    case("job", "show", unit=None, job="ENDED"),
    case("job", "show", RUNNING, unit=None, job="QUEUED"),
    case("lines", "show", unit=None, job="ENDED"),
    case("wait", "show", for_="applied"),
    case("wait", "show", for_="rev=r1"),
    case("wait", "show", WAITING, for_="confirmed"),
    case("request", "show", unit=None, key_="kept"),
    case("request", "show", unit=None, key_="of another", code="not-found"),
    case("export", "export", ROLLBACK, unit=None),
    case("export", "export reveal", unit=None, reveal=True, history=True),
    case("export", "export", unit=None, limit=1),
    case("import", "import", unit=None, units=[{"unit": "web", "instances": [OWN]}]),
    case("import", "import", unit=None, units=[{"unit": "web", "instances": [OWN]}], dry_run=True),
    case(
        "import",
        "import",
        unit=None,
        units=[{"unit": "web", "instances": [OWN]}],
        mode="replace",
        code="too-many-deletions",
    ),
    case("import", "import", unit=None, units=[{"unit": "web", "instances": [OWN]}], mode="replace", max_deletes=9),
    case(
        "import_history",
        "import",
        unit=None,
        units=[{"unit": "web", "history": [], "definitions": {}}],
        code="conflict",
    ),
    case(
        "import_history", "import", unit=None, units=[{"unit": "web", "history": [], "definitions": {}}], is_fresh=True
    ),
    case("migrate", "import", current=[OWN], code="invalid"),
    case("migrate", "import", current=[OWN], is_fresh=True),
    case("units", "list", FAULTY, unit=None),
    case("explain", "list"),
    case("explain", "list", unit="web2", code="not-found"),
    case("unit_check", "list", unit=None, files=[FILE]),
    case("status", "list", RUNNING, FAULTY, unit=None),
    case("status", "list", RUNNING, FAULTY, unit=None, everywhere=True),
    case("handlers", "list", unit=None),
    case("discover", "list", unit=None),
    case("may", "", unit=None, who="uid:61001", do="show", on="web"),
    case("reload", "admin", unit=None, everywhere=True),
    case("audit", "admin", unit=None, everywhere=True),
    case("backup", "admin", unit=None, everywhere=True),
    case("backup_read", "admin", unit=None, backup="copy", offset=0, everywhere=True),
]

# The oracle

EVERY = {"message": "", "level": "", "code": "", "revision": "", "job": "", "extra.hint": ""}
"""Of every answer. An empty text stands for the rights that the request itself takes."""
FINDINGS = {"at[]": "findings", "got.**": "findings", "allowed.**": "findings", "property": "findings"}
ROW = dict.fromkeys(("id", "short", "result", "revision", "unit"), "")
DIFF = {**dict.fromkeys(("sign", "id", "short", "named_by", "unit"), ""), "differences.**": "show"}
JOB = {
    **dict.fromkeys(
        "job unit kind revision state rc queued_at started_at ended_at covered_by timeout repeats undoes confirmation "
        "confirm_deadline previous_revision outcome over place undone_by.job undone_by.revision undone_by.state".split(),
        "",
    ),
    **dict.fromkeys("author on_behalf_of door message ticket error summary.** after.**".split(), "show"),
}


def below(place: str, fields: dict[str, str]) -> dict[str, str]:
    return {f"{place}.{name}": right for name, right in fields.items()}


def whole(right: str, names: str) -> dict[str, str]:
    """Fields that take ``right`` with all that is in them."""
    return {f"extra.{name}.**": right for name in names.split()}


WRITE = {
    **below("extra.instances[]", ROW),
    **below("extra.diff[]", DIFF),
    "extra.dry_run": "",
    **below("extra.job", JOB),
}
UNDO = {
    **WRITE,
    **dict.fromkeys(("extra.undone", "extra.target", "extra.applied", "extra.pending", "extra.nothing"), ""),
    **dict.fromkeys((f"extra.changes[].{name}" for name in ("sign", "id", "short")), ""),
    **whole("show", "removing before after"),
}
FIELDS: dict[str, dict[str, str]] = {
    **dict.fromkeys(("create", "set", "delete", "apply", "plan_check", "confirm", "cancel"), WRITE),
    **dict.fromkeys(("rollback", "redo", "revert"), UNDO),
    "import": WRITE | {"extra.deletions[].unit": "", "extra.deletions[].id": ""},
    "import_history": {"extra.units[]": "", "extra.changesets": ""},
    "migrate": WRITE | {"extra.undone": ""},
    "plan": {
        **below("extra.diff[]", DIFF),
        **dict.fromkeys((f"extra.{name}" for name in "version unit applied desired add change delete".split()), ""),
    },
    "show": whole("show", "unit type primary_key revision applied state instances"),
    "validate": whole("show", "instances"),
    "history": whole("show", "changesets"),
    "diff": whole("show", "unit from to added changed deleted diff"),
    "blame": whole("show", "unit values"),
    "jobs": whole("show", "jobs"),
    "job": whole("show", "job"),
    "lines": whole("show", "job lines more last"),
    "wait": whole("show", "job true"),
    "request": whole("show", "state key verb unit at answer job"),
    "export": whole("export", "units revision next"),
    "units": whole("list", "units errors"),
    "explain": whole("list", "unit description type handler properties schema"),
    "unit_check": whole("list", "units warnings") | whole("show reveal", "impacts"),
    "status": {
        **whole(
            "list", "version versions pid supervisor uptime db revision changed_at commit_seconds degraded endpoints"
        ),
        **whole("list", "settings workers queue units errors"),
        **whole("everywhere", "counters"),
    },
    "handlers": whole("list", "handlers"),
    "discover": whole("list", "version verbs legacy"),
    "may": dict.fromkeys((f"extra.{name}" for name in "allowed why subject right unit".split()), ""),
    "reload": whole("admin", "units changed"),
    "audit": whole("admin", "audit"),
    "backup": whole("admin", "backup size sha256"),
    "backup_read": whole("admin", "data last"),
}
"""Of each endpoint the fields of its answer, and the rights that they take beside those of the request itself."""
NOT_ALWAYS = (
    "errors[].message",
    "errors[].path",
    "errors[].hint",
    "errors[].document",
    "errors[].file",
    "extra.warnings.**",
)
"""Fields that may be there for fewer rights too, with less in them."""


def right_of(case: Case, path: str) -> str | None:
    """The rights that a field takes; None if nobody has decided who may see it."""
    fields = EVERY | below("errors[]", FINDINGS) | dict.fromkeys(NOT_ALWAYS, "")
    fields |= whole("show", "diff") if case.code == "outdated" else FIELDS[case.verb]
    for pattern, right in fields.items():
        stem = pattern.removesuffix(".**")
        if path == stem or (stem != pattern and path.startswith((f"{stem}.", f"{stem}["))):
            return case.findings if right == "findings" else right
    return None


def may_see(case: Case, rights: set[str], path: str, tag: str) -> bool:
    """What the oracle says of a kind of content in a field."""
    taken = set((right_of(case, path) or "").split())
    if tag == "hidden":
        taken |= set() if case.everywhere else {"never"}
    elif tag == "seen-secret" or (tag and not taken):
        taken |= {TAGS[tag]}
    return taken <= rights | ({"everywhere"} if case.everywhere else set())


def is_certain(path: str) -> bool:
    return not any(path.startswith(pattern.removesuffix(".**")) for pattern in NOT_ALWAYS)


# Asking

POLICY_UNITS = ["web", "web2", "refused"]
SUBJECT = 61001
BOSS = Subject("lmapsd", "seen-author", frozenset({"lmapsd"}))
REASON = {"message": "seen-message", "ticket": "seen-ticket", "on_behalf_of": "seen-author"}


class World:
    """A state with contents of every kind in a unit that the subject may use, and in one that it may not even list."""

    def __init__(self, directory: Path, *, is_fresh: bool) -> None:
        self.lmaps = InProcess(directory, "---\n".join(UNIT.replace("NAME", name) for name in ("web", "hidden")))
        self.lmaps.subject = BOSS
        self.lmaps.service.handlers = {"noop": {"preview": "full", "args_schema": {}}}
        self.lmaps.service.slots = {number: Slot(number, b"", 100 + number) for number in (1, 2)}
        self.text = UNIT
        self.jobs: dict[str, int] = {}
        if is_fresh:
            return
        with self.lmaps.store.transaction() as self.tx:
            self.do("create", unit="web", instances=[content("a", "older", 4711), content("c", "other", 80)])
            self.do("set", unit="web", id="a", instance=content("a", "newer", 4712))
            self.do("create", unit="hidden", instances=[content("hidden", "older", 1)])
            self.do("set", unit="hidden", id="hidden", instance=content("hidden", "newer", 2))
            self.jobs["ENDED"] = self.job("web", 1, "seen-author", state="cancelled")
            self.jobs["APPLIED"] = self.job("web", 1, "seen-author", state="succeeded")
            line = {
                "at": "2026-01-01T00:00:00.000000Z",
                "stream": "stdout",
                "text": "seen-output",
                "event": {"x": "seen-output"},
            }
            self.tx.jobs.add_lines(self.jobs["ENDED"], 1, [line])
            self.job("hidden", 3, "hidden-author", state="queued")
            self.jobs["QUEUED"] = self.job("web", 2, "seen-author", state="queued")

    def job(self, unit: str, revision: int, author: str, state: str, **columns: object) -> int:
        job = self.tx.jobs.add(unit, JobKind.APPLY, revision, "digest", Origin(author, **REASON))
        ended = (
            {}
            if state in ("queued", "running")
            else {"rc": 3, "error": "seen-output, 0 processes left", "summary": {"changed": 1}}
        )
        self.tx.jobs.update(job.id, state=state, started_at="2026-01-01T00:00:00.000000Z", **ended, **columns)
        return job.id

    def do(self, verb: str, *, key: str | None = None, **args: Any) -> Reply:
        """What the daemon's own subject asks for."""
        return self.ask(BOSS, verb, args | (REASON if ENDPOINTS[verb].writes else {}), key)

    def ask(self, subject: Subject, verb: str, args: JsonObject, key: str | None = None) -> Reply:
        request = {"v": VERSION, "verb": verb, "args": args, **({"key": key} if key else {})}
        context = RequestContext(self.lmaps.service, self.tx, subject)
        answer = respond(context, json.loads(json.dumps(request)))
        if isinstance(answer, AfterCommit):
            return Reply("copied", extra={"backup": "copy", "size": 1, "sha256": "x"})
        assert not isinstance(answer, Deferred)
        return answer

    def answer(self, case: Case, rights: set[str], then: Callable[[], None] | None = None) -> JsonObject:
        with self.lmaps.store.transaction() as self.tx:
            return self.run(case, rights, then)

    def run(self, case: Case, rights: set[str], then: Callable[[], None] | None = None) -> JsonObject:
        """The answer to a subject with these rights on the unit ``web``, or on all; nothing of it is kept."""
        service = self.lmaps.service
        lines = [
            {
                "subjects": f"uid:{SUBJECT}",
                "rights": sorted(rights) or "none",
                "units": "*" if case.everywhere else POLICY_UNITS,
            }
        ]
        everything = Policy(parse_policy(json.dumps([lines[0] | {"rights": "all", "units": "*"}]), "policy.yaml"))
        with self.tx.discarded():
            service.policy = everything
            subject = everything.subject(SUBJECT, 62999)
            self.load(UNIT)
            for verb, args in case.before:
                getattr(self, verb)() if hasattr(self, verb) else self.do(verb, **args)
            if case.verb == "request":
                self.ask(subject, "rollback", {"unit": "web", "states": True, "apply": {}}, "kept")
                self.do("rollback", unit="hidden", key="of another")
            if case.verb == "backup_read":
                service.copies["copy"] = BytesIO(b"whole state")
            if then is not None:
                then()
            self.load(case.text)
            args = {name: self.jobs.get(value, value) if name == "job" else value for name, value in case.args.items()}
            if case.key:
                self.ask(subject, case.verb, args, "again")
            service.policy = Policy(parse_policy(json.dumps(lines), "policy.yaml"))
            try:
                reply = self.ask(service.policy.subject(SUBJECT, 62999), case.verb, args, "again" if case.key else None)
            except LmapsError as error:
                reply = Reply.refusal(error)
            self.clear()
            self.tx.session.audit_entries = []
        answer: JsonObject = json.loads(reply.encode())
        return answer

    def load(self, text: str) -> None:
        loaded = load_units_from((f"{name}.yaml", text.replace("NAME", name)) for name in ("web", "hidden"))
        refused = [
            UnitRefused("", errors=[Finding(f"seen-fault {name}", file=f"{name}.yaml")], extra={"unit": name})
            for name in ("refused", "hidden-refused")
        ]
        self.lmaps.service.units = replace(loaded, errors=tuple(refused))

    def waiting(self) -> None:
        """A job of web waits for confirmation."""
        self.job(
            "web",
            2,
            "seen-author",
            state="succeeded",
            confirmation="waiting",
            previous_revision=1,
            confirm_deadline="2030-01-01T00:00:00.000000Z",
            confirm_within=60,
        )

    def running(self) -> None:
        """A job of web runs, and one of the hidden unit."""
        for number, unit, author in ((1, "web", "seen-author"), (2, "hidden", "hidden-author")):
            slot = self.lmaps.service.slots[number]
            slot.token, slot.job = "token", self.job(unit, 2, author, state="running")

    def faulty(self) -> None:
        """The handlers are broken."""
        self.lmaps.service.faults = {"web": [Finding("seen-fault")], "hidden": [Finding("hidden")]}

    def busy(self) -> None:
        """Much happens to the hidden unit."""
        self.lmaps.service.faults.pop("hidden", None)
        self.do("create", unit="hidden", instances=[content("hidden-2", "new", 3)])
        self.job("hidden", 4, "hidden-author", state="queued")
        self.job("hidden", 4, "hidden-author", state="failed")
        slot = self.lmaps.service.slots[2]
        slot.token, slot.job = "token", self.job("hidden", 4, "hidden-author", state="running")
        self.lmaps.service.faults["hidden"] = [Finding("hidden")]
        self.lmaps.service.counters.requests += 1

    def clear(self) -> None:
        self.lmaps.service.faults.clear()
        for slot in self.lmaps.service.slots.values():
            slot.token = slot.job = None


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, World]]:
    made = {is_fresh: World(tmp_path_factory.mktemp("fields"), is_fresh=is_fresh) for is_fresh in (False, True)}
    with made[False].lmaps, made[True].lmaps:
        yield made


def seen(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """The fields of an answer that have a value, each with the kinds of contents in it."""
    if value in (None, [], {}):
        return
    if isinstance(value, dict):
        for name, below in value.items():
            # A name may be content too: that of a property.
            part = next((tag for tag in TAGS if tag in name), name)
            yield from seen(below, f"{path}.{part}".lstrip("."))
        return
    if isinstance(value, list):
        for item in value:
            yield from seen(item, f"{path}[]")
        return
    yield path, ""
    for tag in TAGS:
        if tag in str(value):
            yield path, tag


def test_every_endpoint_is_asked() -> None:
    assert {case.verb for case in CASES} == FIELDS.keys() == ENDPOINTS.keys()


def name_of(case: Case) -> str:
    return f"{case.verb}-{case.code or 'ok'}"


@pytest.fixture(scope="module")
def everything(worlds: dict[bool, World]) -> list[set[tuple[str, str]]]:
    """For each case what a subject with all rights sees."""
    rows = []
    for case in CASES:
        answer = worlds[case.is_fresh].answer(case, set(RIGHTS))
        assert answer["code"] == case.code, (case, answer)
        rows.append(set(seen(answer)))
    return rows


def test_every_field_is_in_the_oracle(everything: list[set[tuple[str, str]]]) -> None:
    unknown = {
        (case.verb, path)
        for case, there in zip(CASES, everything, strict=True)
        for path, _ in there
        if right_of(case, path) is None
    }
    assert unknown == set()
    used = {(case.verb, path) for case, there in zip(CASES, everything, strict=True) for path, _ in there}
    assert len(used) > 300


def test_every_kind_of_content_is_there_to_be_seen(everything: list[set[tuple[str, str]]]) -> None:
    assert {tag for there in everything for _, tag in there} == {"", *TAGS}


def differing(world: World, case: Case, there: set[tuple[str, str]], rights: set[str]) -> set[tuple[str, str]]:
    """The cells that are not as the oracle says."""
    answer = world.answer(case, rights)
    assert answer["code"] == case.code, (case, sorted(rights), answer)
    expected = {(path, tag) for path, tag in there if may_see(case, rights, path, tag)}
    return {(path, tag) for path, tag in expected ^ set(seen(answer)) if tag or is_certain(path)}


OPTIONAL = ("list", "show", "reveal", "export")
"""The rights to see something."""


@pytest.mark.timeout(600)
def test_every_field_is_seen_by_whom_the_oracle_says(
    worlds: dict[bool, World],
    everything: list[set[tuple[str, str]]],
    figure: Figure,
    rounds: Callable[[int, int], int],
) -> None:
    sizes = range(rounds(2, len(OPTIONAL) + 1))
    wrong, cells = [], 0
    for case, there in zip(CASES, everything, strict=True):
        for more in itertools.chain.from_iterable(itertools.combinations(OPTIONAL, count) for count in sizes):
            if set(more) & set(case.takes.split()):
                continue
            rights = {*case.takes.split(), *more}
            cells += len(there)
            bad = differing(worlds[case.is_fresh], case, there, rights)
            wrong += [f"{case} {sorted(rights)}: {pair}" for pair in sorted(bad)]
    assert not wrong, "\n".join([*wrong[:30], str(len(wrong))])
    figure("rights: endpoint x right x field", f"{cells} of {cells} cells equal to the oracle, {len(FIELDS)} endpoints")


@pytest.mark.timeout(3600)
def test_every_field_under_random_rights(
    worlds: dict[bool, World], everything: list[set[tuple[str, str]]], seed: int, rounds: Callable[[int, int], int]
) -> None:
    chance = random.Random(seed)
    for _ in range(rounds(2, 200)):
        for case, there in zip(CASES, everything, strict=True):
            rights = {*case.takes.split(), *chance.sample(RIGHTS, chance.randrange(len(RIGHTS)))}
            assert not differing(worlds[case.is_fresh], case, there, rights), (case, sorted(rights))


# What happens to units that one may not list

INHERENT = {
    "status": {"revision", "uptime", "commit_seconds"},
    "export": {"revision", "next"},
}
"""Fields that are of the whole daemon: the revision counts the changes of all units, and `next` names it."""
TIME = re.compile(r'"(?!changed_at)(\w+)": "20[^"]*Z"')
READS = [
    case
    for case in CASES
    if not (ENDPOINTS[case.verb].writes or case.everywhere or case.is_fresh or case.verb == "cancel")
]


@pytest.mark.parametrize("case", READS, ids=name_of)
def test_nothing_that_happens_to_a_hidden_unit_is_told(worlds: dict[bool, World], case: Case) -> None:
    rights: set[str] = set(RIGHTS)
    quiet = worlds[False].answer(case, rights)
    busy = worlds[False].answer(case, rights, worlds[False].busy)
    for answer in (quiet, busy):
        for name in INHERENT.get(case.verb, ()):
            answer["extra"].pop(name, None)
        answer["revision"] = None if case.verb == "export" else answer["revision"]
        answer["message"] = answer["message"].partition(" at r")[0]
        for worker in answer["extra"].get("workers", ()):
            worker["state"] = "busy or not"
    assert TIME.sub("at", json.dumps(busy)) == TIME.sub("at", json.dumps(quiet))


def test_what_happens_to_the_hidden_unit_would_be_told_to_whom_may_list_it(worlds: dict[bool, World]) -> None:
    [status] = [case for case in READS if case.verb == "status"]
    seeing = status._replace(everywhere=True)
    quiet, busy = (worlds[False].answer(seeing, set(RIGHTS), then) for then in (None, worlds[False].busy))
    assert quiet["extra"]["queue"] != busy["extra"]["queue"]


def test_the_place_in_the_queue_counts_what_the_subject_may_list(worlds: dict[bool, World]) -> None:
    queued = next(case for case in CASES if case.verb == "job" and case.args == {"job": "QUEUED"})
    places = [
        worlds[False].answer(queued._replace(everywhere=everywhere), set(RIGHTS))["extra"]["job"]["place"]
        for everywhere in (False, True)
    ]
    assert places == [1, 2]


def test_who_else_has_a_unique_value_is_told_with_the_right_show(worlds: dict[bool, World]) -> None:
    clash = next(case for case in CASES if case.verb == "create" and case.code == "rule-broken")
    blind, seeing = (worlds[False].answer(clash, {"create", *more})["message"] for more in ((), ("show",)))
    assert "b has 80 as c has" in seeing
    assert "b has the same value as another instance has" in blind


def test_a_finding_about_a_stored_value_keeps_what_is_about_the_given_one(worlds: dict[bool, World]) -> None:
    args = {"unit": "web", "id": "a", "set": [{"path": "/port", "value": "x"}]}
    mixed = Case("set", "create", args, code="invalid", text=NARROW)
    blind, seeing = (worlds[False].answer(mixed, {"create", *more})["errors"] for more in ((), ("show",)))
    assert {finding["path"] for finding in seeing} == {"$.tags['seen-key']", "$.text", "$.port"}
    assert [finding["path"] for finding in blind] == ["$.port", "$"]
    assert "the right show" in blind[1]["hint"]
