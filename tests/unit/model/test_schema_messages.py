"""No finding quotes a secret: every way to write a rule, in every draft, by every way that leads to the value."""

import copy
import json
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, permutations, product
from typing import Any, NamedTuple

import pytest

from lmaps.errors import Finding, ValidationFailed
from lmaps.model.diff import Path
from lmaps.model.schema import Schema, backend, drafts, lint
from lmaps.model.units import unit_from_definition

MARK = {"x-lmaps-secret": True}
CANARY = "kanari-7Q4xW-zebra-plutonium-0019"
NUMBER = 73519462871
KEY = "Schluessel8"
SHOWING = (CANARY, str(NUMBER), KEY, *(CANARY[start : start + 5] for start in range(len(CANARY) - 5)), str(len(CANARY)))
"""What no finding may contain: the value, a part of it, its length, a key in it."""


class Value(NamedTuple):
    """A value that does not fit; ``is_quoted`` is whether a rule for it quotes a value that is no secret."""

    json: Any
    is_quoted: bool = True


TEXT, COUNT = Value(CANARY), Value(NUMBER)
LIST, OBJECT = Value([CANARY, CANARY], is_quoted=False), Value({KEY: CANARY}, is_quoted=False)

RULES: dict[str, list[tuple[dict[str, Any], Value]]] = {
    "type": [({"type": kind}, value) for kind, value in (("integer", TEXT), ("string", COUNT), (["null", "boolean"], OBJECT))],
    "enum": [({"enum": ["x", 1, {}]}, value) for value in (TEXT, COUNT, LIST, OBJECT)],
    "const": [({"const": "x"}, value) for value in (TEXT, COUNT, LIST, OBJECT)],
    "pattern": [({"pattern": "^[0-9]$"}, TEXT)],
    "format": [({"format": "ipv4"}, TEXT)],
    "minLength": [({"minLength": 500}, TEXT)],
    "maxLength": [({"maxLength": 2}, TEXT)],
    "minimum": [({"minimum": 10**15}, COUNT)],
    "maximum": [({"maximum": 2}, COUNT)],
    "exclusiveMinimum": [({"exclusiveMinimum": 10**15}, COUNT)],
    "exclusiveMaximum": [({"exclusiveMaximum": 2}, COUNT)],
    "multipleOf": [({"multipleOf": 1000}, COUNT)],
    "minItems": [({"minItems": 500}, LIST)],
    "maxItems": [({"maxItems": 1}, LIST)],
    "uniqueItems": [({"uniqueItems": True}, LIST)],
    "contains": [({"contains": {"const": 1}}, LIST), ({"contains": {}, "maxContains": 1}, LIST)],
    "minProperties": [({"minProperties": 500}, OBJECT)],
    "maxProperties": [({"maxProperties": 0}, OBJECT)],
    "required": [({"required": ["absent"]}, OBJECT)],
    "dependentRequired": [({"dependentRequired": {KEY: ["absent"]}}, OBJECT)],
    "dependencies": [({"dependencies": {KEY: ["absent"]}}, OBJECT)],
    "propertyNames": [({"propertyNames": {"pattern": "^[0-9]"}}, OBJECT), ({"propertyNames": {"maxLength": 2}}, OBJECT)],
    "additionalProperties": [({"additionalProperties": False}, OBJECT)],
    "unevaluatedProperties": [({"unevaluatedProperties": False}, OBJECT)],
    "patternProperties": [({"patternProperties": {"^Schl": {"not": {}}}}, OBJECT)],
    "properties": [({"properties": {KEY: {"enum": ["x"]}}}, OBJECT)],
    "items": [({"items": {"maxLength": 2}}, LIST), ({"prefixItems": [], "items": False}, LIST)],
    "prefixItems": [({"prefixItems": [{"type": "integer"}]}, LIST)],
    "additionalItems": [({"items": [{}], "additionalItems": False}, LIST)],
    "unevaluatedItems": [({"unevaluatedItems": False}, LIST)],
    "not": [({"not": {}}, value) for value in (TEXT, COUNT, LIST, OBJECT)],
    "oneOf": [({"oneOf": [{}, {}]}, value) for value in (TEXT, COUNT, LIST, OBJECT)],
}  # fmt: skip
"""Rules by the keyword that fails."""

Lead = Callable[[dict[str, Any], Any], tuple[dict[str, Any], Any, Path]]
"""Returns a schema that leads to the rule, the value around the one that does not fit, and the path between them."""


