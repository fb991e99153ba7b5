"""Every keyword of every draft that holds schemas: a mark below it is followed to the value, or refused."""

from collections.abc import Iterator
from typing import Any

import jsonschema_specifications  # type: ignore[import-untyped]  # it has no types
import pytest

from lmaps.model.schema import Secrets, drafts, lint

SECRET = {"x-lmaps-secret": True}
CANARY = "canary"


def metaschemas(draft: str) -> Iterator[Any]:
    """The metaschema of a draft, with those of its vocabularies."""
    contents = jsonschema_specifications.REGISTRY[draft].contents
    yield contents
    for part in contents.get("allOf", []):
        yield jsonschema_specifications.REGISTRY.resolver(draft).lookup(part["$ref"]).contents


def is_schema(definition: Any) -> bool:
    """Whether a metaschema says that a value is a schema: by a reference to itself, alone or beside a boolean."""
    if not isinstance(definition, dict):
        return False
    own = definition.get("$ref") == "#" or "$dynamicRef" in definition or "$recursiveRef" in definition
    return own or any(map(is_schema, definition.get("anyOf", [])))


def holders(draft: str) -> Iterator[tuple[str, str]]:
    """The keywords that hold schemas, each with how: ``one``, ``list`` or ``names``."""
    for metaschema in metaschemas(draft):
        for keyword, definition in metaschema.get("properties", {}).items():
            forms = [definition, *(definition.get("anyOf", []) if isinstance(definition, dict) else [])]
            for form in forms:
                if is_schema(form):
                    yield keyword, "one"
                elif isinstance(form, dict) and form.get("$ref") in (
                    "#/definitions/schemaArray",
                    "#/$defs/schemaArray",
                ):
                    yield keyword, "list"
                elif isinstance(form, dict) and is_schema(form.get("additionalProperties")):
                    yield keyword, "names"


HOLDERS = sorted({(draft, keyword, form) for draft in drafts.NAMES for keyword, form in holders(draft)})

OF_ITEMS = ("items", "additionalItems", "prefixItems", "contains", "unevaluatedItems")
OF_PROPERTIES = ("properties", "patternProperties", "additionalProperties", "unevaluatedProperties")
OF_THE_VALUE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependencies", "dependentSchemas")
NO_VALUE = ("propertyNames", "contentSchema")
BY_REFERENCE = ("definitions", "$defs")


def test_all_that_hold_schemas_are_here():
    keywords = {keyword for _, keyword, _ in HOLDERS}
    assert keywords == {*OF_ITEMS, *OF_PROPERTIES, *OF_THE_VALUE, *NO_VALUE, *BY_REFERENCE}
    assert len(HOLDERS) > 60


def holding(keyword: str, form: str, below: Any) -> dict[str, Any]:
    """A schema of one keyword with ``below`` in it; names match the property ``a``."""
    return {keyword: below if form == "one" else [below] if form == "list" else {"a": below}}


@pytest.mark.parametrize(("draft", "keyword", "form"), HOLDERS)
@pytest.mark.parametrize("deep", [False, True], ids=["", "deep"])
def test_a_mark_below_every_keyword(draft: str, keyword: str, form: str, deep: bool) -> None:
    mark = {"properties": {"b": {"items": SECRET}}} if deep else SECRET
    value: Any = {"b": [CANARY]} if deep else CANARY
    rest = ("b", 0) if deep else ()
    part = holding(keyword, form, mark)
    document: dict[str, Any] = {"v": value}
    path: tuple[Any, ...] = ("v",)
    if keyword in OF_ITEMS:
        document, path = {"v": [value]}, ("v", 0)
        if keyword == "additionalItems":
            part["items"], document, path = [{}], {"v": [1, value]}, ("v", 1)
    elif keyword in OF_PROPERTIES:
        document, path = {"v": {"a": value}}, ("v", "a")
    elif keyword in BY_REFERENCE:
        part["$ref"] = f"#/properties/v/{keyword}/a"
    schema = {"$schema": draft, "properties": {"v": part}}
    if keyword in NO_VALUE:
        [finding] = lint(schema) if not deep else lint(schema)[:1]
        assert finding.message == f"nothing can be a secret under {keyword}: mark the value itself"
        return
    secrets = Secrets(schema)
    assert secrets.any
    assert (*path, *rest) in secrets.paths(document)
    assert CANARY not in str(secrets.masked(document))
    assert lint(schema) == []


