"""No variable reaches Ansible under a name that it keeps for itself, whatever the schema allows and whoever named it.

Each way in which a schema leaves names open is refused when the unit is loaded; past that, where variables are written.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lmaps.errors import Finding, HandlerFailed, ValidationFailed
from lmaps.handlers.ansible import AnsiblePlaybook
from lmaps.handlers.ansible.variables import variables_file
from lmaps.handlers.base import State
from lmaps.model.schema import drafts
from lmaps.model.schema.messages import quote
from lmaps.model.units import Unit, load_units_from, short_id, unit_from_definition
from lmaps.model.units.variables import RESERVED, is_usable

BAD_NAMES = [
    "ansible_python_interpreter", "ansible_connection", "ansible_shell_executable", "ansible_become_exe",
    "ansible_ssh_common_args", "ansible_ssh_executable", "ansible_facts", "ansible_delegated_vars",
    "_ansible_ansiballz_pydevd_config", "__ansible_unsafe", "delegated_vars", "hostvars", "hosts", "vars", "environment",
    "lookup", "with_items", "omit", "a-b", "x y", "", "ünder", "1st", "relay\n", "ansible",
]  # fmt: skip
"""Names that run programs, that Ansible and its templates use themselves, and that are no names of variables."""
ANY_NAME: dict[str, Any] = {"patternProperties": {"": {"type": "string"}}}
RELAY: dict[str, Any] = {"properties": {"relay": {"type": "string"}}}
OLD, NEW = drafts.OLD, drafts.NAMES[3:]
APPLICATORS: dict[str, tuple[tuple[str, ...], Any]] = {
    "allOf": (drafts.NAMES, lambda schema: {"allOf": [{}, schema]}),
    "anyOf": (drafts.NAMES, lambda schema: {"anyOf": [{"required": ["z"]}, schema]}),
    "oneOf": (drafts.NAMES, lambda schema: {"oneOf": [{"type": "array"}, schema]}),
    "not not": (drafts.NAMES, lambda schema: {"not": {"not": schema}}),
    "$ref": (drafts.NAMES, lambda schema: {"definitions": {"open": schema}, "$ref": "#/definitions/open"}),
    "$ref in allOf": (
        drafts.NAMES,
        lambda schema: {"definitions": {"open": schema}, "allOf": [{"$ref": "#/definitions/open"}]},
    ),
    "dependencies": (drafts.NAMES, lambda schema: {**RELAY, "dependencies": {"relay": schema}}),
    "then": (drafts.NAMES[2:], lambda schema: {"if": {"type": "object"}, "then": schema}),
    "else": (drafts.NAMES[2:], lambda schema: {"if": {"type": "array"}, "else": schema}),
    "if": (drafts.NAMES[2:], lambda schema: {"if": schema}),
    "dependentSchemas": (NEW, lambda schema: {**RELAY, "dependentSchemas": {"relay": schema}}),
    "$dynamicRef": (
        NEW[1:],
        lambda schema: {"$defs": {"open": {"$dynamicAnchor": "any"} | schema}, "$dynamicRef": "#any"},
    ),
}
"""Every keyword whose subschemas describe the same object, with its drafts, and a schema that uses it. ``$recursiveRef``
is none: from there it leads to a schema around it, and so has no end."""
EVALUATES_NOTHING = ("not not", "dependencies")
"""What stands below them is known to no ``unevaluatedProperties`` around them, which so refuses it."""
OPENERS: dict[str, Any] = {
    "patternProperties": ANY_NAME,
    "an open pattern": {"patternProperties": {"^[^ ]*$": {}, ".": {}, "^$": {}}},
    "additionalProperties": {"additionalProperties": True},
}


def open_schemas() -> Iterator[tuple[str, Any]]:
    """Yield schemas that take a property of any name, each by another way, in each draft."""
    yield "no schema", {}
    yield "true", True
    yield "not closed", RELAY
    yield "propertyNames", {"propertyNames": {"type": "string"}}
    yield "propertyNames, an open pattern", {"propertyNames": {"pattern": "^|^site_"}}
    for draft in drafts.NAMES:
        named = {"$schema": draft}
        label = draft.rpartition("draft")[2].strip("-/").removesuffix("/schema")
        yield f"{label} additionalProperties, a schema", named | {"additionalProperties": {"type": "string"}}
        for way, opener in OPENERS.items():
            yield f"{label} {way}", named | opener
        yield f"{label} patternProperties, else closed", named | ANY_NAME | {"additionalProperties": False}
        for keyword, (known, wrap) in APPLICATORS.items():
            if draft not in known:
                continue
            yield f"{label} {keyword}", named | wrap(ANY_NAME)
            if draft in NEW and keyword not in EVALUATES_NOTHING:
                for way, opener in OPENERS.items():
                    yield (
                        f"{label} {keyword}, {way}, else closed",
                        named | wrap(opener) | {"unevaluatedProperties": False},
                    )
                twice = wrap({"allOf": [ANY_NAME]})
                yield f"{label} allOf in {keyword}, else closed", named | twice | {"unevaluatedProperties": False}
        if draft in NEW:
            yield f"{label} unevaluatedProperties true", named | {"unevaluatedProperties": True}
            yield f"{label} unevaluatedProperties", named | {"unevaluatedProperties": {"type": "string"}}


OPEN_SCHEMAS = dict(open_schemas())
ONE_FINDING = re.compile("[^:;]+ lets clients name variables, such as ansible_python_interpreter, .*: .*; or .*")
KEYED = [("YamlList", None), ("YamlKeyList", None), ("YamlKeyDict", None), ("YamlKeyDict", "relay")]
"""Data types with one variable, the store key; with and without a primary key."""


def definition(params: Any, **meta: Any) -> dict[str, Any]:
    return {
        "meta": {"name": "site", "data_type": "YamlFile"} | meta,
        "handler": {"type": "ansible_playbook", "args": {"playbook": "site.yml"}},
        "params": params,
    }


def unit(params: Any, **meta: Any) -> Unit:
    """A unit that no load has checked, as one from the history of an older version."""
    return unit_from_definition(definition(params, **meta), Path("/units"))


def refused(params: Any, **meta: Any) -> list[Finding]:
    """What a load says of the unit: nothing if it is loaded."""
    text = json.dumps(definition(params, **meta), indent=1)
    return [finding for error in load_units_from([("site.json", text)]).errors for finding in error.errors]


def state(site: Unit, *documents: dict[str, Any]) -> State:
    return State(site, 1, list(documents), [site.complete(document) for document in documents])


def refusal(made: State) -> str:
    with pytest.raises(HandlerFailed) as refused:
        variables_file(made)
    return refused.value.message


def variables(made: State) -> Any:
    return yaml.safe_load(variables_file(made).decode().replace("!unsafe ", ""))


def test_there_are_enough_ways() -> None:
    assert len(OPEN_SCHEMAS) >= 100
    assert len(BAD_NAMES) >= 20


def accepts(site: Unit, name: str) -> bool:
    try:
        return name in site.complete({"relay": "b", name: "x"})
    except ValidationFailed:
        return False


@pytest.mark.parametrize("schema", OPEN_SCHEMAS)
def test_a_unit_is_loaded_if_and_only_if_its_names_are_closed(schema: str) -> None:
    params = OPEN_SCHEMAS[schema]
    for strict in (False, True):  # meta.strict closes some of them
        site, findings = unit(params, strict=strict), refused(params, strict=strict)
        taken = [name for name in BAD_NAMES if accepts(site, name)]
        assert taken == (BAD_NAMES if findings else [])
        assert strict or findings
        for finding in findings:
            assert ONE_FINDING.fullmatch(finding.message)
            assert finding.line is not None


@pytest.mark.parametrize("schema", OPEN_SCHEMAS)
def test_past_the_load_a_name_is_refused_where_variables_are_written(schema: str) -> None:
    site = unit(OPEN_SCHEMAS[schema])
    for name in BAD_NAMES:
        made = state(site, {"relay": "a"}, {"relay": "b", name: "x"})
        culprit = short_id(site.identify(made.completed[1]))
        assert refusal(made) == (
            f"cannot apply site: {quote(name)} in instance {culprit} cannot be a variable: Ansible reserves the name, or it"
            " is none; remove it there, or from the schema's defaults, and have the schema refuse it"
        )
    made = state(site, {"relay": "a", "sender": "x"}, {"relay": "b"})
    assert variables(made) == {"relay": "b", "sender": "x"}


CURED: dict[str, tuple[Any, dict[str, Any], str, Any]] = {
    "set meta.strict": (RELAY, {}, "2:10 $.meta", (RELAY, {"strict": True})),
    "use YamlKeyDict": (ANY_NAME, {}, "14:4 $.params.patternProperties['']", (ANY_NAME, {"data_type": "YamlKeyDict"})),
    "begin the pattern with a prefix": (
        {"patternProperties": {"^[a-z]+$": {}}},
        {"strict": True},
        "15:4 $.params.patternProperties['^[a-z]+$']",
        ({"patternProperties": {"^site_[a-z]+$": {}}}, {"strict": True}),
    ),
    "a prefix that is long enough": (
        {"patternProperties": {"^(ans|site)_?": {}}},
        {"strict": True},
        "15:4 $.params.patternProperties['^(ans|site)_?']",
        ({"patternProperties": {"^(answer|site)_?": {}}}, {"strict": True}),
    ),
    "a pattern of propertyNames": (
        {"propertyNames": {"pattern": "^[a-z]"}},
        {},
        "2:10 $.meta",
        ({"propertyNames": {"pattern": "^site_"}}, {}),
    ),
    "an enum of propertyNames": (
        {"propertyNames": {"pattern": "^[a-z]"}, "additionalProperties": {}},
        {"strict": True},
        "15:4 $.params.propertyNames.pattern",
        ({"propertyNames": {"enum": ["relay"]}, "additionalProperties": {}}, {"strict": True}),
    ),
    "make additionalProperties false": (
        RELAY | {"additionalProperties": True},
        {"strict": True},
        "19:3 $.params.additionalProperties",
        (RELAY | {"additionalProperties": False}, {}),
    ),
    "make unevaluatedProperties false": (
        RELAY | {"unevaluatedProperties": {}},
        {"strict": True},
        "19:3 $.params.unevaluatedProperties",
        (RELAY | {"unevaluatedProperties": False}, {}),
    ),
    "name the properties": (True, {"strict": True}, "13:2 $.params", (RELAY, {"strict": True})),
    "close it where a $ref of draft 7 leads": (
        {"$schema": OLD[2], "$ref": "#/definitions/x", "definitions": {"x": RELAY}},
        {"strict": True},
        "17:4 $.params.definitions.x",
        (
            {
                "$schema": OLD[2],
                "$ref": "#/definitions/x",
                "definitions": {"x": RELAY | {"additionalProperties": False}},
            },
            {"strict": True},
        ),
    ),
}
"""Open units, each with the place of its finding, and what becomes of them if they are cured as it says."""


@pytest.mark.parametrize("cure", CURED)
def test_the_finding_has_its_place_and_the_cure_helps(cure: str) -> None:
    params, meta, place, (cured, cured_meta) = CURED[cure]
    [finding] = refused(params, **meta)
    assert f"{finding.line}:{finding.column} {finding.path}" == place
    assert refused(cured, **cured_meta) == []


NAMED: dict[str, Any] = {
    "properties": lambda name: {"properties": {name: {}}},
    "allOf": lambda name: {"allOf": [{"properties": {name: {}}}]},
    "$ref": lambda name: {"$defs": {"x": {"properties": {name: {}}}}, "$ref": "#/$defs/x"},
    "dependentSchemas": lambda name: {**RELAY, "dependentSchemas": {"relay": {"properties": {name: {}}}}},
}


@pytest.mark.parametrize("way", NAMED)
def test_a_reserved_name_that_the_author_chose_is_refused_at_its_place(way: str) -> None:
    for name in BAD_NAMES:
        [finding] = refused(NAMED[way](name), strict=True)
        assert finding.message == f"{quote(name)} cannot be a variable: Ansible reserves the name, or it is none"
        assert finding.at[-2:] == ("properties", name)
        assert finding.line is not None
    assert refused(NAMED[way]("sender"), strict=True) == []
    assert refused({"properties": {"hosts": False}}, strict=True) == [], "a name that is ruled out is none"


@pytest.mark.parametrize("name", ["relay", "mail_relay", "_relay", "Relay", "relay2", "host", "ansibles", "site_vars"])
def test_a_harmless_name_is_loaded_and_written(name: str) -> None:
    for way, wrap in NAMED.items():
        document = {name: "x"} | ({"relay": "a"} if way == "dependentSchemas" else {})
        assert refused(wrap(name), strict=True) == []
        assert variables(state(unit(wrap(name), strict=True), document)) == document
    for data_type, _ in KEYED:
        assert refused({}, data_type=data_type, store_key=name) == []


@pytest.mark.parametrize("name", [name for name in BAD_NAMES if name])
def test_a_store_key_that_is_reserved_is_refused_at_its_place(name: str) -> None:
    for data_type in ("YamlList", "YamlKeyList", "YamlKeyDict"):
        [finding] = refused({}, data_type=data_type, store_key=name)
        assert finding.message == f"{quote(name)} cannot be a variable: Ansible reserves the name, or it is none"
        assert (finding.line, finding.path) == (5, "$.meta.store_key")


def test_other_handlers_may_have_any_names() -> None:
    text = json.dumps(definition({}) | {"handler": {"type": "noop"}})
    assert load_units_from([("site.json", text)]).errors == ()


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_strict_unit_is_no_exception(name: str) -> None:
    made = state(unit(ANY_NAME, strict=True), {name: "x"})
    assert f"{quote(name)} in instance " in refusal(made)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_of_the_units_author_is_refused_too(name: str) -> None:
    made = state(unit({"properties": {name: {"type": "string", "default": "x"}}}, strict=True), {})
    assert f"{quote(name)} in instance " in refusal(made)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_it_does_not_matter_what_is_said_to_be_given(name: str) -> None:
    site = unit({})
    assert f"{quote(name)} in instance " in refusal(State(site, 1, [{}], [{name: "x"}]))
    assert f"{quote(name)} in instance " in refusal(State(site, 1, [{name: "x"}], [{name: "x"}]))
    assert variables(State(site, 1, [{name: "x"}], [{"relay": "a"}])) == {"relay": "a"}


def test_the_instance_is_called_by_its_primary_key() -> None:
    site = replace(unit({}), primary_key="id")
    made = state(site, {"id": "one"}, {"id": "two", "hosts": "x"}, {"id": "three", "hosts": "y"})
    assert "'hosts' in instance two cannot be a variable" in refusal(made)
    nameless = State(site, 1, [{}], [{"hosts": "x"}])
    assert "'hosts' in an instance cannot be a variable" in refusal(nameless)


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize(("data_type", "primary_key"), KEYED)
@pytest.mark.parametrize("documents", [[], [{"relay": "a"}]])
def test_a_store_key_that_is_not_usable_is_refused(
    data_type: str, primary_key: str | None, documents: list[dict[str, Any]], name: str
) -> None:
    keyed = replace(unit({}, data_type=data_type), store_key=name, primary_key=primary_key)
    assert refusal(state(keyed, *documents)) == (
        f"cannot apply site: {quote(name)} in meta.store_key cannot be a variable: Ansible reserves the name, or it is none;"
        " choose another in the unit file"
    )


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize(("data_type", "primary_key"), KEYED)
def test_below_a_store_key_names_are_free(data_type: str, primary_key: str | None, name: str) -> None:
    keyed = replace(unit({}, data_type=data_type, store_key="sites"), primary_key=primary_key)
    document = {"relay": name, name: "x"}
    shaped = {"YamlList": [document], "YamlKeyList": [document], "YamlKeyDict": document}[data_type]
    assert variables(state(keyed, document)) == {"sites": shaped if primary_key is None else {name: document}}


@pytest.mark.parametrize(("data_type", "primary_key"), [*KEYED, ("YamlFile", None)])
def test_a_template_of_a_client_is_marked_wherever_it_stands(data_type: str, primary_key: str | None) -> None:
    keyed = replace(unit({}, data_type=data_type, store_key="sites"), primary_key=primary_key)
    text = "{{ lookup('pipe', 'id') }}"
    document = {"relay": text, "deep": [{text: text}, [text]], "more": {text: {text: text}}}
    written = variables_file(state(keyed, document)).decode()
    assert written.count("{{") == written.count('!unsafe "{{') >= 7


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("way", ["program", "plan"])
def test_nothing_is_written_for_a_job_that_is_refused(tmp_path: Path, way: str, warm: bool) -> None:
    site = unit(ANY_NAME | {"additionalProperties": False})
    site = replace(site, args=site.args | {"warm": warm})
    with pytest.raises(HandlerFailed, match="'ansible_python_interpreter' in instance "):
        getattr(AnsiblePlaybook(context=site), way)(state(site, {"ansible_python_interpreter": "/bin/sh"}), tmp_path)
    assert list(tmp_path.iterdir()) == []


NAME = (
    st.text(max_size=8) | st.sampled_from(sorted(RESERVED)) | st.from_regex(r"(ansible_)?[A-Za-z_]\w*", fullmatch=True)
)


@given(st.dictionaries(NAME, st.integers(), max_size=3))
def test_what_is_written_has_usable_names_alone(document: dict[str, int]) -> None:
    made = State(unit({}), 1, [document], [document])
    if all(map(is_usable, document)):
        assert variables(made) == document
    else:
        assert "cannot be a variable" in refusal(made)
