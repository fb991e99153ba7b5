"""Refusals quote no secret, and nothing answers questions about what a subject may not see."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps.errors import LmapsError
from lmaps.model.policy import Line, Policy, Right, Subject
from lmaps.protocol import Reply
from tests.in_process import InProcess

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
    assert "2 instances with secrets not looked at: ann has no right reveal there" in mine


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
    assert "1 instance with secrets not looked at" in json.dumps(extra["warnings"])


def test_what_an_older_text_marked_is_not_quoted(world: World) -> None:
    """A secret whose mark was removed meanwhile, in a document that no longer fits."""
    world.call("create", unit="vault", instances=[{"id": "a", "password": CANARY, "port": 8080}])
    world.load(changed(UNIT, password={"maxLength": 3}, port={"maximum": 80}))
    refused = world.refusal("apply", unit="vault")
    assert [(finding.path, CANARY in finding.message) for finding in refused.errors] == [("$.password", False)]
    assert CANARY not in text_of(refused)