REFERENCES = {
    "$ref into a place without a keyword": {"place": SECRET, "properties": {"v": {"$ref": "#/place"}}},
    "$ref and on from there": {
        "place": {"$ref": "#/other"},
        "other": SECRET,
        "properties": {"v": {"$ref": "#/place"}},
    },
    "$anchor": {"properties": {"v": {"$ref": "#s"}}, "$defs": {"s": {"$anchor": "s", **SECRET}}},
    "$id": {
        "$id": "https://example.org/root",
        "properties": {"v": {"$ref": "part"}},
        "$defs": {"p": {"$id": "part", **SECRET}},
    },
    "a relative $id, and a reference in its scope": {
        "properties": {"v": {"$ref": "#/$defs/b"}},
        "$defs": {"b": {"$id": "dir/b.json", "$ref": "#/$defs/x", "$defs": {"x": SECRET}}},
    },
    "a relative $id below an absolute one": {
        "$id": "https://example.org/root",
        "properties": {"v": {"$ref": "dir/b.json"}},
        "$defs": {"b": {"$id": "dir/b.json", "$ref": "c.json"}, "c": {"$id": "dir/c.json", **SECRET}},
    },
    "$id beside the root": {
        "allOf": [{"$id": "sub", "$ref": "#/$defs/x", "$defs": {"x": {"properties": {"v": SECRET}}}}]
    },
    "id of draft 4": {
        "$schema": drafts.DRAFT4,
        "properties": {"v": {"$ref": "#/definitions/b"}},
        "definitions": {
            "b": {
                "id": "dir/b.json",
                "allOf": [{"$ref": "#/definitions/c"}],
                "definitions": {"c": SECRET},
            }
        },
    },
    "$dynamicRef": {"properties": {"v": {"$dynamicRef": "#s"}}, "$defs": {"s": {"$dynamicAnchor": "s", **SECRET}}},
    "$dynamicRef to the outermost": {
        "$id": "https://example.org/root",
        "properties": {"v": {"$ref": "inner#/$defs/use"}},
        "$defs": {
            "outer": {"$dynamicAnchor": "s", **SECRET},
            "inner": {
                "$id": "inner",
                "$defs": {"use": {"$dynamicRef": "#s"}, "own": {"$dynamicAnchor": "s", "type": "string"}},
            },
        },
    },
}


@pytest.mark.parametrize("schema", REFERENCES.values(), ids=list(REFERENCES))
def test_a_mark_at_the_end_of_a_reference(schema: dict[str, Any]) -> None:
    assert lint(schema) == []
    secrets = Secrets(schema)
    assert secrets.any
    assert secrets.paths({"v": CANARY}) == {("v",)}


def test_a_mark_at_the_end_of_a_recursive_reference() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "$recursiveAnchor": True,
        "properties": {"pin": SECRET, "below": {"$recursiveRef": "#"}},
    }
    assert lint(schema) == []
    assert Secrets(schema).paths({"below": {"below": {"pin": CANARY}}}) == {("below", "below", "pin")}


@pytest.mark.parametrize("draft", drafts.NAMES)
@pytest.mark.parametrize(
    "keyword",
    [
        "x-lmaps-secrets",
        "x-lmaps-Secret",
        "x-lmaps-",
        "x-lmaps-hidden",
        "X-LMAPS-SECRET",
        "x_lmaps_secret",
        "xLmapsSecret",
    ],
)
@pytest.mark.parametrize("place", ["plain", "full"])
def test_a_misspelt_mark_is_refused(draft: str, keyword: str, place: str) -> None:
    part = {"type": "string", keyword: True}
    schema = {"properties": {"a": part}} if place == "plain" else {"allOf": [{"properties": {"a": part}}]}
    [finding] = lint({"$schema": draft, **schema})
    assert finding.message == f"unknown keyword {keyword}; the one keyword of lMaPS is x-lmaps-secret"
    assert finding.at[-1] == keyword


@pytest.mark.parametrize("draft", drafts.NAMES)
@pytest.mark.parametrize("keyword", ["writeonly", "write_only", "write-only", "WriteOnly"])
def test_a_misspelt_write_only_is_refused(draft: str, keyword: str) -> None:
    [finding] = lint({"$schema": draft, "properties": {"a": {keyword: True}}})
    assert (finding.message, finding.at[-1]) == (f"unknown keyword {keyword}; did you mean writeOnly?", keyword)


@pytest.mark.parametrize("outside", drafts.OUTSIDE)
@pytest.mark.parametrize("draft", drafts.NAMES[2:])
def test_a_mark_that_marks_no_value_is_refused_however_it_is_reached(draft: str, outside: str) -> None:
    section = "$defs" if draft in drafts.NAMES[3:] else "definitions"
    parts: dict[str, Any] = {"pin": SECRET, "way": {"anyOf": [{"$ref": f"#/{section}/pin"}]}, "open": {}}
    for below, is_refused in (
        (SECRET, True),
        ({"not": SECRET}, True),
        ({"$ref": f"#/{section}/way"}, True),
        ({}, False),
    ):
        schema = {"$schema": draft, section: parts, "properties": {"a": {outside: below}}}
        messages = [finding.message for finding in lint(schema)]
        assert messages == [f"nothing can be a secret under {outside}: mark the value itself"] * is_refused


