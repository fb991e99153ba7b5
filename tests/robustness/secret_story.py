"""The life of a unit with secrets, told to the endpoints: what is stored, changed, refused, undone, moved and shown.

Every answer is searched for canaries. The story asks every endpoint with every argument, before and after the text of
the unit changes.
"""

import base64
import io
import itertools
import json
import logging
import random
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any

from lmaps.api.context import AfterCommit, Deferred
from lmaps.api.documents import former_secrets, older_texts
from lmaps.api.endpoints import confirm
from lmaps.api.registry import ENDPOINTS, RequestContext
from lmaps.errors import LmapsError
from lmaps.handlers.base import State
from lmaps.handlers.noop import Noop
from lmaps.model.schema import Scrubber
from lmaps.model.units import load_units_from
from lmaps.protocol import VERSION, Reply
from lmaps.store import open_store
from lmaps.store.encryption import KEY_BYTES, KeySealer
from tests.in_process import InProcess, respond
from tests.robustness.canaries import KINDS, Canaries
from tests.robustness.secret_places import Place

Object = dict[str, Any]


class Change(StrEnum):
    """What the new text of the unit changes."""

    NOTHING = "nothing"
    MARKED = "marks come"
    UNMARKED = "marks go"
    GONE = "the file goes"
    TIGHTER = "a rule comes that the stored documents break"


MARKS: tuple[Object, ...] = ({"writeOnly": True}, {"x-lmaps-secret": True})
RULES: dict[str, Object] = {
    "type": {"type": "boolean"},
    "enum": {"enum": [7]},
    "pattern": {"type": "string", "pattern": "^$"},
    "maxLength": {"type": "string", "maxLength": 1},
    "format": {"type": "string", "format": "ipv4"},
    "maximum": {"type": "number", "maximum": 0},
    "multipleOf": {"type": "integer", "multipleOf": 10**16},
    "maxItems": {"type": "array", "maxItems": 0},
    "uniqueItems": {"type": "array", "uniqueItems": True, "minItems": 9},
    "items": {"type": "array", "items": {"type": "boolean"}},
    "maxProperties": {"type": "object", "maxProperties": 0},
    "required": {"type": "object", "required": ["absent"]},
    "additionalProperties": {"type": "object", "additionalProperties": False},
    "properties below": {"type": "object", "properties": {"plain": {"type": "boolean"}}, "maxProperties": 0},
    "patternProperties": {"type": "object", "patternProperties": {"": {"type": "boolean"}}},
    "not": {"not": {}},
    "allOf": {"allOf": [{"type": "boolean"}]},
    "anyOf": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
    "oneOf": {"oneOf": [{"type": "boolean"}, {"type": "null"}]},
    "oneOf, both": {"oneOf": [{}, {}]},
    "dependencies": {"type": "object", "dependencies": {"plain": ["absent"]}, "maxProperties": 0},
}
"""Rules that no secret of a story fits, in every draft."""
NEWER_RULES: dict[str, tuple[tuple[str, ...], Object]] = {
    "const": (("draft6", "draft7", "2019-09", "2020-12"), {"const": 7}),
    "contains": (("draft6", "draft7", "2019-09", "2020-12"), {"type": "array", "contains": {"type": "boolean"}}),
    "propertyNames": (
        ("draft6", "draft7", "2019-09", "2020-12"),
        {"type": "object", "propertyNames": {"maxLength": 1}},
    ),
    "if": (("draft7", "2019-09", "2020-12"), {"if": {}, "then": {"type": "boolean"}}),
    "else": (("draft7", "2019-09", "2020-12"), {"if": {"type": "boolean"}, "else": {"enum": [7]}}),
    "unevaluatedProperties": (("2019-09", "2020-12"), {"type": "object", "unevaluatedProperties": False}),
    "unevaluatedItems": (("2019-09", "2020-12"), {"type": "array", "unevaluatedItems": False}),
    "dependentRequired": (
        ("2019-09", "2020-12"),
        {"type": "object", "dependentRequired": {"plain": ["absent"]}, "maxProperties": 0},
    ),
    "false": (("draft6", "draft7", "2019-09", "2020-12"), {"allOf": [False]}),
}


