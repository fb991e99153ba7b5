import pytest

from lmaps.model.diff import differences
from lmaps.model.schema import Secrets
from lmaps.model.schema.secrets import CHANGED, MASK, masked_differences
from lmaps.model.schema.unmasking import remaining_masks, unmasked

SECRET = {"type": "string", "writeOnly": True}
SCHEMA = {
    "properties": {
        "password": SECRET,
        "deep": {"properties": {"key": {"x-lmaps-secret": True}, "open": {}}},
        "list": {"items": {"properties": {"token": SECRET}}},
        "pair": {"prefixItems": [{}, SECRET]},
        "ref": {"$ref": "#/$defs/secret"},
        "either": {"oneOf": [{"type": "integer"}, SECRET]},
        "when": {"if": {"type": "string"}, "then": SECRET},
        "tree": {"$ref": "#/$defs/tree"},
    },
    "patternProperties": {"^p_": SECRET},
    "additionalProperties": {"properties": {"pin": SECRET}},
    "$defs": {"secret": SECRET, "tree": {"properties": {"leaf": SECRET, "below": {"$ref": "#/$defs/tree"}}}},
}
SECRETS = Secrets(SCHEMA)


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        ({}, []),
        ({"password": "x", "open": 1}, ["password"]),
        ({"deep": {"key": {"a": 1}, "open": 2}}, ["deep.key"]),
        ({"list": [{"token": "a"}, {}, {"token": "b"}]}, ["list.0.token", "list.2.token"]),
        ({"pair": ["a", "b", "c"]}, ["pair.1"]),
        ({"ref": "x"}, ["ref"]),
        ({"either": 7}, ["either"]),
        ({"when": "x"}, ["when"]),
        ({"p_any": "x"}, ["p_any"]),
        ({"other": {"pin": "1", "not": 2}}, ["other.pin"]),
        ({"tree": {"leaf": "a", "below": {"below": {"leaf": "b"}}}}, ["tree.below.below.leaf", "tree.leaf"]),
        ({"password": None}, ["password"]),
        ("no object", []),
    ],
)
def test_where_secrets_stand(document, paths):
    found = SECRETS.paths(document)
    assert sorted(".".join(map(str, path)) for path in found) == paths
    masked = SECRETS.masked(document)
    for path in found:
        value = masked
        for key in path:
            value = value[key]
        assert value == MASK
    assert unmasked(SECRETS, masked, document) == document
    assert {finding.at for finding in remaining_masks(masked, 0)} == found


def test_a_schema_without_secrets_costs_nothing():
    document = {"a": 1}
    assert not Secrets({"properties": {"a": {}}}).any
    assert Secrets(True).masked(document) is document


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"password": "a"}, {"password": "b"}, [("password", MASK, CHANGED)]),
        ({"password": "a"}, {"password": "a"}, []),
        ({}, {"password": "a"}, [("password", None, MASK)]),
        ({"password": "a"}, {}, [("password", MASK, None)]),
        ({"deep": {"key": {"a": 1, "b": 2}}}, {"deep": {"key": {"a": 2, "b": 3}}}, [("deep.key", MASK, CHANGED)]),
        ({"list": [{"token": "a"}]}, {"list": []}, [("list", [{"token": MASK}], [])]),
        ({"open": 1}, {"open": 2}, [("open", 1, 2)]),
    ],
)
def test_differences_tell_that_a_secret_changed_and_not_how(before, after, told):
    found = [
        each.to_json()
        for each in masked_differences(differences(before, after), SECRETS.paths(before) | SECRETS.paths(after))
    ]
    assert [(row["path"].strip("/").replace("/", "."), row.get("before"), row.get("after")) for row in found] == told
