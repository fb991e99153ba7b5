"""No variable reaches Ansible under a name that it keeps for itself, whatever the schema allows and whoever named it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lmaps.errors import HandlerFailed
from lmaps.handlers.ansible import AnsiblePlaybook
from lmaps.handlers.ansible.variables import RESERVED, is_usable, variables_file
from lmaps.handlers.base import State
from lmaps.model.units import Unit, parse_unit, short_id
from lmaps.util import yamlio

BAD_NAMES = ["ansible_python_interpreter", "ansible_connection", "hostvars", "lookup", "a-b", "vars", "x y", ""]
ANY_NAME = {"patternProperties": {"": {"type": "string"}}}
OPEN_SCHEMAS: dict[str, Any] = {
    "no schema": {},
    "true": True,
    "no properties": {"type": "object"},
    "properties": {"properties": {"relay": {"type": "string"}}},
    "patternProperties": ANY_NAME,
    "patternProperties, else closed": ANY_NAME | {"additionalProperties": False},
    "additionalProperties true": {"additionalProperties": True},
    "additionalProperties schema": {"additionalProperties": {"type": "string"}},
    "propertyNames": {"propertyNames": {"type": "string"}},
    "propertyNames, closed by a pattern": {"propertyNames": {"maxLength": 64}} | ANY_NAME | {"additionalProperties": False},
    "unevaluatedProperties true": {"unevaluatedProperties": True},
    "unevaluatedProperties schema": {"unevaluatedProperties": {"type": "string"}},
    "unevaluatedProperties false beside a pattern": ANY_NAME | {"unevaluatedProperties": False},
    "allOf": {"allOf": [ANY_NAME], "unevaluatedProperties": False},
    "anyOf": {"anyOf": [{"required": ["relay"]}, ANY_NAME], "unevaluatedProperties": False},
    "oneOf": {"oneOf": [{"type": "array"}, ANY_NAME], "unevaluatedProperties": False},
    "then": {"if": {"type": "object"}, "then": ANY_NAME, "unevaluatedProperties": False},
    "else": {"if": {"type": "array"}, "else": ANY_NAME, "unevaluatedProperties": False},
    "if": {"if": ANY_NAME, "unevaluatedProperties": False},
    "not": {"not": {"type": "array"}},
    "$ref": {"$defs": {"open": ANY_NAME}, "$ref": "#/$defs/open", "unevaluatedProperties": False},
    "$ref in allOf": {"$defs": {"open": ANY_NAME}, "allOf": [{"$ref": "#/$defs/open"}], "unevaluatedProperties": False},
    "$dynamicRef": {
        "$defs": {"open": {"$dynamicAnchor": "any"} | ANY_NAME},
        "$dynamicRef": "#any",
        "unevaluatedProperties": False,
    },
    "dependentSchemas": {
        "properties": {"relay": {"type": "string"}},
        "dependentSchemas": {"relay": ANY_NAME},
        "unevaluatedProperties": False,
    },
    "draft 7, dependencies": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {"relay": {"type": "string"}},
        "dependencies": {"relay": {"additionalProperties": True}},
    },
}  # fmt: skip
"""Schemas that take a property of any name, each by another way."""
KEYED = [("YamlList", None), ("YamlKeyList", None), ("YamlKeyDict", None), ("YamlKeyDict", "relay")]
"""Data types with one variable, the store key; with and without a primary key."""


def unit(params: Any, **meta: Any) -> Unit:
    definition = {
        "meta": {"name": "site", "data_type": "YamlFile"} | meta,
        "handler": {"type": "ansible_playbook", "args": {"playbook": "site.yml"}},
        "params": params,
    }
    return parse_unit(yamlio.load(json.dumps(definition), file="/units/site.yaml")[0])


def state(site: Unit, *documents: dict[str, Any]) -> State:
    return State(site, 1, list(documents), [site.complete(document) for document in documents])


def refusal(made: State) -> str:
    with pytest.raises(HandlerFailed) as refused:
        variables_file(made)
    return refused.value.message


def variables(made: State) -> Any:
    return yaml.safe_load(variables_file(made).decode().replace("!unsafe ", ""))


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("schema", OPEN_SCHEMAS)
def test_a_name_that_an_open_schema_lets_in_is_refused(schema: str, name: str) -> None:
    site = unit(OPEN_SCHEMAS[schema])
    made = state(site, {"relay": "a"}, {"relay": "b", name: "x"})
    culprit = short_id(site.identify(made.completed[1]))
    assert refusal(made) == (
        f"cannot apply site: {name!r} in instance {culprit} cannot be a variable: Ansible reserves the name, or it is none;"
        " remove it there, or from the schema's defaults, and have the schema refuse it"
    )


@pytest.mark.parametrize("schema", OPEN_SCHEMAS)
def test_a_name_that_is_usable_is_taken(schema: str) -> None:
    made = state(unit(OPEN_SCHEMAS[schema]), {"relay": "a", "sender": "x"}, {"relay": "b"})
    assert variables(made) == {"relay": "b", "sender": "x"}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_strict_unit_is_no_exception(name: str) -> None:
    made = state(unit(ANY_NAME, strict=True), {name: "x"})
    assert f"{name!r} in instance " in refusal(made)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_of_the_units_author_is_refused_too(name: str) -> None:
    made = state(unit({"properties": {name: {"type": "string", "default": "x"}}}, strict=True), {})
    assert f"{name!r} in instance " in refusal(made)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_it_does_not_matter_what_is_said_to_be_given(name: str) -> None:
    site = unit({})
    assert f"{name!r} in instance " in refusal(State(site, 1, [{}], [{name: "x"}]))
    assert f"{name!r} in instance " in refusal(State(site, 1, [{name: "x"}], [{name: "x"}]))
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
        f"cannot apply site: {name!r} in meta.store_key cannot be a variable: Ansible reserves the name, or it is none;"
        " choose another in the unit file"
    )


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize(("data_type", "primary_key"), KEYED)
def test_below_a_store_key_names_are_free(data_type: str, primary_key: str | None, name: str) -> None:
    keyed = replace(unit({}, data_type=data_type, store_key="sites"), primary_key=primary_key)
    document = {"relay": name, name: "x"}
    shaped = {"YamlList": [document], "YamlKeyList": [document], "YamlKeyDict": document}[data_type]
    assert variables(state(keyed, document)) == {"sites": shaped if primary_key is None else {name: document}}


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