DATA_TYPES = ("YamlFile", "YamlList", "YamlKeyList", "YamlKeyDict")


def rules(draft: str) -> dict[str, Object]:
    """Return the rules that a draft knows."""
    return RULES | {name: rule for name, (drafts, rule) in NEWER_RULES.items() if draft in drafts}


def unit_text(params: Object, handler: Object | None = None, **meta: Any) -> str:
    """Return the text of a unit, which is called ``vault`` unless ``meta`` says otherwise."""
    return json.dumps(
        {
            "meta": {"name": "vault", "primary_key": "id", "data_type": "YamlKeyList", **meta},
            "handler": handler or {"type": "noop"},
            "params": params,
        }
    )


OTHER: Object = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}


class WatchedState:
    """A state whose answers are all searched for the canaries that are ``secret``."""

    def __init__(self, directory: Path, text: str, canaries: Canaries) -> None:
        self.directory, self.canaries = directory, canaries
        self.lmaps = InProcess(directory, text)
        self.lmaps.store.close()
        self.lmaps.store = open_store(str(directory / "lmaps.db"), KeySealer(b"k" * KEY_BYTES))
        self.lmaps.service.handlers = {"noop": Noop.describe()}
        self.secret: set[str] = set()
        self.leaks: dict[str, set[str]] = {}
        """Where canaries were seen that should not, each with an excerpt."""
        self.revealed: set[str] = set()
        self.answers = self.refusals = self.reveals = 0
        self.asked: set[tuple[str, str]] = set()
        """Every argument that was given, with its endpoint."""
        self.answered: set[str] = set()

    def ask(self, verb: str, *, key: str | None = None, **args: Any) -> Reply:
        """Return the answer to a request, or the refusal."""
        args = {name.removesuffix("_"): value for name, value in args.items()}
        self.asked |= {(verb, name) for name in (*args, "")}
        reply = self.respond({"v": VERSION, "verb": verb, "args": args} | ({"key": key} if key else {}), verb, args)
        if reply.code is None:
            self.answered.add(verb)
        return reply

    def respond(self, payload: Object, name: str, args: Object) -> Reply:
        """Answer a request of any form, and search the answer."""
        revealing = bool(args.get("reveal"))
        try:
            with self.lmaps.store.transaction() as tx:
                context = RequestContext(self.lmaps.service, tx, self.lmaps.subject)
                answer = respond(context, json.loads(json.dumps(payload)))
            reply = answer.then(self.lmaps.store) if isinstance(answer, AfterCommit) else answer
            reply = Reply("later") if isinstance(reply, Deferred) else reply
        except LmapsError as error:
            reply = Reply.refusal(error)
        self.answers += 1
        self.refusals += reply.code is not None
        self.reveals += revealing and reply.code is None
        body = reply.encode("1")
        if revealing:
            self.revealed |= self.canaries.found_in(body)
        else:
            outcome = reply.code or "answer"
            if name != "backup_read":  # the whole database: `Story` looks into it
                self.search(body, f"{name} {' '.join(sorted(args))}: {outcome}")
        return Reply.from_json(json.loads(body))

    def search(self, data: bytes, where: str, allowed: Iterable[str] = ()) -> None:
        """Note the secret canaries in ``data``."""
        for token in (self.canaries.found_in(data) & self.secret) - set(allowed):
            at = data.find(token.encode())
            excerpt = data[max(0, at - 150) : at + 80].decode(errors="replace") if at >= 0 else f"encoded {token}"
            self.leaks.setdefault(where, set()).add(excerpt)

    def run_job(self, number: int) -> None:
        """Print the state of the unit as a careless handler does, through the scrubber of the worker."""
        with self.lmaps.store.transaction() as tx:
            unit = self.lmaps.service.units.units["vault"]
            page = tx.snapshots.page("vault", tx.revision(), 0, 1000)
            completed = [json.loads(text) for text in page.clear_completed]
            state = State(
                unit, 1, completed, completed, definitions=[*page.definitions], older_texts=older_texts(tx, unit)
            )
            pairs = zip(completed, state.secrets(), strict=True)
            values = [value for document, secrets in pairs for value in secrets.values(document)]
            scrubber = Scrubber([*former_secrets(tx, unit), *values])
            documents = [*completed, state.masked]
            self.search(json.dumps(state.masked).encode(), "the masked state of a handler")
            texts = [show(document) for document in documents for show in (str, ascii, json.dumps)]
            lines = [(at, "output", scrubber.text(line), None) for at, line in enumerate("\n".join(texts).splitlines())]
            for line in lines:
                self.search(line[2].encode(), "the output of a job")
            job = tx.jobs.find(number)
            assert job is not None
            armed = confirm.arm(tx, job) if job.confirm_within is not None else {}
            tx.jobs.update(number, state="succeeded", **armed)


