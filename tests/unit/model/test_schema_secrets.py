import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaps.model.diff import differences
from lmaps.model.schema import Secrets, scrubber
from lmaps.model.schema.secrets import CHANGED, MASK

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
    assert SECRETS.unmasked(masked, document) == document
    assert sorted(map(str, SECRETS.still_masked(masked))) == sorted(map(str, found))


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
    found = [each.to_json() for each in SECRETS.differences(differences(before, after), before, after)]
    assert [(row["path"].strip("/").replace("/", "."), row.get("before"), row.get("after")) for row in found] == told


def test_text_is_scrubbed_of_secrets_as_they_stand_and_as_json():
    scrub = scrubber(['pass"word', "short", "line one of it\nline two", {"pin": "0123456"}, 1234567])
    assert scrub('x pass"word y') == "x (secret) y"
    assert scrub(json.dumps({"a": 'pass"word'})) == '{"a": "(secret)"}'
    assert scrub("line two") == "(secret)"
    assert scrub("0123456 1234567") == "(secret) (secret)"
    assert scrub("short") == "short"
    assert scrubber([])("anything") == "anything"


@given(st.lists(st.text("ab", min_size=6, max_size=9)), st.text("abc", max_size=40))
def test_what_is_hidden_is_the_longest_at_each_place(secrets, text):
    pattern = "|".join(sorted(secrets, key=len, reverse=True)) or "nothing"
    assert scrubber(secrets)(text) == re.sub(pattern, "(secret)", text)


@given(st.text(min_size=6), st.text(), st.text())
def test_no_secret_survives(secret, before, after):
    text = scrubber([secret])(before + secret + after)
    assert secret not in text.replace("(secret)", "")
