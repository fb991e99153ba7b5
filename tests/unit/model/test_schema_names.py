"""Whatever a schema accepts has only names that are foretold; what names its author, and nobody else, are foretold."""

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmaps.model.schema import Schema, drafts, lint
from lmaps.model.schema.names import Names, property_names
from lmaps.model.schema.patterns import beginnings

WORDS = ["a", "b", "ab", "hosts", "site_a"]
PATTERNS = ["", "^a", "^(a|ho)", "^a|b", "^ab*", "^(ab)?", "b", "^a$", "(?i)^A", "^site_"]
BEGINNINGS = {
    "": {""}, "a": {""}, "^": {""}, "^.": {""}, "^[a]": {""}, r"^\w": {""}, "^(?!a)": {""}, "(?i)^a": {""}, "$^a": {""},
    "(^a)": {""}, "^(?i:a)": {""}, "^(?=a)b": {""}, "^((a)|b)": {""}, "^-": {""}, "^é": {""},
    "^site_": {"site_"}, "^site_[a-z]+$": {"site_"}, "^site$": {"site"}, "^a1_.*": {"a1_"}, "^A": {"A"},
    "^site_?": {"site"}, "^site_*x": {"site"}, "^site_{0}": {"site"}, "^site_+": {"site_"}, "^a?": {""}, "^a{0,1}b": {""},
    "^a|b": {""}, "^a(b|c)": {"ab", "ac"}, "^a(b|)": {"a"}, "^(app|web)_": {"app_", "web_"}, "^(?:app|web)": {"app", "web"},
    "^(app|web)_?x": {"app", "web"}, "^(app|web)?x": {""}, "^a(b|c)*": {"a"}, "^a(b)|c": {""}, "^a[|]": {"a"},
    r"^a\|b": {"a"}, "^a(x(y|z)|w)": {"a"}, "^a(x(y|z)|w)|b": {""}, r"^a(\)|b)": {"a"}, "^(app|web)+": {"app", "web"},
}  # fmt: skip
CLOSED: dict[str, Any] = {
    "additionalProperties": ({"properties": {"a": {}, "b": True}, "additionalProperties": False}, {"a", "b"}),
    "a property that is false": ({"properties": {"a": {}, "b": False}, "additionalProperties": False}, {"a"}),
    "unevaluatedProperties": ({"properties": {"a": {}}, "unevaluatedProperties": False}, {"a"}),
    "unevaluatedProperties, allOf": (
        {"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}], "unevaluatedProperties": False},
        {"a", "b"},
    ),
    "unevaluatedProperties, if": (
        {
            "if": {"properties": {"a": {"const": 1}}},
            "then": {"properties": {"b": {}}},
            "else": {"properties": {"c": {}}},
            "unevaluatedProperties": False,
        },
        {"a", "b", "c"},
    ),
    "unevaluatedProperties, dependentSchemas": (
        {"dependentSchemas": {"a": {"properties": {"a": {}}}}, "unevaluatedProperties": False},
        {"a"},
    ),
    "allOf": ({"allOf": [{"properties": {"a": {}}, "additionalProperties": False}, {"properties": {"b": {}}}]}, {"a"}),
    "anyOf": (
        {
            "anyOf": [
                {"properties": {"a": {}}, "additionalProperties": False},
                {"properties": {"b": {}}, "unevaluatedProperties": False},
            ]
        },
        {"a", "b"},
    ),
    "oneOf with null": (
        {"oneOf": [{"type": "null"}, {"properties": {"a": {}}, "additionalProperties": False}]},
        {"a"},
    ),
    "then and else": (
        {
            "if": {"required": ["a"]},
            "then": {"properties": {"a": {}}, "additionalProperties": False},
            "else": {"properties": {"b": {}}, "additionalProperties": False},
        },
        {"a", "b"},
    ),
    "$ref": (
        {"$ref": "#/$defs/x", "$defs": {"x": {"properties": {"a": {}}, "additionalProperties": False}}},
        {"a"},
    ),
    "$ref to itself": ({"properties": {"a": {"$ref": "#"}}, "additionalProperties": False}, {"a"}),
    "$ref in draft 7, whose siblings have no meaning": (
        {
            "$schema": drafts.NAMES[2],
            "$ref": "#/definitions/x",
            "additionalProperties": True,
            "definitions": {"x": {"properties": {"a": {}}, "additionalProperties": False}},
        },
        {"a"},
    ),
    "propertyNames, enum": ({"propertyNames": {"enum": ["a", "b", 1]}}, {"a", "b"}),
    "propertyNames, const": ({"propertyNames": {"const": "a"}}, {"a"}),
    "propertyNames false": ({"propertyNames": False}, set()),
    "both": ({"propertyNames": {"pattern": "^a"}, "properties": {"a": {}, "b": {}}, "additionalProperties": False}, {"a"}),
}  # fmt: skip
NOT_CLOSED: dict[str, Any] = {
    "draft 7 knows no unevaluatedProperties": {"$schema": drafts.NAMES[2], "unevaluatedProperties": False},
    "draft 4 knows no propertyNames": {"$schema": drafts.NAMES[0], "propertyNames": {"enum": ["a"]}},
    "draft 6 knows no if": {
        "$schema": drafts.NAMES[1],
        "if": True,
        "then": {"additionalProperties": False},
        "else": {"additionalProperties": False},
    },
    "draft 7 ignores what is beside a $ref": {
        "$schema": drafts.NAMES[2],
        "$ref": "#/definitions/x",
        "additionalProperties": False,
        "definitions": {"x": {}},
    },
    "one branch of anyOf": {"anyOf": [{"properties": {"a": {}}, "additionalProperties": False}, {"minProperties": 1}]},
    "then without else": {"if": {"required": ["a"]}, "then": {"additionalProperties": False}},
    "not": {"not": {"additionalProperties": False}},
    "a $ref to itself alone": {"anyOf": [{"required": ["x"]}, {"$ref": "#"}]},
}


@pytest.mark.parametrize("pattern", BEGINNINGS)
def test_how_matches_of_a_pattern_begin(pattern: str) -> None:
    assert beginnings(pattern) == BEGINNINGS[pattern]


TOKENS = "^ ^ a a b b _ ( ( ) ) (?: | ? * + {0} {1,} [a] [|] . $ \\ (?=a) (?i)".split()


@given(st.lists(st.sampled_from(TOKENS), max_size=8).map("".join), st.text("ab_(|\\", max_size=5))
def test_no_match_begins_otherwise(pattern: str, text: str) -> None:
    try:
        found = re.search(pattern, text)
    except (re.error, FutureWarning, DeprecationWarning):
        return
    assert found is None or text.startswith(tuple(beginnings(pattern))), (pattern, text)


@pytest.mark.parametrize("case", CLOSED)
def test_the_names_of_a_closed_schema_are_those_of_its_author(case: str) -> None:
    definition, names = CLOSED[case]
    assert lint(definition) == []
    found = property_names(definition)
    assert (found.named.keys(), found.beginnings) == (names, {})


@pytest.mark.parametrize("case", NOT_CLOSED)
def test_a_schema_that_is_not_closed_takes_any_name(case: str) -> None:
    assert lint(NOT_CLOSED[case]) == []
    assert "" in property_names(NOT_CLOSED[case]).beginnings
    assert Schema(NOT_CLOSED[case]).findings({"x": 1}) == []


def _schemas(old: bool) -> Any:
    """Schemas of one object: with every applicator that can let names in or keep them out, and references."""
    value = (
        st.sampled_from([{}, {"type": "integer"}]) if old else st.sampled_from([True, False, {}, {"type": "integer"}])
    )
    closing = st.sampled_from([False, False, True, {"type": "integer"}])
    leaf = st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from(WORDS), value, max_size=2),
            "patternProperties": st.dictionaries(st.sampled_from(PATTERNS), value, max_size=2),
            "additionalProperties": closing,
            "unevaluatedProperties": closing,
            "type": st.sampled_from(["object", "array", ["object", "null"]]),
            "required": st.just(["a"]),
            "propertyNames": st.sampled_from(
                [{"enum": ["a", "hosts"]}, {"const": "b"}, {"maxLength": 3}]
                + [{"pattern": pattern} for pattern in PATTERNS]
            ),
        },
    )

    def nested(schema: Any) -> Any:
        return st.builds(
            lambda base, more: base | more,
            leaf,
            st.fixed_dictionaries(
                {},
                optional={
                    "allOf": st.lists(schema, min_size=1, max_size=2),
                    "anyOf": st.lists(schema, min_size=1, max_size=2),
                    "oneOf": st.lists(schema, min_size=1, max_size=2),
                    "if": schema,
                    "then": schema,
                    "else": schema,
                    "not": schema,
                    "dependentSchemas": st.dictionaries(st.just("a"), schema, max_size=1),
                    "dependencies": st.dictionaries(st.just("a"), schema, max_size=1),
                    "$ref": st.sampled_from(["#/definitions/x", "#/definitions/y"]),
                    "$dynamicRef": st.just("#anchor"),
                    "$recursiveRef": st.just("#"),
                },
            ),
        )

    return st.recursive(leaf, nested, max_leaves=5)