@pytest.mark.parametrize("value", ["true", 1, None, {}])
def test_a_mark_is_true_or_false(value: Any) -> None:
    for draft in drafts.NAMES[:2]:  # the later ones know it themselves
        assert [finding.message for finding in lint({"$schema": draft, "properties": {"a": {"writeOnly": value}}})] == [
            "writeOnly is true or false"
        ]
    [finding] = lint({"properties": {"a": {"x-lmaps-secret": value}}})
    assert (finding.message, finding.at) == ("x-lmaps-secret is true or false", ("properties", "a", "x-lmaps-secret"))


def test_a_property_may_be_called_like_a_keyword() -> None:
    named = {"x-lmaps-hidden": {}, "x-lmaps-secret": {}, "propertyNames": SECRET, "writeOnly": SECRET}
    schema = {"properties": {"a": {"properties": named}, **named}}
    assert lint(schema) == []
    assert Secrets(schema).paths({"writeOnly": 1, "a": {"propertyNames": 2}}) == {
        ("writeOnly",),
        ("a", "propertyNames"),
    }


@pytest.mark.parametrize(
    "schema",
    [SECRET, {"writeOnly": True}, {"allOf": [SECRET]}, {"$ref": "#/$defs/s", "$defs": {"s": SECRET}}, {"not": SECRET}],
)
def test_a_whole_instance_is_no_secret(schema: dict[str, Any]) -> None:
    assert [finding.message for finding in lint(schema)] == ["a whole instance cannot be a secret: mark its properties"]


def test_below_a_whole_that_is_marked_marks_are_followed_too() -> None:
    """Such a unit is refused today; one that was kept earlier still shows no secret."""
    schema = {
        "writeOnly": True,
        "allOf": [{"writeOnly": True, "properties": {"a": SECRET}}],
        "properties": {"b": SECRET},
    }
    assert Secrets(schema).paths({"a": 1, "b": 2, "c": 3}) == {("a",), ("b",)}


def test_schemas_that_refer_to_each_other_are_walked_once() -> None:
    """Twenty that all lead to all of them have more ways between them than anybody could walk."""
    count = 20
    parts: dict[str, Any] = {
        f"p{n}": {"anyOf": [{"$ref": f"#/$defs/p{other}"} for other in range(count)]} for n in range(count)
    }
    schema: dict[str, Any] = {"properties": {"v": {"$ref": "#/$defs/p0"}}, "$defs": parts | {"secret": SECRET}}
    parts["p19"]["properties"] = {"pin": {"$ref": "#/$defs/secret"}}
    assert Secrets(schema).paths({"v": {"pin": 1, "open": 2}}) == {("v", "pin")}
    dynamic = {
        f"d{n}": {"$dynamicAnchor": "d", "anyOf": [{"$dynamicRef": "#d"}, {"$ref": "#/$defs/p0"}]} for n in range(count)
    }
    schema["$defs"] |= dynamic
    schema["properties"] = {"v": {"$dynamicRef": "#d"}}
    assert Secrets(schema).paths({"v": {"pin": 1, "open": 2}}) == {("v", "pin")}


JUNK = ("dependentSchemas", "prefixItems", "dependencies", "allOf", "properties", "patternProperties", "items")


@pytest.mark.parametrize("keyword", JUNK)
@pytest.mark.parametrize("value", [5, [1], {"a": 5}, "text", None])
def test_what_no_metaschema_has_looked_at_ends_nothing(keyword: str, value: Any) -> None:
    """A place without a keyword may hold anything, and so may a keyword that is none in the draft."""
    schema = {"place": {keyword: value}, "properties": {"v": {"$ref": "#/place"}, "pin": SECRET}}
    assert Secrets(schema).paths({"v": {"a": [1]}, "pin": 2}) == {("pin",)}
    assert Secrets(schema).paths({"v": [{"a": 1}], "pin": 2}) == {("pin",)}


@pytest.mark.parametrize("draft", drafts.NAMES)
def test_a_reference_that_is_none_in_the_draft_has_no_meaning(draft: str) -> None:
    for keyword, knows in (("$dynamicRef", drafts.NAMES[4]), ("$recursiveRef", drafts.NAMES[3])):
        schema = {"$schema": draft, "properties": {"v": {keyword: "#nowhere"}, "pin": SECRET}}
        messages = [finding.message for finding in lint(schema) if "cannot resolve" in finding.message]
        assert bool(messages) == (draft == knows), (keyword, messages)
        assert Secrets(schema).paths({"v": 1, "pin": 2}) == ({("v",), ("pin",)} if draft == knows else {("pin",)})


