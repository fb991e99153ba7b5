"""Every name by which Ansible itself takes a variable, found in its own sources: no unit can give it one."""

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmaps.model.units.variables import is_usable

_SPEC = importlib.util.find_spec("ansible")
pytestmark = pytest.mark.skipif(_SPEC is None, reason="Ansible is not installed beside this Python")
SOURCES = Path(str(_SPEC.origin)).parent if _SPEC else Path()

HARMLESS = {"_z_test_entry": "an entry for tests of Ansible's own configuration"}
VARIABLES = {"variables", "task_vars", "all_vars", "host_vars", "tvars", "cvars", "vars", "temp_vars", "vars_copy"}
"""What Ansible's sources call the variables of a task."""
READ_IN = ("executor", "playbook", "plugins", "vars", "template", "inventory", "_internal")


def modules(*folders: str) -> Iterator[ast.Module]:
    for folder in folders:
        for path in (SOURCES / folder).rglob("*.py"):
            yield ast.parse(path.read_text())


def documents() -> Iterator[Any]:
    """The options of Ansible and of each of its plugins, and the fragments that they share."""
    yield from yaml.safe_load_all((SOURCES / "config" / "base.yml").read_text())
    for module in modules("plugins"):
        for node in ast.walk(module):
            match node:
                case ast.Assign(targets=[ast.Name(id="DOCUMENTATION")], value=ast.Constant(value=str() as text)):
                    yield yaml.safe_load(text)


def variables_of_options(value: Any) -> Iterator[str]:
    """The names under ``vars`` of each option: a variable of that name sets the option."""
    if isinstance(value, dict):
        for entry in value.get("vars", ()) if isinstance(value.get("vars"), list) else ():
            yield entry["name"]
        value = list(value.values())
    for below in value if isinstance(value, list) else ():
        yield from variables_of_options(below)


def variables_that_are_read() -> Iterator[str]:
    """Each constant name that Ansible looks up in the variables of a task."""
    for module in modules(*READ_IN):
        for node in ast.walk(module):
            match node:
                case ast.Subscript(value=ast.Name(id=variables), slice=ast.Constant(value=str() as name)):
                    pass
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id=variables), attr="get" | "pop"),
                    args=[ast.Constant(value=str() as name), *_],
                ):
                    pass
                case ast.Compare(
                    left=ast.Constant(value=str() as name),
                    ops=[ast.In() | ast.NotIn()],
                    comparators=[ast.Name(id=variables)],
                ):
                    pass
                case _:
                    continue
            if variables in VARIABLES:
                yield name


def variables_that_ansible_lists() -> list[str]:
    program = (
        "import json; from ansible import constants; from ansible.vars.reserved import get_reserved_names as reserved;"
        "names = [*reserved(), *constants.INTERNAL_STATIC_VARS, *constants.COMMON_CONNECTION_VARS];"
        "names += [name for names in constants.MAGIC_VARIABLE_MAPPING.values() for name in names];"
        "print(json.dumps(names))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    names: list[str] = json.loads(done.stdout.splitlines()[-1])
    return names


@pytest.mark.parametrize(
    ("found", "example", "least"),
    [
        (lambda: variables_of_options(list(documents())), "ansible_python_interpreter", 100),
        (variables_that_are_read, "ansible_delegated_vars", 15),
        (variables_that_ansible_lists, "hostvars", 80),
    ],
    ids=["options", "read", "listed"],
)
def test_no_unit_gives_ansible_a_variable_that_it_takes_itself(found: Any, example: str, least: int) -> None:
    names = set(found())
    assert example in names
    assert len(names) >= least
    assert {name for name in names if is_usable(name)} <= HARMLESS.keys()