def _with_definitions(draft: str, root: Any, x: Any, y: Any) -> dict[str, Any]:
    anchor = {"$dynamicAnchor": "anchor"} if draft == drafts.DEFAULT else {}
    return {**root, "$schema": draft, "definitions": {"x": x | anchor, "y": y}}


DEFINITIONS = st.one_of(
    st.builds(_with_definitions, st.sampled_from(drafts.OLD[:1]), *[_schemas(old=True)] * 3),
    st.builds(_with_definitions, st.sampled_from(drafts.NAMES[1:]), *[_schemas(old=False)] * 3),
)
DOCUMENTS = st.dictionaries(st.sampled_from([*WORDS, "", "B", "Ax", "x", "hostvars", "b_a"]), st.sampled_from([1, "x"]), max_size=3)  # fmt: skip


@settings(max_examples=50, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(DEFINITIONS, st.booleans(), st.lists(DOCUMENTS, min_size=3, max_size=6))
def test_no_schema_accepts_a_name_that_is_not_foretold(definition: Any, strict: bool, documents: list[Any]) -> None:
    if lint(definition):
        return
    schema = Schema(definition, closed=strict)
    names = property_names(schema.definition)
    for document in documents:
        if all(map(names.may_have, document)):
            continue
        try:
            assert schema.findings(document), (schema.definition, document)
        except RecursionError:
            continue  # a schema that refers to itself alone: it accepts nothing


@pytest.mark.parametrize("draft", drafts.NAMES)
@pytest.mark.parametrize("patterns", [["^a", "(?i)^B"], ["^(?P<x>a)", "^(?P<x>b)"], ["^(a)", r"^(b)\1?"]])
def test_patterns_of_one_schema_stand_on_their_own(draft: str, patterns: list[str]) -> None:
    definition = {
        "$schema": draft,
        "patternProperties": {pattern: {"type": "integer"} for pattern in patterns},
        "additionalProperties": False,
    }  # fmt: skip
    assert lint(definition) == []
    schema = Schema(definition)
    assert schema.findings({"a1": 1, "b1": 1}) == []
    assert [finding.at for finding in schema.findings({"a1": 1, "b1": "x", "c": 1})] == [("b1",), ("c",)]


def test_names_are_combined() -> None:
    left = Names({"a": ("1",), "site_x": ("2",)}, {"we": ("3",)})
    right = Names({"web": ("4",), "b": ("5",)}, {"site_": ("6",), "": ()})
    assert (left | right).may_have("anything")
    assert (left & right).named == {"a": ("1",), "site_x": ("2",), "web": ("4",)}
    assert (left & right).beginnings == {"we": ("3",)}
    assert not (left & right).may_have("b")