def same(make: Callable[[dict[str, Any]], dict[str, Any]]) -> Lead:
    return lambda rule, value: (make(rule), value, ())


def below(make: Callable[[dict[str, Any]], dict[str, Any]], around: Callable[[Any], Any], *path: str | int) -> Lead:
    return lambda rule, value: (make(rule), around(value), path)


def in_object(value: Any) -> Any:
    return {"c": value}


def in_list(value: Any) -> Any:
    return [value]


LEADS: dict[str, list[Lead]] = {
    "allOf": [same(lambda rule: {"allOf": [{}, rule]})],
    "anyOf": [same(lambda rule: {"anyOf": [rule]}), same(lambda rule: {"anyOf": [{"type": "null"}, rule]})],
    "oneOf": [same(lambda rule: {"oneOf": [{"type": "null"}, rule]})],
    "not": [same(lambda rule: {"not": {"not": rule}})],
    "if": [same(lambda rule: {"if": {}, "then": rule}), same(lambda rule: {"if": {"not": {}}, "else": rule})],
    "$ref": [same(lambda rule: {"$ref": "", "place": rule})],
    "$dynamicRef": [same(lambda rule: {"$dynamicRef": "", "place": rule})],
    "dependentSchemas": [below(lambda rule: {"dependentSchemas": {"c": {"properties": {"c": rule}}}}, in_object, "c")],
    "dependencies": [below(lambda rule: {"dependencies": {"c": {"properties": {"c": rule}}}}, in_object, "c")],
    "properties": [below(lambda rule: {"properties": {"c": rule}}, in_object, "c")],
    "patternProperties": [below(lambda rule: {"patternProperties": {"^c": rule}}, in_object, "c")],
    "additionalProperties": [below(lambda rule: {"additionalProperties": rule}, in_object, "c")],
    "unevaluatedProperties": [below(lambda rule: {"unevaluatedProperties": rule}, in_object, "c")],
    "items": [below(lambda rule: {"items": rule}, in_list, 0), below(lambda rule: {"items": [rule]}, in_list, 0)],
    "prefixItems": [below(lambda rule: {"prefixItems": [rule]}, in_list, 0)],
    "additionalItems": [below(lambda rule: {"items": [{}], "additionalItems": rule}, lambda value: [0, value], 1)],
    "unevaluatedItems": [below(lambda rule: {"unevaluatedItems": rule}, in_list, 0)],
    "contains": [below(lambda rule: {"contains": rule}, in_list, 0)],
}
"""Ways to a value by the keyword that leads there."""
QUIET = {"not", "contains", "unevaluatedProperties", "unevaluatedItems"}
"""Keywords that report their own failure, whatever the rule below says."""


class Case(NamedTuple):
    """A schema with a rule, without a mark; the document that breaks it, with the value at ``path``."""

    schema: dict[str, Any]
    document: dict[str, Any]
    path: Path
    is_quoted: bool


def made(draft: str, rule: dict[str, Any], value: Value, leads: Sequence[tuple[str, Lead]]) -> Case | None:
    """Return a case; None if it is no schema of the draft, or means nothing in it."""
    schema, document = rule, value.json
    path: Path = ()
    for _, lead in leads:
        schema, document, step = lead(schema, document)
        path = (*step, *path)
    root: dict[str, Any] = {"$schema": draft, "allOf": [copy.deepcopy({"properties": {"v": schema}})]}
    hoist(root, root["allOf"][0])
    is_quoted = value.is_quoted and QUIET.isdisjoint(name for name, _ in leads)
    case = Case(root, {"v": document}, ("v", *path), is_quoted)
    return None if lint(root) or not Schema(root).findings(case.document) else case


def hoist(root: dict[str, Any], part: Any) -> None:
    """Move the target of each reference to where it leads: into the root."""
    for inner in list(part.values()) if isinstance(part, dict) else part if isinstance(part, list) else ():
        hoist(root, inner)
    if isinstance(part, dict) and "place" in part:
        home = "definitions" if drafts.name(root) in drafts.OLD else "$defs"
        places = root.setdefault(home, {})
        name = f"place{len(places)}"
        places[name] = part.pop("place")
        if "$ref" in part:
            part["$ref"] = f"#/{home}/{name}"
        else:
            part["$dynamicRef"], places[name]["$dynamicAnchor"] = f"#{name}", name


