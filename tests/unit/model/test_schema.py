import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaps.errors import ValidationFailed
from lmaps.model.schema import Schema, drafts, lint, slow_patterns, unknown_keywords

ANY = {"type": "object", "properties": {"a": {"default": 1}}}


@pytest.mark.parametrize(
    ("schema", "document", "completed"),
    [
        ({"properties": {"a": {"default": 1}}}, {}, {"a": 1}),
        ({"properties": {"a": {"default": 1}}}, {"a": None}, {"a": None}),
        ({"properties": {"o": {"properties": {"a": {"default": 1}}}}}, {}, {}),
        ({"properties": {"o": {"default": {}, "properties": {"a": {"default": 1}}}}}, {}, {"o": {"a": 1}}),
        ({"properties": {"l": {"items": ANY}}}, {"l": [{}, {"a": 2}]}, {"l": [{"a": 1}, {"a": 2}]}),
        ({"properties": {"l": {"prefixItems": [True, ANY]}}}, {"l": [{}, {}]}, {"l": [{}, {"a": 1}]}),
        ({"additionalProperties": ANY}, {"x": {}}, {"x": {"a": 1}}),
        ({"patternProperties": {"^x": ANY}}, {"x": {}, "y": {}}, {"x": {"a": 1}, "y": {}}),
        ({"$ref": "#/$defs/d", "$defs": {"d": ANY}}, {}, {"a": 1}),
        ({"properties": {"a": {"$ref": "#/$defs/d"}}, "$defs": {"d": {"default": 7}}}, {}, {"a": 7}),
        ({"properties": {"a": {"$ref": "#/$defs/d", "default": 8}}, "$defs": {"d": {"default": 7}}}, {}, {"a": 8}),
        ({"allOf": [ANY, {"properties": {"b": {"default": 2}}}]}, {}, {"a": 1, "b": 2}),
        (
            {"oneOf": [{"properties": {"k": {"const": 1}, "a": {"default": 1}}, "required": ["k"]},
                       {"properties": {"k": {"const": 2}, "b": {"default": 2}}, "required": ["k"]}]},
            {"k": 2},
            {"k": 2, "b": 2},
        ),
        ({"anyOf": [{"required": ["x"]}, ANY]}, {}, {"a": 1}),
        ({"if": {"required": ["k"]}, "then": ANY, "else": {"properties": {"b": {"default": 2}}}}, {"k": 1}, {"k": 1, "a": 1}),
        ({"if": {"required": ["k"]}, "then": ANY, "else": {"properties": {"b": {"default": 2}}}}, {}, {"b": 2}),
        ({"not": {"properties": {"a": {"default": 1}}, "required": ["a"]}}, {}, {}),
        ({"dependentSchemas": {"k": ANY}}, {"k": 0}, {"k": 0, "a": 1}),
        ({"properties": {"b": False}}, {}, {}),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"$ref": "#/definitions/d", "default": 8}},
          "definitions": {"d": {"default": 7}}}, {}, {"a": 7}),
        ({"properties": {"child": {"$ref": "#"}, "a": {"default": 1}}}, {"child": {"child": {}}}, {"child": {"child": {"a": 1}, "a": 1}, "a": 1}),
    ],
)  # fmt: skip
def test_defaults(schema, document, completed):
    assert lint(schema) == []
    before = repr(document)
    assert Schema(schema).complete(document) == completed
    assert repr(document) == before


def test_a_default_is_never_shared():
    schema = Schema({"properties": {"l": {"default": []}}})
    first = schema.complete({})
    first["l"].append(1)
    assert schema.complete({}) == {"l": []}


def test_a_failing_document_is_left_as_it_was():
    document = {"a": {"b": "x"}}
    with pytest.raises(ValidationFailed):
        Schema({"properties": {"a": {"properties": {"b": {"type": "integer"}, "c": {"default": 1}}}}}).complete(
            document
        )
    assert document == {"a": {"b": "x"}}


