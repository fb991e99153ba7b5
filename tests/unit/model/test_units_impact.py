"""What a new unit text would do to what is stored: one row per case."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaps.model.units import StoredInstance, impact, unit_from_definition

OLD = {
    "meta": {"name": "web", "primary_key": "host"},
    "params": {
        "type": "object",
        "required": ["host"],
        "properties": {
            "host": {"type": "string"},
            "port": {"type": "integer", "default": 80},
            "note": {"type": "string"},
            "password": {"type": "string", "writeOnly": True, "default": "old"},
        },
    },
}


def changed(*path, to):
    made = copy.deepcopy(OLD)
    target: Any = made
    for key in path[:-1]:
        target = target.setdefault(key, {})
    if to is None:
        del target[path[-1]]
    else:
        target[path[-1]] = to
    return made


def stored(*documents):
    unit = unit_from_definition(OLD)
    completed = [unit.complete(document) for document in documents]
    return [
        StoredInstance(unit.identify(whole), given, whole, unit.secrets.paths(whole))
        for given, whole in zip(documents, completed, strict=True)
    ]


PROPERTIES = ("params", "properties")


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (OLD, []),
        (changed("meta", "require", to=["message"]), []),
        (changed(*PROPERTIES, "port", "maximum", to=90), [("breaks", "$.port", ["b"])]),
        (changed(*PROPERTIES, "port", "default", to=81), [("default changed", "$.port", ["a"])]),
        (changed(*PROPERTIES, "note", "default", to="x"), [("default gained", "$.note", ["a", "b"])]),
        (changed(*PROPERTIES, "port", "default", to=None), [("default lost", "$.port", ["a"])]),
        (changed("params", "required", to=["host", "note"]), [("breaks", "$", ["a", "b"])]),
        (changed("meta", "primary_key", to=None), [("ID changes", "$", ["a", "b"])]),
        (changed("meta", "max_instances", to=1), [("over the limit", "$.meta.max_instances", [])]),
        (changed("meta", "unique", to=["/port"]), []),
        (changed("meta", "unique", to=["/password"]), [("not unique", "$.password", ["a", "b"])]),
        (changed("meta", "unique", to=["/note"]), []),
        (changed(*PROPERTIES, "password", "writeOnly", to=False), [("secret shown", "$.password", ["a", "b"])]),
        (changed(*PROPERTIES, "password", "default", to="new"), [("default changed", "$.password", ["a", "b"])]),
    ],
)
def test_what_is_told(new, told):
    found = [
        each.to_json() for each in impact(unit_from_definition(new), stored({"host": "a"}, {"host": "b", "port": 100}))
    ]
    rows = [(row["impact"], row["path"], row["instances"]) for row in found]
    assert rows == told
    assert not any("'old'" in row["message"] or "'new'" in row["message"] for row in found)


def test_a_document_that_fits_but_could_not_be_set_again():
    new = changed("params", "required", to=["host", "port"])
    del new["params"]["properties"]["port"]["default"]
    [found] = impact(unit_from_definition(new), stored({"host": "a"}))
    assert (found.kind, found.finding.path, found.keys) == ("breaks when set", "$", ("a",))


def test_nothing_is_stored_and_nothing_is_touched():
    assert impact(unit_from_definition(changed("meta", "max_instances", to=1)), []) == []


def test_many_instances_are_told_by_their_number():
    new = changed(*PROPERTIES, "port", "maximum", to=10)
    [found] = impact(unit_from_definition(new), stored(*({"host": f"h{n}"} for n in range(5))))
    assert found.to_json()["message"].endswith("(5 instances: h0, h1, h2 and 2 more)")


@pytest.mark.parametrize(
    "password",
    [
        {"type": "string", "maxLength": 3},
        {"enum": ["canarx"]},
        {"allOf": [{"pattern": "^x"}]},
        {"not": {"const": "canary"}},
        {"type": "integer", "default": 3},
    ],
)
def test_a_secret_that_the_new_text_does_not_mark_is_not_quoted(password):
    new = changed(*PROPERTIES, "password", to=password)
    found = impact(unit_from_definition(new), stored({"host": "a", "password": "canary"}))
    told = [each.to_json() for each in found]
    assert [(row["impact"], row["path"]) for row in told] == [("breaks", "$.password"), ("secret shown", "$.password")]
    assert "canar" not in str(told).replace("'canarx'", "")


def test_defaults_below_a_secret_are_told_at_the_secret():
    login: dict[str, Any] = {
        "type": "object",
        "x-lmaps-secret": True,
        "default": {"user": "canary"},
        "properties": {"user": {}},
    }
    old = unit_from_definition(changed(*PROPERTIES, "login", to=login))
    new = copy.deepcopy(login)
    new["properties"] |= {"key": {"default": "k1"}, "pin": {"default": 11}}
    del new["x-lmaps-secret"]
    whole = old.complete({"host": "a", "login": {"user": "canary"}})
    row = StoredInstance("a", {"host": "a", "login": {"user": "canary"}}, whole, old.secrets.paths(whole))
    [effect, shown] = impact(unit_from_definition(changed(*PROPERTIES, "login", to=new)), [row])
    assert effect.to_json()["message"] == "(secret) becomes (secret) at the next set (1 instance: a)"
    assert (effect.kind, effect.finding.path, shown.kind) == ("default changed", "$.login", "secret shown")


def test_a_secret_under_another_form_would_be_shown_too():
    old = changed(
        *PROPERTIES, "keys", to={"items": {"oneOf": [{"type": "integer"}, {"x-lmaps-secret": True, "type": "string"}]}}
    )
    document = {"host": "a", "keys": ["canary", "canary2"]}
    row = StoredInstance("a", document, document, unit_from_definition(old).secrets.paths(document))
    found = impact(unit_from_definition(changed(*PROPERTIES, "keys", to={})), [row])
    assert [(effect.kind, effect.finding.path, effect.keys) for effect in found if "keys" in effect.finding.at] == [
        ("secret shown", "$.keys[0]", ("a",))
    ]


@given(
    st.sampled_from(["canary", "other"]), st.sampled_from([{"const": "canary"}, {"pattern": "^can"}, {"minLength": 6}])
)
def test_what_is_told_of_unseen_instances_does_not_depend_on_their_secrets(secret, rule):
    """Every way of a text to ask about a secret: directly, by what it steers, by equality, by an ID."""
    steered = {"if": {"properties": {"password": rule}}, "then": {"required": ["never"]}}
    new = changed("params", "allOf", to=[{"properties": {"password": rule}}, steered])
    new["meta"] |= {"unique": ["/password"], "primary_key": "password"}
    rows = stored({"host": "a", "password": secret}, {"host": "b", "password": "canary"})
    unit = unit_from_definition(new)
    assert [effect.to_json() for effect in impact(unit, [], rows)] == []
    assert impact(unit, rows)
    del new["params"]["properties"]["password"]["writeOnly"]
    [row] = [effect.to_json() for effect in impact(unit_from_definition(new), [], rows)]
    assert (row["impact"], row["path"], row["instances"]) == ("secret shown", "$.password", ["a", "b"])