def marked(draft: str, path: Path) -> dict[str, Any]:
    """Return a schema that marks the value at ``path`` and says nothing else."""
    mark: dict[str, Any] = MARK
    first = "prefixItems" if draft == drafts.DEFAULT else "items"
    for key in reversed(path):
        mark = {"properties": {key: mark}} if isinstance(key, str) else {first: [*[{}] * key, mark]}
    return mark


def validators(draft: str) -> set[str]:
    return set(backend.validator_class({"$schema": draft}).VALIDATORS)


def shown(findings: Sequence[Finding]) -> str:
    return json.dumps([finding.to_json() for finding in findings], ensure_ascii=False)


def cases(draft: str, depth: int, step: int) -> Iterator[Case]:
    """Yield a case for each rule of the draft, by each way of so many keywords to the value; only each ``step``-th."""
    known = validators(draft)
    ways = [(name, lead) for name, several in LEADS.items() if name in known for lead in several]
    rules = [rule for name, several in RULES.items() if name in known for rule in several]
    made_of = ((rule, value, leads) for rule, value in rules for leads in product(ways, repeat=depth))
    yield from filter(None, (made(draft, *parts) for parts in islice(made_of, None, None, step)))


def test_every_keyword_that_can_fail_or_leads_to_a_value_is_here() -> None:
    for draft in drafts.NAMES:
        known = validators(draft)
        assert known <= RULES.keys() | LEADS.keys() | {"$recursiveRef"}
        for keyword in known & RULES.keys():
            assert any(made(draft, *rule, ()) for rule in RULES[keyword]), (draft, keyword)
        for keyword in known & LEADS.keys():
            ways = LEADS[keyword]
            assert any(made(draft, {"enum": ["x"]}, TEXT, [(keyword, way)]) for way in ways), (draft, keyword)
    assert RULES.keys() | LEADS.keys() <= set().union(*map(validators, drafts.NAMES))


def leaks(findings: Sequence[Finding]) -> list[str]:
    text = shown(findings)
    return [part for part in SHOWING if part in text]


def check(draft: str, case: Case) -> bool:
    """Check one case with a mark on the value, around it and in it; return whether it is quoted without a mark."""
    schema, document, path, is_quoted = case
    openly = Schema(schema).findings(document)
    assert bool(leaks(openly)) or not is_quoted, (schema, openly)
    inner = document["v"]
    for key in path[1:]:
        inner = inner[key]
    within = [(*path, 0)] if isinstance(inner, list) else [(*path, KEY)] if isinstance(inner, dict) else []
    for secret in (path, path[:1], *within):
        secrets = [secret]
        if len(secret) > len(path) and isinstance(inner, list):
            secrets = [(*path, index) for index in range(len(inner))]
        marks = [marked(draft, one) for one in secrets]
        findings = Schema(schema | {"allOf": [*schema["allOf"], *marks]}).findings(document)
        told = leaks(findings)
        # The name of a property that is a secret is none.
        assert not [part for part in told if part != KEY or secret in (path, path[:1])], (schema, secret, findings)
        assert findings
        assert not [finding for finding in findings if finding.at[: len(secret)] == secret and finding.at != secret]
        # What is known from elsewhere as a secret is hidden like what the schema marks.
        assert shown(Schema(schema).findings(document, secrets)) == shown(findings)
        assert not leaks(Schema(schema).findings(document, quoting=False)) or KEY in str(openly)
    return bool(leaks(openly))


@pytest.mark.parametrize("draft", drafts.NAMES)
@pytest.mark.parametrize(("depth", "step"), [(0, 1), (1, 4)])
def test_no_finding_quotes_a_secret(draft: str, depth: int, step: int) -> None:
    quoted = [check(draft, case) for case in cases(draft, depth, step)]
    assert len(quoted) > 20
    assert sum(quoted) > len(quoted) / 5  # the test would see a canary


@pytest.mark.parametrize("draft", drafts.NAMES)
def test_no_finding_quotes_a_secret_deeper_down(draft: str) -> None:
    rng = random.Random(13)
    known = validators(draft)
    ways = [(name, lead) for name, several in LEADS.items() if name in known for lead in several]
    rules = [rule for name, several in RULES.items() if name in known for rule in several]
    found = (made(draft, *rng.choice(rules), rng.choices(ways, k=rng.randint(2, 4))) for _ in range(60))
    quoted = [check(draft, case) for case in found if case is not None]
    assert len(quoted) > 20
    assert any(quoted)


