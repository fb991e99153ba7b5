"""What a new unit text would do to what is stored: one row per case."""

import copy
from typing import Any

import pytest

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
        StoredInstance(unit.identify(whole), given, whole) for given, whole in zip(documents, completed, strict=True)
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
        (changed(*PROPERTIES, "password", "writeOnly", to=False), [("secret shown", "$.password", [])]),
        (changed(*PROPERTIES, "password", "default", to="new"), [("default changed", "$.password", ["a", "b"])]),
    ],
)
def test_what_is_told(new, told):
    found = [
        each.to_json()
        for each in impact(
            unit_from_definition(new), unit_from_definition(OLD), stored({"host": "a"}, {"host": "b", "port": 100})
        )
    ]
    rows = [(row["impact"], row["path"], row["instances"]) for row in found]
    assert rows == told
    assert not any("'old'" in row["message"] or "'new'" in row["message"] for row in found)


def test_a_document_that_fits_but_could_not_be_set_again():
    new = changed("params", "required", to=["host", "port"])
    del new["params"]["properties"]["port"]["default"]
    [found] = impact(unit_from_definition(new), None, stored({"host": "a"}))
    assert (found.kind, found.finding.path, found.keys) == ("breaks when set", "$", ("a",))


def test_nothing_is_stored_and_nothing_is_touched():
    assert impact(unit_from_definition(changed("meta", "max_instances", to=1)), unit_from_definition(OLD), []) == []


def test_many_instances_are_told_by_their_number():
    new = changed(*PROPERTIES, "port", "maximum", to=10)
    [found] = impact(unit_from_definition(new), None, stored(*({"host": f"h{n}"} for n in range(5))))
    assert found.to_json()["message"].endswith("(5 instances: h0, h1, h2 and 2 more)")


def test_a_secret_that_the_new_text_does_not_mark_is_not_quoted():
    new = changed(*PROPERTIES, "password", to={"type": "string", "maxLength": 3})
    found = impact(unit_from_definition(new), unit_from_definition(OLD), stored({"host": "a", "password": "canary"}))
    told = [each.to_json() for each in found]
    assert [(row["impact"], row["path"]) for row in told] == [("breaks", "$.password"), ("secret shown", "$.password")]
    assert "canary" not in str(told)
