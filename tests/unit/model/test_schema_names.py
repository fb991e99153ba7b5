"""Whatever a schema accepts has only names that are foretold; what names its author, and nobody else, are foretold."""

import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaps.model.schema import Schema, drafts, lint
from lmaps.model.schema.names import Names, property_names
from lmaps.model.schema.patterns import beginnings

WORDS = ["a", "b", "ab", "hosts", "site_a"]
PATTERNS = ["", "^a", "^(a|ho)", "^a|b", "^ab*", "^(ab)?", "b", "^a$", "(?i)^A", "^site_"]
NAMES = [*WORDS, "", "B", "Ax", "x", "hostvars", "b_a"]
EXAMPLES = 400
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


def _schema(rng: random.Random, draft: str, depth: int, *definitions: str) -> Any:
    """A schema of few keywords: of those that let names in or keep them out, applicators, and references.

    Few, since a schema of many refuses nearly everything. The references lead to ``definitions``, never back.
    """
    values = [{}, {}, {"type": "integer"}] if draft == drafts.DRAFT4 else [True, {}, {}, False, {"type": "integer"}]

    def below() -> Any:
        return _schema(rng, draft, depth - 1, *definitions)

    def some(names: list[str]) -> Any:
        return {name: rng.choice(values) for name in rng.sample(names, rng.randint(1, 2))}

    makers: dict[str, Any] = {
        "properties": lambda: some(WORDS),
        "patternProperties": lambda: some(PATTERNS),
        "additionalProperties": lambda: rng.choice([False, False, True, {"type": "integer"}]),
        "unevaluatedProperties": lambda: rng.choice([False, False, False, True, {"type": "integer"}]),
        "propertyNames": lambda: rng.choice(
            [{"enum": ["a", "hosts"]}, {"const": "b"}, {"maxLength": 3}, {"pattern": rng.choice(PATTERNS)}]
        ),
        "type": lambda: rng.choice(["object", "array", ["object", "null"]]),
        "required": lambda: ["a"],
    }
    if definitions:
        makers["$ref"] = lambda: f"#/definitions/{rng.choice(definitions)}"
        makers["$dynamicRef"] = lambda: "#anchor"
    keywords = rng.sample(list(makers), rng.randint(1, 2))
    if depth:
        for keyword in ("allOf", "anyOf", "oneOf"):
            makers[keyword] = lambda: [below() for _ in range(rng.randint(1, 2))]
        for keyword in ("if", "then", "else", "not"):
            makers[keyword] = below
        for keyword in ("dependentSchemas", "dependencies"):
            makers[keyword] = lambda: {"a": below()}
        keywords += rng.choice([["allOf"], ["anyOf"], ["oneOf"], ["if", "then", "else"], ["if"], ["not"]])
        keywords += rng.choice([[], [], ["dependentSchemas"], ["dependencies"], ["unevaluatedProperties"]])
    return {keyword: makers[keyword]() for keyword in dict.fromkeys(keywords)}


def _definition(rng: random.Random, draft: str) -> Any:
    anchor = {"$dynamicAnchor": "anchor"} if draft == drafts.DEFAULT else {}
    x, y = _schema(rng, draft, 1, "y"), _schema(rng, draft, 1) | anchor
    return _schema(rng, draft, 2, "x", "y") | {"$schema": draft, "definitions": {"x": x, "y": y}}


@pytest.mark.parametrize("draft", drafts.NAMES)
def test_no_schema_accepts_a_name_that_is_not_foretold(draft: str) -> None:
    rng = random.Random(draft)
    accepted = closed = 0
    for _ in range(EXAMPLES):
        definition, strict = _definition(rng, draft), rng.random() < 0.5
        schema = Schema(definition, closed=strict)
        names = property_names(schema.definition)
        closed += "" not in names.beginnings
        for _ in range(6):
            document = {name: rng.choice([1, "x"]) for name in rng.sample(NAMES, rng.randint(1, 2))}
            if not schema.findings(document):
                accepted += 1
                assert all(map(names.may_have, document)), (schema.definition, document)
    assert accepted >= EXAMPLES / 4
    assert closed >= EXAMPLES / 4


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