@given(st.permutations(["c", "a", "b"]), st.permutations([0, 1]))
def test_the_order_of_the_schema_decides_nothing(names, branches):
    options = [{"required": ["never"]}, {"properties": {"d": {"default": 4}}}]
    schema = {
        "properties": {name: {"default": ord(name)} for name in names},
        "anyOf": [options[index] for index in branches],
    }
    assert Schema(schema).complete({}) == {"a": 97, "b": 98, "c": 99, "d": 4}


@pytest.mark.parametrize(
    ("schema", "document", "path", "words"),
    [
        ({"type": "boolean"}, "maybe", "$", "'maybe' is not a boolean"),
        ({"type": "integer"}, True, "$", "true is not an integer"),
        ({"type": ["string", "null"]}, 1, "$", "1 is none of string, null"),
        ({"enum": ["present", "absent"]}, "absend", "$", "'absend' is not one of 'present', 'absent'; did you mean absent?"),
        ({"const": 3}, 4, "$", "4 is not 3"),
        ({"required": ["host"]}, {}, "$", "host is missing"),
        ({"properties": {"port": {"maximum": 65535}}}, {"port": 70000}, "$.port", "70000 is more than 65535"),
        ({"minimum": 1}, 0, "$", "0 is less than 1"),
        ({"exclusiveMinimum": 1}, 1, "$", "1 is not more than 1"),
        ({"multipleOf": 3}, 4, "$", "4 is no multiple of 3"),
        ({"pattern": "^a"}, "b", "$", "'b' does not match ^a"),
        ({"minLength": 2}, "x", "$", "'x' has 1, at least 2 characters allowed"),
        ({"maxItems": 1}, [1, 2], "$", "the array has 2, at most 1 item allowed"),
        ({"uniqueItems": True}, [1, 1], "$", "the array holds an item twice"),
        ({"format": "ipv4"}, "1.2.3.400", "$", "'1.2.3.400' is not an valid ipv4|is not a"),
        ({"not": {}}, 1, "$", "1 is not allowed here"),
        ({"properties": {"a": {"not": {}}}}, {"a": 1}, "$.a", "1 is not allowed here"),
        ({"additionalProperties": False, "properties": {"port": {}}}, {"prot": 1}, "$.prot", "unknown property; did you mean port?"),
    ],
)  # fmt: skip
def test_findings_in_plain_words(schema, document, path, words):
    [finding] = Schema(schema).findings(document)
    assert finding.path == path
    assert finding.message == words or __import__("re").search(words.replace("$", r"\$"), finding.message)


def test_every_error_at_once_in_the_order_of_their_places():
    schema = Schema({"required": ["z"], "properties": {"a": {"type": "string"}, "b": {"minimum": 5}}}, closed=True)
    assert [finding.path for finding in schema.findings({"b": 1, "a": 2, "c": 3})] == ["$", "$.a", "$.b", "$.c"]


def test_of_several_forms_the_closest_is_told():
    schema = Schema(
        {
            "oneOf": [
                {"type": "string"},
                {"properties": {"k": {"const": "x"}, "n": {"type": "integer"}}, "required": ["k"]},
            ]
        }
    )
    assert [finding.message for finding in schema.findings({"k": "x", "n": "y"})] == ["'y' is not an integer"]


@pytest.mark.parametrize("mark", [{"writeOnly": True}, {"x-lmaps-secret": True}])
@pytest.mark.parametrize(
    "rule", [{"type": "integer"}, {"pattern": "^x"}, {"enum": ["a"]}, {"const": 1}, {"format": "ipv4"}]
)
def test_a_secret_is_never_quoted(mark, rule):
    [finding] = Schema({"properties": {"p": {**mark, **rule}}}).findings({"p": "hunter2"})
    assert "hunter2" not in repr(finding)