class Story:
    """What happens to the unit ``vault``, whose secret is at ``place``."""

    def __init__(
        self, directory: Path, place: Place, change: Change, chance: random.Random, rule: str = "type"
    ) -> None:
        self.place, self.change, self.chance = place, change, chance
        self.canaries = Canaries(chance)
        marks = chance.choice(MARKS)
        marked = place.params(dict(marks))
        unmarked = place.params({})
        broken = rules(place.draft)[rule]
        # The rule stands beside the mark, or where the place begins: then it is the parent that does not fit.
        tighter = place.params(marks | broken) if chance.random() < 0.5 else place.params(dict(marks), broken)
        meta: Object = {"data_type": chance.choice(DATA_TYPES)}
        if not place.at_root and chance.random() < 0.5:
            meta["unique"] = ["/data"]
        self.texts = {
            "marked": unit_text(marked, **meta),
            "described": unit_text(marked | {"description": "new"}, **meta),
            "unmarked": unit_text(unmarked, **meta),
            "tighter": unit_text(tighter, **meta),
            "other": unit_text(OTHER, name="other"),
        }
        old, new = {
            Change.NOTHING: ("marked", "described"),
            Change.MARKED: ("unmarked", "marked"),
            Change.UNMARKED: ("marked", "unmarked"),
            Change.TIGHTER: ("marked", "tighter"),
            Change.GONE: ("marked", "other"),
        }[change]
        self.old, self.new = self.texts[old], self.texts[new]
        self.are_secret = change is not Change.MARKED
        self.loads = all(not load_units_from([("unit.yaml", text)]).errors for text in self.texts.values())
        """Whether no text is refused; nothing is told of a unit that is."""
        if not self.loads:
            return
        self.state = WatchedState(directory, self.old, self.canaries)
        self.sent: set[str] = set()
        self.stored: set[str] = set()
        """The canaries in all documents that are kept, of now and of before."""
        self.audited = 0
        """Rows of the audit about answers that read: only those that reveal have one."""
        self.unsealed: set[str] = set()
        self.shapes = itertools.cycle(chance.sample(KINDS, len(KINDS)))
        self.counts = itertools.cycle((1, 2, 3, 1))
        self.log = io.StringIO()

    def document(self, name: str, *, kept: bool = True) -> Object:
        """Return a document with new secrets of another shape than the last ones; ``kept`` ones are going to be stored."""
        count, kind = next(self.counts), next(self.shapes)
        if self.has_new_text and self.change is Change.UNMARKED:
            return self.place.document(name, [f"public {self.chance.random()}" for _ in range(count)])
        values = [self.canaries.value(kind) for _ in range(count)]
        document = self.place.document(name, values)
        tokens = self.canaries.found_in(json.dumps(document))
        assert tokens, f"the place {self.place} has no secret: {document}"
        if kept:
            self.sent |= tokens
            if not self.are_secret:
                self.unsealed |= tokens
        if self.are_secret:
            self.state.secret |= tokens
        return document

    has_new_text = False

    def tell(self) -> None:
        """Let it happen."""
        handler = logging.StreamHandler(self.log)
        handler.setLevel(logging.DEBUG)
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            with self.state.lmaps:
                self._happen()
        finally:
            root.removeHandler(handler)
            root.setLevel(level)

    def _happen(self) -> None:
        ask = self.state.ask
        self._early_changes()
        self._look("the old text")
        self.state.lmaps.load(self.new)
        self.has_new_text = True
        self.are_secret = True
        self.state.secret |= self.sent
        self._look("the new text")
        self._refusals()
        self._later_changes()
        self._look("the new text")
        self._transfers()
        self._unit_checks()
        self._jobs()
        self._reveal()
        audit = ask("audit", limit=10_000, since="-1h", author="me").extra["audit"]
        self.audited = sum(row["verb"] in ("show", "export") for row in audit)
        ask("audit", unit="vault")
        self.state.search(self.log.getvalue().encode(), "the log")
        self._at_rest()

    def _early_changes(self) -> None:
        ask = self.state.ask
        first = self.document("a")
        ask(
            "create",
            key="first",
            unit="vault",
            instances=[first, self.document("b")],
            message="m",
            ticket="T",
            on_behalf_of="x",
        )
        ask("create", key="first", unit="vault", instances=[first, {"id": "b"}])
        ask("set", key="second", unit="vault", id="a", instance=self.document("a"))
        ask("request", key_="second")
        ask("set", unit="vault", id="a", instance={"id": "a", "note": 1})
        ask("set", unit="vault", id="a", instance=self.document("a") | {"note": [1]}, apply={"timeout": "1m"})
        ask("set", unit="vault", id="c", instance=self.document("c"))
        self.state.lmaps.applied("vault", 2)
        ask("set", unit="vault", id="a", set=[{"path": "/note", "value": 2}], unset=["/nothing"])
        for document in (self.document("a"), self.document("a")):
            properties = [{"path": f"/{name}", "value": value} for name, value in document.items() if name != "id"]
            ask("set", unit="vault", id="a", set=properties)
        ask("delete", unit="vault", ids=["b"])
        ask("create", unit="vault", instances=[self.document("b")])
        ask("rollback", key="back", unit="vault", states=True)
        ask("rollback", key="back", unit="vault", states=True)
        ask("redo", unit="vault", states=True)

    def _revisions(self) -> list[int]:
        return [row["revision"] for row in self.state.ask("history", limit=100).extra["changesets"]]

    def _look(self, _when: str) -> None:
        """Read all that can be read."""
        ask, unit = self.state.ask, "vault"
        ask("units")
        ask("explain", unit=unit)
        ask("explain", unit=unit, property="data")
        revisions = self._revisions()
        newest, oldest = revisions[0], revisions[-1]
        ask("show", unit=unit)
        ask("show", unit=unit, ids=["a"], instances=True)
        ask("show", unit=unit, reverse=True)
        ask("show", unit=unit, at="applied", reveal=False)
        for revision in revisions:
            ask("show", unit=unit, at=f"r{revision}", instances=True)
            ask("diff", unit=unit, from_=f"r{revision - 1}", to=f"r{revision}")
        ask("diff", unit=unit, from_=f"r{newest}", to=f"r{oldest}")
        ask("diff", unit=unit)
        ask("history", unit=unit, diff=True, limit=100, since="-1h", author="me")
        ask("history", diff=True, ticket="T")
        ask("blame", unit=unit)
        ask("blame", unit=unit, ids=["a", "c"], path="/data")
        ask("export")
        ask("export", units=[unit], at=f"r{newest}", limit=1)
        ask("export", units=[unit], after=1, limit=1, revisions=[oldest])
        ask("export", units=[unit], history=True)
        ask("plan", unit=unit)
        ask("jobs")
        ask("status")
        ask("handlers")
        ask("discover")
        ask("discover", what="schema")
        ask("may", who="uid:0", do="show", on=unit)
        for key in ("first", "second", "back"):
            ask("request", key_=key)
        ask("redo", unit=unit, states=True, steps=1, dry_run=True)
        ask("rollback", unit=unit, states=True, steps=2, dry_run=True)
        ask("rollback", unit=unit, states=True, to=f"r{oldest}", dry_run=True)
        for revision in revisions:
            ask("revert", unit=unit, revision=f"r{revision}", states=True, dry_run=True)
        self.legacy({"list_units": True})
        self.legacy({"discover": True})
        self.legacy({"show_summary": True, "unit_name": unit})

    def legacy(self, payload: Object) -> Reply:
        """Ask as the original's client does."""
        return self.state.respond(payload, f"legacy {next(iter(payload))}", {})

    def _refusals(self) -> None:
        """Send secrets that are refused, for what they are or for what is stored."""
        ask, unit = self.state.ask, "vault"

        def new(name: str = "a") -> Object:
            return self.document(name, kept=False)

        def pairs(document: Object) -> list[Object]:
            return [{"path": f"/{name}", "value": value} for name, value in document.items() if name != "id"]

        def texts(document: Object) -> list[Object]:
            return [{"path": f"/{name}", "text": json.dumps(value)} for name, value in document.items() if name != "id"]

        for dry_run in (False, True):
            ask("create", unit=unit, instances=[new(), new("a"), new("b")], dry_run=dry_run)
            ask("create", unit=unit, instances=[new("d") | {"id": 7}], dry_run=dry_run)
            ask("create", unit=unit, instances=[{"id": "a"}], texts=texts(new()), if_rev="r1", dry_run=dry_run)
            ask("set", unit=unit, id="a", instance=new(), if_rev="r1", dry_run=dry_run)
            ask("set", unit=unit, id="a", instance=new() | {"id": "b"}, dry_run=dry_run)
            ask("set", unit=unit, id="a", texts=[*texts(new()), {"path": "/id", "text": "[1"}], dry_run=dry_run)
            ask("set", unit=unit, id="a", set=[*pairs(new()), {"path": "/note/x/y", "value": new()}], dry_run=dry_run)
            ask("delete", unit=unit, ids=["a", "missing"], if_rev="r1", dry_run=dry_run)
            ask("import", units=[{"unit": unit, "instances": [new(), new(), {"id": 1}]}], if_rev="r1", dry_run=dry_run)
            ask("import", units=[{"unit": unit, "instances": [new("e")]}], mode="replace", dry_run=dry_run)
            ask("apply", unit=unit, instances=[new(), new("b")], if_rev="r1", dry_run=dry_run)
            ask("migrate", unit=unit, current=[new("a"), new("a")], undone=[new("b")], if_rev="r1", dry_run=dry_run)
            ask("rollback", unit=unit, to="r1", steps=1, if_rev="r1", dry_run=dry_run)
            ask("redo", unit=unit, if_rev="r1", dry_run=dry_run)
            ask("revert", unit=unit, revision="r2", if_rev="r1", dry_run=dry_run)
            ask("confirm", unit=unit, rollback=True, if_rev="r1", dry_run=dry_run)
            ask("plan_check", unit=unit, if_rev="r1", dry_run=dry_run)
            ask(
                "import_history", units=[{"unit": unit, "history": [], "definitions": {}}], if_rev="r1", dry_run=dry_run
            )
        ask("create", unit=unit, instances=[new("f")], dry_run=True)
        ask("set", unit=unit, id="a", instance=new(), dry_run=True)
        ask("set", unit=unit, id="a", texts=texts(new()), dry_run=True)
        ask("delete", unit=unit, ids=["a"], dry_run=True)
        ask("validate", unit=unit, instances=[new(), new("x"), {"id": new()}])
        ask("validate", unit=unit, instances=[new()])
        ask("plan", unit=unit, instances=[new(), new("g")])
        ask("plan", unit=unit, instances=[new("g")])
        ask("create", unit=unit, instances=[new("h")], anything=new())
        ask("set", unit=unit, id=[new()])
        ask("show", unit=unit, ids=["zzz"], at="r999")
        ask("show", unit="nothing")
        ask("request", key_="unknown")
        if self.change is not Change.UNMARKED:  # sent again, it would be public
            stored = ask("export", units=[unit], reveal=True).extra["units"][0]["instances"]
            ask("create", unit=unit, instances=[row | {"id": "same"} for row in stored])
            ask("set", unit=unit, id="same", instance=stored[0] | {"id": "same"}, dry_run=True)
        masked = ask("export", units=[unit]).extra["units"][0]["instances"]
        ask("create", unit=unit, instances=[row | {"id": "copy"} for row in masked])
        self.legacy({"create": True, "unit_name": unit, "instance": new()})
        self.legacy({"apply": True, "unit_name": unit, "instance": new()})
        self.legacy({"create": True, "unit_name": unit, "instance": new(), "unknown": new()})

    def _later_changes(self) -> None:
        """Change what was stored under the old text, and undo it."""
        ask, unit = self.state.ask, "vault"
        ask("set", unit=unit, id="a", instance=self.document("a"), message="later")
        ask("create", unit=unit, instances=[self.document("i")], apply={"confirm": "1m"})
        ask("delete", unit=unit, ids=["c"])
        ask("rollback", key="later", unit=unit, states=True, apply={"timeout": "5m"}, message="m", ticket="T")
        ask("rollback", unit=unit, states=True, steps=3, on_behalf_of="x")
        ask("redo", key="again", unit=unit, states=True, steps=2, message="m", ticket="T", on_behalf_of="x", apply={})
        ask("request", key_="again")
        ask("rollback", unit=unit, states=True, to="r2")
        ask("rollback", unit=unit, states=True)
        self.legacy({"rollback": True, "unit_name": unit})
        if self.change is not Change.UNMARKED:  # what is merged with public values is kept under the new text
            for revision in self._revisions()[1:6]:
                ask(
                    "revert",
                    unit=unit,
                    revision=f"r{revision}",
                    states=True,
                    apply={},
                    message="m",
                    ticket="T",
                    on_behalf_of="x",
                )

    def _transfers(self) -> None:
        """Move the state, masked and revealed, and masked documents back into it."""
        ask, unit = self.state.ask, "vault"
        masked = ask("export", units=[unit]).extra["units"]
        told: Object = {"message": "m", "ticket": "T", "on_behalf_of": "x"}
        if self.change is not Change.UNMARKED:
            ask("import", units=[{"unit": unit, "instances": masked[0]["instances"]}], mode="merge", **told)
        ask("import", units=[{"unit": unit, "instances": [self.document("j")]}], mode="replace", max_deletes=99)
        ask("import", units=[{"unit": unit, "instances": [self.document("j", kept=False)]}], mode="skip")
        ask("rollback", unit=unit, states=True)
        revealed = ask("export", units=[unit], reveal=True).extra["units"][0]["instances"]
        whole = ask("export", units=[unit], reveal=True, history=True).extra["units"]
        other = WatchedState(self.state.directory / "other", self.new, self.canaries)
        if self.change is not Change.UNMARKED:  # there nothing says that they were secret
            other.secret = self.state.secret
            with other.lmaps:
                other.ask("migrate", unit=unit, current=revealed, undone=[], dry_run=True, **told)
                other.ask("create", unit=unit, instances=masked[0]["instances"], **told)
                other.ask("create", unit=unit, instances=revealed, dry_run=True)
        else:
            other.lmaps.store.close()
        last = WatchedState(self.state.directory / "last", self.new, self.canaries)
        last.secret = self.state.secret
        with last.lmaps:
            broken = json.loads(json.dumps(whole))
            for changeset in broken[0].get("history", []):
                changeset["revision"] = 5
            last.ask("import_history", units=broken)
            last.ask("import_history", units=whole, **told)
            for verb in ("show", "blame", "plan", "diff"):
                last.ask(verb, unit=unit)
            last.ask("history", unit=unit, diff=True)
            last.ask("export", units=[unit])
        fresh = WatchedState(self.state.directory / "fresh", self.new, self.canaries)
        fresh.secret = self.state.secret
        with fresh.lmaps:
            fresh.ask(
                "migrate",
                unit=unit,
                current=[self.document("k", kept=False)],
                undone=[self.document("l", kept=False)],
                **told,
            )
            fresh.ask("export")
            fresh.ask("redo", unit=unit, dry_run=True, states=True)
        for state in (other, last, fresh):
            self.state.asked |= state.asked
            self.state.answered |= state.answered
            self.state.answers += state.answers
            for where, excerpts in state.leaks.items():
                self.state.leaks.setdefault(where, set()).update(excerpts)

    def _unit_checks(self) -> None:
        """Ask what other texts of the unit would do to what is stored."""
        for name, text in self.texts.items():
            self.state.ask("unit_check", files=[{"name": f"{name}.yaml", "text": text}])
        self.state.ask("unit_check", files=[{"name": "x.yaml", "text": "meta: {name: vault}\nparams: {type: 7}\n"}])
        self.state.ask("reload")

    def _jobs(self) -> None:
        """Apply: refused, confirmed, undone, cancelled; and read the output of the jobs."""
        ask, unit = self.state.ask, "vault"
        told: Object = {"message": "m", "ticket": "T", "on_behalf_of": "x"}
        for row in ask("jobs", state="queued", limit=100).extra["jobs"]:
            ask("cancel", job=row["job"])
        job = ask("apply", unit=unit, timeout="1m", instances=[self.document("m")], **told).job
        if job is None:  # "m" does not fit, or is there
            job = ask("apply", unit=unit).job
        for number in filter(None, [job]):
            self.state.run_job(number)
        self.state.lmaps.applied(unit, self._revisions()[0])
        confirmed = ask("apply", unit=unit, confirm="10m").job
        if confirmed is not None:
            self.state.run_job(confirmed)
            ask("create", unit=unit, instances=[self.document("n", kept=False)])
            ask("wait", unit=unit, for_="confirmed", wait_ms=1)
            ask("confirm", unit=unit, **told)
            ask("set", unit=unit, id="a", instance=self.document("a"), **told)
            undone = ask("apply", unit=unit, confirm="10m").job
            if undone is not None:
                self.state.run_job(undone)
            ask("confirm", unit=unit, rollback=True)
        ask("plan_check", unit=unit, timeout="1m", **told)
        ask("delete", unit=unit, ids=["a"], apply={}, **told)
        ask("rollback", unit=unit, states=True)
        ask("wait", unit=unit, for_="applied")
        for row in ask("jobs", unit=unit, state="succeeded").extra["jobs"]:
            ask("job", job=row["job"], wait_ms=1)
            ask("lines", job=row["job"], after=0, limit=10, wait_ms=1, state="queued")
        ask("cancel", job=1)
        self.legacy({"apply": True, "unit_name": unit})

    def _reveal(self) -> None:
        """See every stored secret, or the story is blind."""
        ask, unit = self.state.ask, "vault"
        with self.state.lmaps.store.transaction() as tx:
            changes = [
                change for changeset in tx.history.changesets(unit) for change in tx.history.changes(changeset.revision)
            ]
        documents = [end.clear_given for change in changes for end in (change.before, change.after) if end]
        self.stored = self.canaries.found_in("\n".join(documents))
        for revision in self._revisions():
            ask("show", unit=unit, at=f"r{revision}", instances=True, reveal=True)
        ask("show", unit=unit, reveal=True)
        ask("export", reveal=True)
        ask("export", units=[unit], reveal=True, history=True)

    def _at_rest(self) -> None:
        backup = self.state.ask("backup").extra
        data = self.state.ask("backup_read", backup=backup["backup"], offset=0).extra["data"]
        self.state.search(base64.b64decode(data), "a backup", self.unsealed)
        for path in self.state.directory.rglob("*"):
            if path.is_file():
                self.state.search(path.read_bytes(), f"the file {path.name}", self.unsealed)


def arguments() -> set[tuple[str, str]]:
    """Return every argument of every endpoint; each endpoint also alone."""
    return {(verb, name) for verb, endpoint in ENDPOINTS.items() for name in ("", *endpoint.definition["properties"])}
