"""What may not stand in the code at all: what runs data as code, and what reads objects from bytes."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).parents[2] / "lmaps").rglob("*.py"))
MODULES = frozenset("pickle cPickle _pickle marshal shelve dill cloudpickle jsonpickle commands pty telnetlib".split())
CALLS = frozenset("eval exec compile __import__ input".split())
ATTRIBUTES = frozenset(
    "os.system os.popen os.spawnl os.spawnlp os.startfile subprocess.getoutput subprocess.getstatusoutput tempfile.mktemp "
    "yaml.load yaml.load_all yaml.full_load yaml.unsafe_load yaml.Loader yaml.FullLoader yaml.UnsafeLoader".split()
)
IN_ITS_PLACE = {"handlers/ansible/warm/preparation.py": ["yaml.load", "yaml.load"]}
"""What stands in the place of the same within another program, and does what that does: with Ansible's own loaders."""
METHODS = frozenset("recv_pyobj send_pyobj recv_serialized".split())


def forbidden(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line of each thing that may not be there, and what it is."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, each.name) for each in names if each.name.partition(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module), names=names):
                if module.partition(".")[0] in MODULES:
                    yield node.lineno, module
                yield from (
                    (node.lineno, f"{module}.{each.name}") for each in names if f"{module}.{each.name}" in ATTRIBUTES
                )
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                yield node.lineno, name
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if f"{name}.{attribute}" in ATTRIBUTES:
                yield node.lineno, f"{name}.{attribute}"
            case ast.Attribute(attr=attribute) if attribute in METHODS:
                yield node.lineno, attribute
            case ast.keyword(arg="shell", value=ast.Constant(value=True)):
                yield node.value.lineno, "shell=True"
            case ast.Constant(value=str(text)) if text in MODULES - {"commands", "pty"}:
                yield node.lineno, f"the name {text}"


PLANTED = """\
import pickle
from marshal import loads
import os, subprocess, yaml
from yaml import unsafe_load
eval("1")
exec("1")
__import__("x")
os.system("x")
os.popen("x")
subprocess.getoutput("x")
subprocess.run("x", shell=True)
yaml.load("x")
socket.recv_pyobj()
importlib.import_module("shelve")
"""


def test_each_ban_finds_what_it_is_for() -> None:
    found = {line for line, _ in forbidden(ast.parse(PLANTED))}
    assert found == set(range(1, PLANTED.count("\n") + 1)) - {3}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path).rpartition("/lmaps/")[2])
def test_the_code_is_free_of_it(source: Path) -> None:
    name = str(source).rpartition("/lmaps/")[2]
    assert [found for _, found in forbidden(ast.parse(source.read_text()))] == IN_ITS_PLACE.get(name, [])


def test_how_much_was_looked_at(figure: Callable[[str, str], None]) -> None:
    lines = sum(path.read_text().count("\n") for path in SOURCES)
    bans = len(MODULES) + len(CALLS) + len(ATTRIBUTES) + len(METHODS) + 1
    figure("2.4 code that is never there", f"{bans} bans over {len(SOURCES)} files, {lines:,} lines: 0 found")