def test_a_closed_schema():
    assert Schema({"properties": {"a": {}}}, closed=True).findings({"b": 1})
    assert not Schema({"additionalProperties": True}, closed=True).findings({"b": 1})
    by_ref = {"$ref": "#/$defs/d", "$defs": {"d": {"properties": {"a": {}}}}, "properties": {"b": {}}}
    assert not Schema(by_ref, closed=True).findings({"a": 1, "b": 1})
    assert [finding.path for finding in Schema(by_ref, closed=True).findings({"a": 1, "c": 1})] == ["$.c"]


@pytest.mark.parametrize(
    ("schema", "path", "words"),
    [
        (7, "$", "a schema is an object"),
        ({"type": "strin"}, "$.type", "strin"),
        ({"$schema": "urn:nothing"}, "$['$schema']", "unknown $schema"),
        (
            {"allOf": [{"$schema": "http://json-schema.org/draft-07/schema#", "unevaluatedProperties": False}]},
            "$.allOf[0]['$schema']",
            "this part is in another draft than the whole schema: leave its $schema out",
        ),
        ({"$ref": "#/nope"}, "$['$ref']", "there is nothing there"),
        ({"$ref": "file:///etc/passwd"}, "$['$ref']", "nothing is ever fetched"),
        ({"properties": {"a": {"pattern": "("}}}, "$.properties.a.pattern", "("),
        ({"properties": {"a": {"type": "integer", "default": "x"}}}, "$.properties.a.default", "'x' is not an integer"),
        (
            {"properties": {"a": {"exclusiveMinimum": True, "minimum": 1}}},
            "$.properties.a.exclusiveMinimum",
            "draft-04",
        ),
        ({"default": {}, "properties": {"a": {"$ref": "#"}}}, "$.default", "never end"),
    ],
)
def test_lint(schema, path, words):
    finding = lint(schema)[0]
    assert finding.path == path
    assert words in finding.message


@pytest.mark.parametrize("name", drafts.NAMES)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("end", ["", "#"])
def test_a_draft_may_be_spelled_with_http_or_https(name, scheme, end):
    spelled = scheme + ":" + name.partition(":")[2] + end
    parts = {"allOf": [{"$schema": name}], "definitions": {"s": {"type": "integer"}}}
    definition = {"$schema": spelled, "properties": {"a": {"$ref": "#/definitions/s"}}, **parts}
    assert drafts.name(definition) == name
    assert lint(definition) == []
    assert [finding.path for finding in Schema(definition).findings({"a": "x"})] == ["$.a"]
    assert drafts.name({"$schema": f"ftp:{name.partition(':')[2]}"}) not in drafts.NAMES


def test_a_property_may_be_called_like_a_keyword():
    schema = {"properties": {"$ref": {"type": "string"}, "pattern": {"type": "string"}, "default": {"type": "integer"}}}
    assert lint(schema) == []
    assert unknown_keywords(schema) == []


def test_unknown_keywords():
    found = unknown_keywords({"properties": {"a": {"typ": "string", "x-note": 1}}})
    assert [(finding.path, finding.on_key) for finding in found] == [("$.properties.a.typ", True)]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", "2024-02-29", "2023-02-29"),
        ("time", "23:59:60Z", "22:59:60Z"),
        ("date-time", "2026-11-23T10:04:11.5+02:00", "2026-11-23 10:04:11Z"),
        ("email", "a.b@example.org", "a@b@c"),
        ("hostname", "www.example.org", "-www.example.org"),
        ("ipv4", "192.0.2.1", "192.0.2.01"),
        ("ipv6", "2001:db8::1", "2001:db8::1%eth0"),
        ("uri", "https://a.example/x?y#z", "no scheme"),
        ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08aa9811eab4aa73b441d16380"),
        ("regex", "^a+$", "("),
    ],
)
def test_formats(name, good, bad):
    schema = Schema({"format": name})
    assert schema.findings(good) == []
    assert schema.findings(7) == []
    assert f"valid {name}" in schema.findings(bad)[0].message


