"""The program that a pure-Python handler runs in: ``python -m lmaps.handlers.python_runner``, with its order on stdin.

A process of its own can be stopped and swept like any other program; a handler in the worker could hang the worker.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

from lmaps.errors import LmapsError
from lmaps.handlers.base import State
from lmaps.handlers.registry import find_handlers
from lmaps.model.units import Unit, unit_from_definition
from lmaps.process import Program
from lmaps.util import jsonio
from lmaps.util.jsonio import JsonObject

CHANGED = 10
"""Exit code of a handler that has changed something, or would: 1 and 2 are Python's own failures."""


class Order(NamedTuple):
    """What the program is to do: ``action`` is ``apply`` or ``show``, the rest makes the unit, its state and folder."""

    action: str
    definition: JsonObject
    directory: str
    revision: int
    given: list[JsonObject]
    completed: list[JsonObject]
    definitions: list[int]
    older_texts: dict[str, JsonObject]
    folder: str
    plugin_dirs: list[str]


def as_program(unit: Unit, state: State, folder: Path, plugin_dirs: list[str], action: str) -> Program:
    """Return the program that runs ``action`` (``apply`` or ``show``) of the unit's pure-Python handler."""
    order = Order(
        action,
        definition=unit.definition,
        directory=str(unit.directory),
        revision=state.revision,
        given=state.given,
        completed=state.completed,
        definitions=state.definitions,
        older_texts=state.older_texts,
        folder=str(folder),
        plugin_dirs=plugin_dirs,
    )
    # -P: a module in the working directory must not replace one that the handler imports.
    argv = (sys.executable, "-P", "-u", "-m", "lmaps.handlers.python_runner")
    codes = frozenset({0, CHANGED})
    return Program(argv, stdin=jsonio.encode(order._asdict()).encode(), success=codes, changed=codes - {0})


def main() -> None:
    """Execute the order on standard input; end with exit code 1 and one sentence if that fails."""
    order = Order(**json.load(sys.stdin))
    unit = unit_from_definition(order.definition, Path(order.directory))
    state = State(
        unit,
        order.revision,
        order.given,
        order.completed,
        definitions=order.definitions,
        older_texts=order.older_texts,
    )
    try:
        handler = find_handlers(order.plugin_dirs).get(unit.handler)
        action = {"apply": handler.apply, "show": handler.show}[order.action]
        changed = action(handler(context=unit), state, Path(order.folder))
    except LmapsError as error:
        sys.exit(error.message)
    sys.exit(CHANGED if changed else 0)


if __name__ == "__main__":
    main()