@pytest.mark.parametrize(
    "whole", ["http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"]
)
@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("https://json-schema.org/draft/2019-09/schema", {"$recursiveAnchor": True, "$recursiveRef": "#"}),
        ("https://json-schema.org/draft/2020-12/schema", {"$dynamicAnchor": "it", "$dynamicRef": "#it"}),
    ],
)
def test_a_reference_in_a_part_in_another_draft_is_followed(whole: str, part: str, names: dict[str, Any]) -> None:
    """Such a unit is refused now; stored documents may have been made under one."""
    (anchor, value), (keyword, target) = names.items()
    tree = {
        "$schema": part,
        "$id": "https://unit.invalid/tree",
        anchor: value,
        "properties": {"leaf": SECRET, "next": {keyword: target}},
    }
    schema = {
        "$schema": whole,
        "definitions": {"tree": tree},
        "properties": {"a": {"$ref": "https://unit.invalid/tree"}},
    }
    assert Secrets(schema).paths({"a": {"next": {"leaf": CANARY}}}) == {("a", "next", "leaf")}
    assert whole == part or lint(schema)[0].at[-1] == "$schema"


@pytest.mark.parametrize("draft", drafts.NAMES)
def test_a_keyword_that_a_draft_does_not_know_hides_no_mark(draft: str) -> None:
    is_newest = draft == drafts.DEFAULT
    beside = {"prefixItems": [{}, {}], "items": SECRET}
    paths = Secrets({"$schema": draft, "properties": {"v": beside}}).paths({"v": [1, 2, 3]})
    assert paths == {("v", index) for index in ({2} if is_newest else {0, 1, 2})}
    if not is_newest:
        listed = {"prefixItems": [{}, {}], "items": [{}, SECRET]}
        assert Secrets({"$schema": draft, "properties": {"v": listed}}).paths({"v": [1, 2, 3]}) == {("v", 1)}
    other = {"$id": "other", "$schema": next(name for name in drafts.NAMES if name != draft)}
    mixed = {"$schema": draft, "$defs": {"other": other}, "properties": {"v": beside}}
    assert ("v", 0) in Secrets(mixed).paths({"v": [1]})  # nobody knows of which draft a part is


def test_names_that_a_client_chose_in_a_secret_are_secret() -> None:
    schema = {"properties": {"v": {"writeOnly": True, "properties": {"user": {}}, "additionalProperties": True}}}
    values = list(Secrets(schema).values({"v": {"user": "me", CANARY: [{"deep": 1}]}, "open": {"name": 1}}))
    assert values[0] == {"user": "me", CANARY: [{"deep": 1}]}
    assert sorted(values[1:]) == sorted([CANARY, "deep"])


@pytest.mark.parametrize("draft", drafts.NAMES)
def test_a_mark_that_nothing_follows_is_refused(draft: str) -> None:
    for keyword in ("propertes", "extends", "components"):
        schema = {"$schema": draft, "properties": {"a": {keyword: {"b": {"c": SECRET}}}}}
        [finding] = lint(schema)
        message = f"a mark below {keyword} marks nothing: {keyword} is no keyword that applies a schema, and no $ref "
        assert finding.message.startswith(message)
        assert finding.message.endswith("what is only for a $ref stands under $defs")
        assert finding.at == ("properties", "a", keyword)
        assert lint({"$schema": draft, "$defs": {"unused": SECRET}}) == []
        used = {"properties": {"b": {"$ref": f"#/properties/a/{keyword}/b/c"}, "a": schema["properties"]["a"]}}  # type: ignore[index]
        assert lint({"$schema": draft, **used}) == []
    data = {"default": {"writeOnly": True}, "examples": [SECRET], "enum": [{"writeOnly": True}]}
    assert lint({"$schema": draft, "properties": {"a": data}}) == []


@pytest.mark.parametrize("draft", drafts.NAMES)
def test_a_mark_below_an_unknown_keyword_that_looks_like_one_counts(draft: str) -> None:
    paths = Secrets({"$schema": draft, "properties": {"v": {"prefixItems": [{}, SECRET]}}}).paths({"v": [1, 2, 3]})
    assert paths == {("v", 1)}


def test_a_place_in_a_list_is_asked_for_as_it_is() -> None:
    schema = {"properties": {"v": {"prefixItems": [{}, SECRET], "items": {"prefixItems": [{}, {}, {}, SECRET]}}}}
    secrets = Secrets(schema)
    for at, may in ((("v", 0), False), (("v", 1), True), (("v", 2), False), (("v", 2, 3), True), (("v", 2, 2), False)):
        assert secrets.may_mark(at) == may, at
    assert secrets.may_mark(("v", 10**12, 3))
    assert not secrets.may_mark(("v", "1"))
