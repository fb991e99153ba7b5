#!/usr/bin/env python3
"""Draw the rooms of lmaps/ and count what the style asks for; with --check print only what is refused.

A room is a package of lmaps/, a module right below lmaps/, or a module that the floors in pyproject.toml name (the
import-linter contract of type "layers"). A module belongs to the innermost room around it.

An arrow is one room importing another, however often. ``from a.b import c`` imports a.b, and a.b.c where that is a
module; imports in functions and under TYPE_CHECKING count, as does ``import_module("a.b")``. The floors printed are
the longest chain of rooms, a circle counting as one. A circle of rooms leaves out the arrows between a package and
what is inside it. Refused are circles, imports of a floor above, writes into ``sys.modules`` and private modules of
others.
"""

import argparse
import ast
import io
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path
from tokenize import COMMENT, generate_tokens
from typing import NamedTuple

VAGUE_NAMES = ("told", "found", "made", "kept", "known", "each", "one")
DIRECTIVE = re.compile(r"#\s*(noqa|type:|pragma|fmt:|!)")
PRIVATE = re.compile(r"(?!lmaps\.)(.*\.)?_(?!_).*")
ALLOWED_PRIVATE = {
    # It runs inside Ansible, for the releases that it names; the tags of a text have no public name.
    "lmaps/handlers/ansible/warm/preparation.py": {
        "ansible._internal._datatag._tags",
        "ansible.module_utils._internal._datatag",
    },
}
"""Private modules of others that are imported all the same, by file, with the reason."""
STAND_IN = re.compile(r"sys\.modules(\[[^.]*\]|\.update|\.setdefault)")

Graph = dict[str, set[str]]


class Module(NamedTuple):
    """A file below lmaps/; a package's ``__init__`` has the package's name."""

    name: str
    path: Path
    text: str
    tree: ast.Module


def read_module(root: Path, path: Path) -> Module:
    """Read and parse a file below ``root``."""
    text, parts = (root / path).read_text(), path.with_suffix("").parts
    return Module(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path, text, ast.parse(text))


def imports_of(module: Module) -> Iterator[tuple[int, list[str]]]:
    """Yield the line of every import and the modules it may mean, the outer one first."""
    package = module.name.split(".")[: None if module.path.name == "__init__.py" else -1]
    for node in ast.walk(module.tree):
        match node:
            case ast.Import():
                yield from ((node.lineno, [alias.name]) for alias in node.names)
            case ast.ImportFrom():
                above = package[: len(package) + 1 - node.level] if node.level else []
                source = ".".join([*above, node.module] if node.module else above)
                yield from ((node.lineno, [source, f"{source}.{alias.name}"]) for alias in node.names)
            case ast.Call(args=[ast.Constant(value=str(name)), *_]) if ast.unparse(node.func).endswith("import_module"):
                yield node.lineno, [name]


def around(name: str) -> list[str]:
    """Return a module and the packages around it, innermost first."""
    return [name.rsplit(".", cut)[0] for cut in range(name.count(".") + 1)]


def circles(graph: Graph) -> list[tuple[str, ...]]:
    """Return the groups of nodes that reach each other."""
    reach: Graph = {}
    for start in graph:
        waiting, reach[start] = [start], set()
        while waiting:
            new = graph[waiting.pop()] - reach[start]
            reach[start] |= new
            waiting += new
    return sorted({tuple(sorted(b for b in reach[a] if a in reach[b])) for a in graph if a in reach[a]})


def heights(graph: Graph) -> dict[str, int]:
    """Return the length of the longest chain down from each node; the nodes of a circle share one height."""
    group_of = {node: (node,) for node in graph} | {node: circle for circle in circles(graph) for node in circle}
    below = {group: {group_of[to] for node in group for to in graph[node]} - {group} for group in group_of.values()}
    height: dict[tuple[str, ...], int] = {}
    for group in TopologicalSorter(below).static_order():
        height[group] = 1 + max((height[other] for other in below[group]), default=0)
    return {node: height[group] for node, group in group_of.items()}