@pytest.mark.parametrize(
    ("pattern", "slow"),
    [
        ("^(a+)+$", True),
        ("((a+))*", True),
        ("(?:x*)*y", True),
        ("(a*b*)*", True),
        ("(a+b?)+", True),
        ("(a|b+)*", True),
        ("([a-z]{1,63})+", True),
        ("((a+)+)?", True),
        (r"([a-z]+\.)+", False),
        ("^[a-z][a-z0-9-]{0,30}$", False),
        ("^[a-z]+(-[a-z]+)*$", False),
        ("(a+){2,4}", False),
        ("(ab|cd)*", False),
    ],
)
def test_patterns_that_can_take_for_ever_are_known(pattern, slow):
    found = slow_patterns({"properties": {"x": {"pattern": pattern}}})
    assert [finding.at for finding in found] == ([("properties", "x", "pattern")] if slow else [])


def test_findings_about_a_key_name_it():
    schema = Schema({"properties": {"port": {}}, "required": ["port", "host"], "additionalProperties": False})
    found = [(finding.path, finding.property, finding.on_key) for finding in schema.findings({"prot": 1})]
    assert found == [("$", "port", False), ("$", "host", False), ("$.prot", "prot", True)]


def test_a_scope_is_entered_once_however_it_is_reached():
    scope = {
        "$id": "sub/",
        "$defs": {"whole": {"default": {}, "properties": {"again": {"$ref": "#"}}}, "five": {"default": 5}},
        "properties": {"one": {"default": 1}, "whole": {"$ref": "#/$defs/whole"}, "five": {"$ref": "#/$defs/five"}},
    }
    schema = Schema({"$id": "http://host/", "properties": {"a": {"$ref": "sub/"}}, "$defs": {"scope": scope}})
    own = {"one": 1, "whole": {}, "five": 5}
    assert schema.complete({"a": {"whole": {"again": {}}}}) == {"a": own | {"whole": {"again": own}}}
    branches = {"oneOf": [{"$id": "b/", "$ref": "#/$defs/x", "$defs": {"x": {"required": ["x"]}}}]}
    assert Schema({"$id": "http://host/", **branches, "properties": {"n": {"default": 2}}}).complete({"x": 1})["n"] == 2


ENDLESS = [
    {"allOf": [{"$ref": "#"}]},
    {"not": {"$ref": "#"}},
    {"if": {"$ref": "#"}},
    {"dependentSchemas": {"a": {"$ref": "#"}}},
    {
        "properties": {"a": {"$ref": "#/$defs/a"}},
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}},
    },
]
ENDING = [
    {"properties": {"a": {"$ref": "#"}}},
    {"allOf": [{"items": {"$ref": "#"}}]},
    {
        "allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}],
        "$defs": {"a": {"anyOf": [True, {"properties": {"b": {"$ref": "#"}}}]}},
    },
]


def test_a_schema_that_refers_to_itself_around_the_same_value_is_refused():
    message = "the schema refers to itself around the same value: nothing can be checked by it"
    for schema in ENDLESS:
        assert [finding.message for finding in lint(schema)] == [message], schema
    for schema in ENDING:
        assert lint(schema) == [], schema
        assert Schema(schema).findings({"a": [{}]}) == []


def test_what_cannot_be_checked_all_the_same_says_so():
    schema = {"$dynamicAnchor": "n", "allOf": [{"$dynamicRef": "#n"}]}
    [finding] = Schema(schema).findings({})
    assert finding.message == "it cannot be checked: the schema refers to itself around the same value"


def test_a_reference_that_leads_to_nothing_from_where_it_is_reached_is_named():
    target = {"$id": "https://host/scope", "$defs": {"d": {"$dynamicAnchor": "n"}}, "$dynamicRef": "#n"}
    way = {"$dynamicAnchor": "n", "allOf": [{"$ref": "#/parts/x"}]}
    schema = {"$id": "https://host/root", "parts": {"x": {}}, "$defs": {"n": way, "s": target}}
    [finding] = Schema(schema | {"properties": {"a": {"$ref": "https://host/scope"}}}).findings({"a": 1})
    assert "reference /parts/x leads to nothing from where it was reached" in finding.message
