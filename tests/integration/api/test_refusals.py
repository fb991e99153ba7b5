"""Refusals quote no secret, and nothing answers questions about what a subject may not see."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps.api import acceptance
from lmaps.api.registry import ENDPOINTS, RequestContext
from lmaps.errors import LmapsError, TookTooLong
from lmaps.model.policy import Line, Policy, Right, Subject
from lmaps.model.schema import references
from lmaps.protocol import Reply
from tests.in_process import InProcess, respond

CANARY = "kanari-7Q4xW-zebra"
UNIT: dict[str, Any] = {
    "meta": {"name": "vault", "primary_key": "id"},
    "params": {
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": {"type": "string"},
            "port": {"type": "integer"},
            "note": {"type": "string"},
            "password": {"x-lmaps-secret": True},
        },
    },
}
ME = Subject("uid:61001", "ann", frozenset({"uid:61001"}))


def changed(unit: dict[str, Any], **properties: Any) -> str:
    """The text of a unit with other properties."""
    copy = json.loads(json.dumps(unit))
    copy["params"]["properties"] |= properties
    return json.dumps(copy)


class World(InProcess):
    """A daemon with the unit ``vault``, asked by its owner, or by a subject with some rights."""

    def grant(self, *rights: Right) -> None:
        self.service.policy = Policy([Line(ME.proofs, frozenset(rights), ("*",))])

    def ask(self, verb: str, **args: Any) -> Reply:
        """The answer to the subject with some rights; raises what it is refused with."""
        owner, self.subject = self.subject, ME
        try:
            return self.call(verb, **args)
        finally:
            self.subject = owner

    def refusal(self, verb: str, **args: Any) -> LmapsError:
        with pytest.raises(LmapsError) as refused:
            self.ask(verb, **args)
        return refused.value


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path, json.dumps(UNIT)) as made:
        made.grant("list", "show", "create", "rollback", "import", "apply")
        yield made


def text_of(error: LmapsError) -> str:
    return json.dumps([error.message, error.hint, error.extra, [finding.to_json() for finding in error.errors]])


def paths_of(error: LmapsError) -> list[str]:
    return [finding.path for finding in error.errors]


MARK = {"x-lmaps-secret": True}
STEERED = {"if": {"properties": {"password": {"const": CANARY}}}, "then": {"required": ["port"]}}
QUESTIONS: dict[str, dict[str, Any]] = {
    "pattern": {"params": {"allOf": [{"properties": {"password": {"pattern": f"^{CANARY}$"}}}]}},
    "without a mark": {"params": {"properties": {"id": {"type": "string"}, "password": {"const": CANARY}}}},
    "not": {"params": {"not": {"properties": {"password": {"const": CANARY}}}}},
    "if": {"params": STEERED},
    "a default under if": {
        "params": {"if": STEERED["if"], "then": {"properties": {"port": {"default": 1}}}, "else": {}},
    },
    "unique": {"meta": {"unique": ["/password"]}},
}
"""What a text of the unit adds to ask for a secret."""


@pytest.mark.parametrize("question", QUESTIONS)
def test_unit_check_answers_no_question_about_a_secret(world: World, question: str) -> None:
    """The answers for two states with other secrets differ only for a subject that may reveal them."""
    unit = {name: UNIT[name] | QUESTIONS[question].get(name, {}) for name in UNIT}
    files = [{"name": "a.yaml", "text": json.dumps(unit)}]

    def answers(*secrets: str) -> tuple[str, str]:
        for key, secret in zip("ab", secrets, strict=True):
            world.call("set", unit="vault", id=key, instance={"id": key, "password": secret})
        mine, owners = world.ask("unit_check", files=files), world.call("unit_check", files=files)
        return json.dumps(mine.extra), json.dumps(owners.extra)

    mine, owners = answers(CANARY, CANARY)
    mine_then, owners_then = answers("another", "yet another")
    assert owners != owners_then
    assert mine == mine_then
    assert "not tried on 2 instances with secrets: ann has no right reveal on vault" in mine


def test_unit_check_looks_at_instances_without_a_secret(world: World) -> None:
    world.call(
        "create", unit="vault", instances=[{"id": "a", "port": 8080}, {"id": "b", "port": 8081, "password": CANARY}]
    )
    text = changed(UNIT, port={"maximum": 80}, password={})
    extra = world.ask("unit_check", files=[{"name": "a.yaml", "text": text}]).extra
    assert [(row["impact"], row["path"], row["instances"]) for row in extra["impacts"]] == [
        ("breaks", "$.port", ["a"]),
        ("secret shown", "$.password", ["b"]),
    ]
    assert "not tried on 1 instance with secrets" in json.dumps(extra["warnings"])


UNIQUE = json.dumps({**UNIT, "meta": {**UNIT["meta"], "unique": ["/password"]}})
WRITES: dict[str, dict[str, Any]] = {
    "create": {"instances": [{"id": "b", "password": CANARY}]},
    "set": {"id": "b", "instance": {"id": "b", "password": CANARY}},
    "import": {"units": [{"unit": "vault", "instances": [{"id": "b", "password": CANARY}]}]},
    "plan": {"instances": [{"id": "b", "password": CANARY}]},
    "apply": {"instances": [{"id": "b", "password": CANARY}]},
}


@pytest.mark.parametrize("verb", WRITES)
@pytest.mark.parametrize("dry_run", [False, True])
def test_unique_compares_secrets_only_for_subjects_that_may_reveal_them(world: World, verb: str, dry_run: bool) -> None:
    """Whether the secret is in use makes no difference for the others."""
    args = WRITES[verb] if verb == "import" else WRITES[verb] | {"unit": "vault"}
    args |= {"dry_run": True} if dry_run and verb != "plan" else {}
    world.load(UNIQUE)
    refusals = []
    for secret in (CANARY, "another"):
        world.call("set", unit="vault", id="a", instance={"id": "a", "password": secret})
        refused = world.refusal(verb, **args)
        assert refused.code == "not-allowed"
        assert "/password has to be unique and is secret, and ann has no right reveal on vault" in refused.message
        refusals.append(text_of(refused))
    assert refusals[0] == refusals[1]
    assert CANARY not in refusals[0]
    world.grant("create", "import", "apply", "reveal")
    assert world.ask(verb, **args)
    world.call("set", unit="vault", id="c", instance={"id": "c"})
    refused = world.refusal("set", unit="vault", id="c", instance={"id": "c", "password": "another"})
    assert refused.message.startswith(
        "/password of vault has to be unique, and c has the same secret as another instance has"
    )


def test_a_revert_compares_unique_secrets_only_for_subjects_that_may_reveal_them(world: World) -> None:
    world.load(UNIQUE)
    refusals = []
    world.call("set", unit="vault", id="b", instance={"id": "b", "password": CANARY})
    world.call("set", unit="vault", id="b", instance={"id": "b"})
    for secret in (CANARY, "another"):
        world.call("set", unit="vault", id="a", instance={"id": "a", "password": secret})
        refusals.append(text_of(world.refusal("revert", unit="vault", revision="r2")))
    assert refusals[0] == refusals[1]
    assert "/password has to be unique and is secret" in refusals[0]
    assert world.ask("delete", unit="vault", ids=["a"])
    assert world.ask("rollback", unit="vault")
    world.grant("rollback", "reveal")
    assert world.ask("revert", unit="vault", revision="r2")


PARTS: dict[str, dict[str, Any]] = {
    "an item": {"set": [{"path": "/password/2", "value": "x"}]},
    "a property": {"set": [{"path": "/password/7", "value": "c"}]},
    "as text": {"texts": [{"path": "/password/2", "text": "x"}]},
    "removed": {"unset": ["/password/7"]},
    "of a mask": {
        "instance": {"id": "a", "password": {"$secret": "set"}},
        "set": [{"path": "/password/2", "value": "x"}],
    },
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_part_of_a_secret_is_set_only_by_subjects_that_may_reveal_it(world: World, part: str, dry_run: bool) -> None:
    """Whether it can be, and changes anything, makes no difference for the others: neither how long it is nor its keys."""
    args = PARTS[part] | {"unit": "vault", "id": "a", "dry_run": dry_run}
    answers = []
    for secret in (["a", "b"], ["a", "b", "x"], {"7": "c"}, {"k": 1}, "text"):
        world.call("set", unit="vault", id="a", instance={"id": "a", "password": secret})
        refused = world.refusal("set", **args)
        assert refused.code == "not-allowed"
        answers.append(text_of(refused))
    assert answers == answers[:1] * 5
    assert "/password is secret and can only be set as a whole" in answers[0]
    assert world.ask("set", unit="vault", id="a", set=[{"path": "/password", "value": "new"}])
    assert world.ask("set", unit="vault", id="a", unset=["/password"])
    assert "password" not in world.call("show", unit="vault", reveal=True).extra["state"][0]
    world.call("set", unit="vault", id="a", instance={"id": "a", "password": {"7": "d"}})
    world.grant("create", "reveal")
    assert world.ask("set", **args)


def test_unique_in_and_around_a_secret(world: World) -> None:
    unit = json.loads(changed(UNIT, login={"properties": {"key": MARK}}, box={**MARK}))
    unit["meta"]["unique"] = ["/login", "/box/key", "/port"]
    world.load(json.dumps(unit))
    for document in ({"login": {"key": CANARY}}, {"box": {"key": CANARY}}):
        assert world.refusal("create", unit="vault", instances=[{"id": "b", **document}]).code == "not-allowed"
    world.ask("create", unit="vault", instances=[{"id": "b", "login": {"user": "x"}, "box": {}, "port": 1}])
    assert "d has 1 too" in text_of(world.refusal("create", unit="vault", instances=[{"id": "d", "port": 1}]))
    world.grant("create")
    refused = world.refusal("create", unit="vault", instances=[{"id": "d", "port": 1}])
    assert [finding.message for finding in refused.errors] == ["d has the same value too"]
    files = [{"name": "a.yaml", "text": json.dumps(unit)}]
    warnings = [row["message"] for row in world.call("unit_check", files=files).extra["warnings"]]
    assert [text.split(":")[0] for text in warnings] == [
        f"unique compares secrets at {at}" for at in ("/login", "/box/key")
    ]


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("create", {"unit": "vault", "instances": CANARY}),
        ("create", {"unit": "vault", "instances": {CANARY: 1}}),
        ("create", {"unit": "vault", "instances": [CANARY]}),
        ("create", {"unit": "vault", "instances": [[CANARY]]}),
        ("create", {"unit": "vault", "instances": [{"id": "b"}], "texts": [{"path": "/password", "text": [CANARY]}]}),
        ("create", {"unit": "vault", "instances": [{"id": "b"}], "texts": CANARY}),
        ("create", {"unit": "vault", "instances": [{"id": "b"}], "texts": [CANARY]}),
        ("create", {"unit": "vault", "instances": [{"id": "b"}], "texts": [{"path": "/pin", "text": f"*{CANARY}"}]}),
        ("create", {"unit": "vault", "instances": [{"id": "b"}], "texts": [{"path": "/pin", "text": f"!{CANARY}"}]}),
        ("create", {"unit": "vault", "instances": [{"id": "b"}], "texts": [{"path": "/pin", "text": f"[{CANARY}"}]}),
        ("create", {"unit": "vault", "instances": [{"id": "b"}], "texts": [{"path": "/pin", "text": CANARY}]}),
        ("create", {"unit": "vault", "instances": [{"id": "b"}], "texts": [{"path": "/pin", "text": "7" * 40}]}),
        ("set", {"unit": "vault", "id": "b", "instance": CANARY}),
        ("set", {"unit": "vault", "id": "b", "instance": [CANARY]}),
        ("set", {"unit": "vault", "id": "b", "set": [{"path": "/password/x", "value": CANARY}, CANARY]}),
        ("set", {"unit": "vault", "id": "b", "set": CANARY}),
        ("validate", {"unit": "vault", "instances": CANARY}),
        ("validate", {"unit": "vault", "instances": [CANARY]}),
        ("validate", {"unit": "vault", "instances": [{"id": CANARY, "pin": CANARY, "port": {CANARY: CANARY}}, CANARY]}),
        ("import", {"units": [{"unit": "vault", "instances": CANARY}]}),
        ("import", {"units": [{"unit": "vault", "instances": [CANARY]}]}),
        ("import", {"units": [CANARY]}),
        ("import", {"units": CANARY}),
        ("migrate", {"unit": "vault", "current": CANARY}),
        ("migrate", {"unit": "vault", "current": [CANARY], "undone": [CANARY]}),
        ("apply", {"unit": "vault", "instances": CANARY}),
        ("plan", {"unit": "vault", "instances": CANARY}),
        ("import_history", {"units": CANARY}),
        ("import_history", {"units": [CANARY]}),
        ("import_history", {"units": [{"unit": "vault", "instances": CANARY, "history": CANARY}]}),
    ],
)
def test_no_argument_that_carries_documents_is_quoted(world: World, verb: str, args: dict[str, Any]) -> None:
    world.load(changed(UNIT, pin={**MARK, "type": "integer"}))
    world.grant("create", "show", "import", "apply")
    text = text_of(world.refusal(verb, **args))
    assert CANARY not in text
    assert "7777" not in text


def test_the_default_of_a_secret_is_not_secret(world: World) -> None:
    text = changed(UNIT, password={**MARK, "default": CANARY})
    [warning] = world.ask("unit_check", files=[{"name": "a.yaml", "text": text}]).extra["warnings"]
    assert warning["path"] == "$.params.properties.password.default"
    assert warning["message"].startswith("this default is not secret, although the value is: explain shows it")
    world.load(text)
    world.grant("list")
    assert CANARY in json.dumps(world.ask("explain", unit="vault").extra)


@pytest.mark.parametrize(
    "payload",
    [
        {"create": True, "unit_name": "vault", "instance": CANARY},
        {"create": True, "unit_name": "vault", "instance": [CANARY]},
        {"apply": True, "unit_name": "vault", "instance": {"id": "a", "password": CANARY, "port": {"x": CANARY}}},
        {"create": True, "unit_name": "vault", "instance": {"id": "a", "password": CANARY}, "daemon": {"x": CANARY}},
    ],
)
def test_the_form_of_the_original_quotes_no_document(world: World, payload: dict[str, Any]) -> None:
    with world.store.transaction() as tx, pytest.raises(LmapsError) as refused:
        respond(RequestContext(world.service, tx, world.subject), payload)
    assert CANARY not in text_of(refused.value)


def test_who_may_change_a_secret_can_compare_it_and_not_read_it(world: World) -> None:
    """The one question that stays open, as the docs say: whether a guess is the secret."""
    world.grant("create")
    world.call("create", unit="vault", instances=[{"id": "a", "password": CANARY}])
    for guess, result in ((CANARY, "unchanged"), ("guess", "updated")):
        reply = world.ask("set", unit="vault", id="a", set=[{"path": "/password", "value": guess}], dry_run=True)
        assert [row["result"] for row in reply.extra["instances"]] == [result]
        world.grant("import")
        units = [{"unit": "vault", "instances": [{"id": "a", "password": guess}]}]
        reply = world.ask("import", units=units, dry_run=True)
        assert [row["result"] for row in reply.extra["instances"]] == [result]
        world.grant("create")
    assert CANARY not in text_of(world.refusal("create", unit="vault", instances=[{"id": "a", "password": "guess"}]))


def is_closed(schema: dict[str, Any]) -> bool:
    """Whether a schema of arguments says what its values are, or that they are not quoted."""
    kind = schema.get("type")
    if schema.get("writeOnly") or not schema.keys() & {"type", "minItems"}:
        return True
    return "items" in schema if kind == "array" else "properties" in schema if kind == "object" else True


def test_every_argument_that_carries_documents_was_tried() -> None:
    """Arguments of any JSON, and texts that are values."""
    open_ends = {name for name, endpoint in ENDPOINTS.items() if "writeOnly" in json.dumps(endpoint.definition)}
    assert open_ends == {"create", "set", "validate", "import", "import_history", "migrate", "apply", "plan"}
    for name, endpoint in ENDPOINTS.items():
        for schema in endpoint.definition["properties"].values():
            is_text_of_units = name in ("unit_check", "import_history")
            assert is_text_of_units or all(map(is_closed, references.objects(schema)))


def test_what_an_older_text_marked_is_not_quoted(world: World) -> None:
    """A secret whose mark was removed meanwhile, in a document that no longer fits."""
    world.call("create", unit="vault", instances=[{"id": "a", "password": CANARY, "port": 8080}])
    world.load(changed(UNIT, password={"maxLength": 3}, port={"maximum": 80}))
    refused = world.refusal("apply", unit="vault")
    assert [(finding.path, CANARY in finding.message) for finding in refused.errors] == [("$.password", False)]
    assert CANARY not in text_of(refused)


def test_what_takes_too_long_is_told_at_the_secret(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def take_too_long(*_: object) -> None:
        raise TookTooLong("it takes too long")

    world.load(changed(UNIT, login=MARK))
    monkeypatch.setattr(acceptance, "_checked", take_too_long)
    for path, told in ((("login", CANARY, "x"), "$.login"), (("port",), "$.port")):
        monkeypatch.setattr(acceptance, "slow_part", lambda *_, path=path: path)
        refused = world.refusal("create", unit="vault", instances=[{"id": "b", "port": 1, "login": {CANARY: {"x": 1}}}])
        assert (paths_of(refused), CANARY in text_of(refused)) == ([told], False)