def test_no_finding_quotes_a_secret_behind_a_recursive_reference() -> None:
    schema = {
        "$schema": drafts.NAMES[3],
        "properties": {"below": {"$recursiveRef": "#"}, "pin": {"maxLength": 2}, "secret": {"maxLength": 2, **MARK}},
    }
    [secret, pin] = Schema(schema).findings({"below": {"pin": "abc", "secret": CANARY}})[::-1]
    assert (secret.path, secret.message) == ("$.below.secret", "the value is too long, at most 2 characters allowed")
    assert (pin.path, pin.message, pin.got) == ("$.below.pin", "'abc' has 3, at most 2 characters allowed", "abc")


@pytest.mark.parametrize(
    ("rule", "value", "message"),
    [
        ({"type": "integer"}, CANARY, "the value is not an integer"),
        ({"enum": ["kanari", "b"]}, "kanary", "the value is not one of 'kanari', 'b'"),
        ({"minLength": 40}, CANARY, "the value is too short, at least 40 characters allowed"),
        ({"pattern": "^x"}, CANARY, "the value does not match ^x"),
        ({"maxItems": 1}, [CANARY] * 2, "the value has too many, at most 1 item allowed"),
        ({"required": ["a", "b"]}, {"a": CANARY}, "the value lacks one of a, b"),
        ({"additionalProperties": False}, {KEY: CANARY}, "the value has an unknown property"),
        ({"allOf": [{"minimum": 10**15}]}, NUMBER, f"the value is less than {10**15}"),
    ],
)
def test_the_rule_is_told(rule: dict[str, Any], value: Any, message: str) -> None:
    [finding] = Schema({"properties": {"p": {**MARK, **rule}}}).findings({"p": value})
    assert (finding.message, finding.at, finding.got, finding.hint) == (message, ("p",), None, None)


def test_what_holds_a_secret_is_not_counted_and_its_own_names_are_told() -> None:
    schema = {"properties": {"pins": {"maxItems": 2, "items": MARK}, "login": {"properties": {"key": MARK}}}}
    login: Any = schema["properties"]["login"]
    login["additionalProperties"], login["required"] = False, ["user"]
    findings = Schema(schema).findings({"pins": [CANARY] * 3, "login": {"key": CANARY, "kez": 1}})
    assert [(finding.path, finding.message) for finding in findings] == [
        ("$.login", "user is missing"),
        ("$.login.kez", "unknown property; did you mean key?"),
        ("$.pins", "the array has too many, at most 2 items allowed"),
    ]


def test_a_value_in_the_place_of_an_object_or_array_is_not_quoted() -> None:
    """It may be the secret that belongs into it."""
    schema = {"properties": {"login": {"type": "object", "properties": {"key": MARK}}, "pins": {"type": ["array"]}}}
    findings = Schema(schema).findings({"login": CANARY, "pins": CANARY})
    assert [finding.message for finding in findings] == ["the value is not an object", "the value is none of array"]
    assert not leaks(findings)
    open_schema = {"properties": {"login": {"type": "object"}}}
    assert leaks(Schema(open_schema).findings({"login": CANARY}))
    forms = [{"$ref": "#/$defs/login"}, {"enum": ["kanari", "none"]}, {"type": "integer"}]
    for several in permutations(forms):
        for keyword in ("anyOf", "oneOf"):
            schema = {
                "properties": {"login": {keyword: several}},
                "$defs": {"login": {"type": "object", "properties": {"key": MARK}}},
            }
            assert CANARY not in shown(Schema(schema).findings({"login": CANARY}))
            assert Schema(schema).findings({"login": "kanary"})[0].hint is None
            nested = {
                "properties": {"login": {keyword: [{"anyOf": [form]} for form in several]}},
                "$defs": schema["$defs"],
            }
            assert CANARY not in shown(Schema(nested).findings({"login": CANARY}))
    unit = unit_from_definition({"meta": {"name": "a"}, "params": schema})
    with pytest.raises(ValidationFailed) as refused:
        unit.complete(CANARY)
    assert shown(refused.value.errors) == shown([Finding("the value is not an object")])


@pytest.mark.parametrize("reference", [{}, {"$ref": "#/$defs/d"}])
def test_the_default_of_a_secret_is_not_quoted(reference: dict[str, str]) -> None:
    schema = {
        "properties": {"p": {**reference, "type": "string", "maxLength": 3, "default": CANARY}},
        "$defs": {"d": {}},
    }
    [openly] = lint(schema)
    assert leaks([openly])
    [finding] = lint(schema | {"allOf": [{"properties": {"p": MARK}}]})
    assert finding.message == "the default does not fit: the value is too long, at most 3 characters allowed"
    assert not leaks([finding])