class House:
    """The modules of ``root``/lmaps, their rooms and the arrows between them."""

    def __init__(self, root: Path) -> None:
        self.modules = [read_module(root, path.relative_to(root)) for path in sorted((root / "lmaps").rglob("*.py"))]
        self.packages = {module.name for module in self.modules if module.path.name == "__init__.py"}
        self.imports = {module.name: list(imports_of(module)) for module in self.modules}
        contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
        layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
        self.floors = {
            "lmaps." + room.removeprefix("lmaps."): floor
            for floor, layer in enumerate(reversed(layers))
            for room in re.findall(r"[\w.]+", layer)
        }

    def room(self, name: str) -> str:
        """Return the room a module belongs to."""
        return next(n for n in around(name) if n in self.packages or n in self.floors or n.count(".") < 2)

    @cached_property
    def module_graph(self) -> Graph:
        """The modules that each module imports."""
        targets = {a: [[b for b in names if b in self.imports] for _, names in self.imports[a]] for a in self.imports}
        return {name: {modules[-1] for modules in targets[name] if modules} - {name} for name in self.imports}

    @cached_property
    def room_graph(self) -> Graph:
        """The rooms that each room imports."""
        graph: Graph = defaultdict(set)
        for name, imports in self.imports.items():
            targets = {self.room(target) for _, names in imports for target in names if target in self.imports}
            graph[self.room(name)] |= targets - {self.room(name)}
        return dict(graph)

    def circles(self) -> list[str]:
        """Return each circle of rooms and of modules."""
        rooms = {
            a: {b for b in below if a not in around(b) and b not in around(a)} for a, below in self.room_graph.items()
        }
        graphs = {"rooms": rooms, "modules": self.module_graph}
        return [f"circle of {what}: {' '.join(circle)}" for what in graphs for circle in circles(graphs[what])]

    def upward(self) -> Iterator[str]:
        """Yield each import of a module on a floor above; what no floor names is left out."""
        floor = {name: self.floors[n] for name in self.imports for n in reversed(around(name)) if n in self.floors}
        for name in floor.keys() & self.module_graph.keys():
            for target in sorted(self.module_graph[name] & floor.keys()):
                if floor[name] < floor[target]:
                    yield f"upward: {name} imports {target}"

    def borrowed(self) -> Iterator[str]:
        """Yield each write into ``sys.modules`` and each import of something private that is not ours.

        A module that the same file has made by ``module_from_spec`` is a real one: that is how importlib's own recipe
        registers a file.
        """
        for module in self.modules:
            registered = {id(target) for target in real_modules(module.tree)}
            for node in ast.walk(module.tree):
                written = node.func if isinstance(node, ast.Call) else node if is_stored(node) else None
                if written and id(node) not in registered and STAND_IN.fullmatch(ast.unparse(written)):
                    yield f"stand-in: {module.path}:{getattr(node, 'lineno', 0)} {ast.unparse(node)}"
            private = [(line, names[-1]) for line, names in self.imports[module.name] if PRIVATE.fullmatch(names[-1])]
            allowed = ALLOWED_PRIVATE.get(str(module.path), set())
            private = [(line, name) for line, name in private if name not in allowed]
            yield from (f"private import: {module.path}:{line} {name}" for line, name in private)

    def refusals(self) -> list[str]:
        """Return what must not be, a line each."""
        return [*self.circles(), *sorted(self.upward()), *self.borrowed()]

    def drawing(self) -> Iterator[str]:
        """Yield the rooms, the highest first, each with the rooms it imports; then how many there are."""
        height = heights(self.room_graph)
        for room in sorted(height, key=lambda room: (-height[room], room)):
            yield f"{height[room]:3} {room} -> {' '.join(sorted(self.room_graph[room])) or 'nothing'}"
        arrows = sum(map(len, self.room_graph.values()))
        yield f"rooms {len(height)}, floors {max(height.values())}, arrows {arrows}"

    def counts(self) -> Iterator[str]:
        """Yield what the style asks for, a line each."""
        nodes = [node for module in self.modules for node in ast.walk(module.tree)]
        lines = [module.text.count("\n") for module in self.modules]
        functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        sizes = sorted((node.end_lineno or 0) - node.lineno + 1 for node in functions)
        keys = [n.slice.value for n in nodes if isinstance(n, ast.Subscript) and isinstance(n.slice, ast.Constant)]
        tokens = [token for module in self.modules for token in generate_tokens(io.StringIO(module.text).readline)]
        comments = [token.string for token in tokens if token.type == COMMENT]
        directives = sum(bool(DIRECTIVE.match(text)) for text in comments)
        bound = [node.id for node in nodes if isinstance(node, ast.Name) and is_stored(node)]
        bound += [node.arg for node in nodes if isinstance(node, ast.arg)]
        names = Counter(name for name in bound if name in VAGUE_NAMES)
        folder, entries = Counter(module.path.parent for module in self.modules).most_common(1)[0]
        yield f"Any {sum(isinstance(node, ast.Name) and node.id == 'Any' for node in nodes)}"
        yield f"look-ups by string {sum(isinstance(key, str) for key in keys)}"
        yield f"comments {len(comments)} ({len(comments) / sum(lines):.1%} of lines), {directives} of them directives"
        yield f"files {len(lines)}, lines {sum(lines)}, files under 40 lines {sum(n < 40 for n in lines)}"
        yield f"biggest folder {folder}, {entries} files"
        yield f"vague names {names.total()}: " + ", ".join(f"{name} {count}" for name, count in names.most_common())
        yield f"functions {len(sizes)}, lines {sizes[len(sizes) // 2]} / {sizes[len(sizes) * 9 // 10]} / {sizes[-1]}"


def is_stored(node: ast.AST) -> bool:
    """Return whether a node is what is assigned to: by ``=``, ``for``, ``with`` or ``:=``."""
    return isinstance(getattr(node, "ctx", None), ast.Store)


def real_modules(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield the targets of assignments whose value is a variable that ``module_from_spec`` has made."""
    assignments = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    made = {ast.unparse(node.targets[0]) for node in assignments if "module_from_spec(" in ast.unparse(node.value)}
    for node in assignments:
        if isinstance(node.value, ast.Name) and node.value.id in made:
            yield from node.targets


def main() -> int:
    """Print the house and what is refused; with --check only that."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="print only what is refused, and exit 1 if there is any")
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).parents[1], help="another checkout")
    options = parser.parse_args()
    house = House(options.root)
    refusals = house.refusals()
    for line in [*([] if options.check else [*house.drawing(), *house.counts()]), *refusals]:
        print(line)
    return int(options.check and bool(refusals))


if __name__ == "__main__":
    sys.exit(main())
