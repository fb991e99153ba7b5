"""The compiled checks and defaults do what jsonschema and `Defaults` do, on every schema that they take."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmaps.model.schema import backend, drafts
from lmaps.model.schema.compiled import compile_check, compile_defaults
from lmaps.model.schema.defaults import Defaults
from lmaps.model.schema.lint import lint_fully, lint_plain

NAMES = st.sampled_from(["a", "b", "c", "host"])
TEXTS = st.sampled_from(["", "a", "ab\n", "abc", "www.example.org", "-x", "2026-11-23", "low"]) | st.text(max_size=4)
NUMBERS = st.integers(-3, 5) | st.sampled_from([0.0, 1.0, 1.5, -2.0, 2.5, 1e300, 2**70])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=4),
    max_leaves=8,
)
TYPES = st.sampled_from(["object", "array", "string", "number", "integer", "boolean", "null"])
SIZES = st.integers(0, 4)
LEAVES = st.fixed_dictionaries(
    {},
    optional={
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "enum": st.lists(TEXTS, min_size=1, max_size=3, unique=True),
        "const": TEXTS,
        "pattern": st.sampled_from(["^a", "b$", "^[a-z]*$", r"\d"]),
        "format": st.sampled_from(["hostname", "date", "email", "uri", "ipv4", "unheard-of"]),
        **{f"{end}{what}": SIZES for end in ("min", "max") for what in ("Length", "Items", "Properties")},
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), NUMBERS),
        "title": TEXTS,
        "default": VALUES,
        "x-lmaps-secret": st.booleans(),
    },
)
SCHEMAS = st.recursive(
    st.booleans() | LEAVES,
    lambda below: st.tuples(
        LEAVES,
        st.fixed_dictionaries(
            {},
            optional={
                "properties": st.dictionaries(NAMES, below, max_size=3),
                "required": st.lists(NAMES, max_size=3, unique=True),
                "additionalProperties": below,
                "items": below,
            },
        ),
    ).map(lambda parts: parts[0] | parts[1]),
    max_leaves=6,
)


def verdict(schema: Any, value: Any) -> bool:
    return bool(backend.validator(schema).is_valid(value))


@settings(max_examples=600)
@given(SCHEMAS, st.sampled_from(drafts.NAMES[1:]), st.lists(VALUES, min_size=1, max_size=6))
def test_agrees_with_jsonschema(schema: Any, draft: str, values: list[Any]) -> None:
    schema = {"$schema": draft, **schema} if isinstance(schema, dict) else schema
    check = compile_check(schema)
    assert check is not None
    assert [check(value) for value in values] == [verdict(schema, value) for value in values]


KEYWORDS = """
    type enum const required pattern format minLength maxItems minProperties minimum exclusiveMaximum properties items
    additionalProperties title description default examples deprecated readOnly writeOnly $comment $id contentEncoding
    example x-lmaps-secret minLenght $defs
""".split()
WORDS = TYPES | TEXTS | st.sampled_from(["[", "a b", "#a", "http://example.org/x"])


@settings(max_examples=600)
@given(
    st.dictionaries(st.sampled_from(KEYWORDS), VALUES | WORDS | st.lists(WORDS, max_size=3), max_size=2),
    st.sampled_from(drafts.NAMES),
    st.booleans(),
)
def test_what_is_plain_is_a_schema_of_its_draft(part: dict[str, Any], draft: str, below: bool) -> None:
    schema = {"$schema": draft, **({"properties": {"a": part}} if below else part)}
    if compile_check(schema) is not None:
        assert [error.message for error in backend.metaschema_errors(schema)] == []
        assert lint_fully(schema) == lint_plain(schema)


@pytest.mark.parametrize(
    "part",
    [
        {"$ref": "#"},
        {"enum": [1, "a"]},
        {"const": None},
        {"multipleOf": 0.1},
        {"uniqueItems": True},
        {"patternProperties": {"^a": True}},
        {"anyOf": [True]},
        {"not": {"type": "null"}},
        {"minLenght": 1},
        {"required": True},
        {"pattern": "["},
        {"type": "text"},
        {"$id": "#a"},
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": [True]},
        {"$schema": "http://json-schema.org/draft-04/schema#"},
    ],
)
def test_what_is_not_plain_is_left_to_jsonschema(part: dict[str, Any]) -> None:
    assert compile_check(part) is None
    below = {name: value for name, value in part.items() if name != "$schema"}
    if below:
        around = {name: value for name, value in part.items() if name == "$schema"}
        assert compile_check(around | {"properties": {"a": below}}) is None


@settings(max_examples=400)
@given(SCHEMAS, st.sampled_from(drafts.NAMES), st.lists(VALUES, min_size=1, max_size=6))
def test_applies_defaults_as_for_all_schemas(schema: Any, draft: str, values: list[Any]) -> None:
    schema = {"$schema": draft, **schema} if isinstance(schema, dict) else schema
    quick, before = compile_defaults(schema), repr(values)
    whole = Defaults(schema, backend.validator(schema))
    assert quick is not None
    assert [repr(quick(value)) for value in values] == [repr(whole.apply(value)) for value in values]
    assert repr(values) == before


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf", "prefixItems"])
def test_what_steers_defaults_is_not_compiled(keyword: str) -> None:
    schemas: list[dict[str, Any]] = [{keyword: [{}]}, {"properties": {"a": {"items": {keyword: [{}]}}}}]
    for schema in schemas:
        assert compile_defaults(schema) is None
    assert compile_defaults({"$ref": "#"}) is None
    assert compile_defaults({"items": [{"default": 1}]}) is None


def test_a_filled_document_shares_nothing_with_the_schema() -> None:
    schema = {"properties": {"a": {"default": [1], "type": "array"}}}
    fill = compile_defaults(schema)
    assert fill is not None
    fill({})["a"].append(2)
    assert fill({}) == {"a": [1]}
