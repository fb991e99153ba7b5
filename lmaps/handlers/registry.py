"""Finds handlers. A broken one is kept with its reason and spares the others."""

import contextlib
import importlib.util
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from lmaps.errors import BrokenPlugin, LmapsError, UnitUnusable
from lmaps.handlers.base import UnitHandler
from lmaps.handlers.installed import EntryPoint, entry_points
from lmaps.util.ownership import foreign_hand
from lmaps.util.text import nearest

GROUP = "lmaps.handlers"
PACKAGE = "lmaps_plugins"
LOAD_WITHIN = 3.0
"""Seconds that a plugin may take to be imported: less than a worker may be silent."""


@dataclass(frozen=True, slots=True)
class Found:
    """A handler, or why it cannot be loaded; ``source`` is where it comes from."""

    source: str
    handler: type[UnitHandler] | None = None
    error: str | None = None

    def describe(self) -> dict[str, Any]:
        """The handler as people see it."""
        told = self.handler.describe() if self.handler else {"error": self.error}
        return told | {"source": self.source}


@dataclass(frozen=True, slots=True)
class Handlers:
    """The handlers by type, sorted."""

    found: dict[str, Found] = field(default_factory=dict)

    def get(self, name: str) -> type[UnitHandler]:
        """The handler of this type; `UnitUnusable` says why there is none."""
        known = self.found.get(name)
        if known is None:
            near = nearest(name, self.found)
            raise UnitUnusable(f"cannot find the handler {name!r}" + (f"; did you mean {near}?" if near else ""))
        if known.handler is None:
            raise UnitUnusable(f"cannot load the handler {name}: {known.error}")
        return known.handler

    def describe(self) -> dict[str, Any]:
        """All handlers as people see them."""
        return {name: found.describe() for name, found in self.found.items()}


def find_handlers(plugin_dirs: Sequence[str] = (), progress: Callable[[], None] = lambda: None) -> Handlers:
    """The handlers of entry points, then of the ``*.py`` files in ``plugin_dirs``; a later one of a type wins.

    ``progress`` is called after each. One that is not loaded within `LOAD_WITHIN` is broken (in a main thread).
    """
    found = {}
    for name, each in itertools.chain(_from_entry_points(), _from_directories(plugin_dirs)):
        found[name] = each
        progress()
    return Handlers(dict(sorted(found.items())))


def preload() -> None:
    """Import the handlers of lMaPS itself, and look up where others are: whoever is forked then has that already."""
    for point in _entry_points():
        if point.module.startswith("lmaps."):
            with contextlib.suppress(Exception):  # `find_handlers` tells
                point.load()


@cache
def _entry_points() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(GROUP))


def _from_entry_points() -> Iterator[tuple[str, Found]]:
    for point in _entry_points():
        source = f"{point.value} ({point.package})"
        try:
            with _time_limit():
                handler = point.load()
            yield point.name, Found(source, _checked(handler))
        except (Exception, SystemExit) as error:  # noqa: BLE001 (a plugin may raise anything when it is imported)
            yield point.name, Found(source, error=_words(error))


def _from_directories(plugin_dirs: Sequence[str]) -> Iterator[tuple[str, Found]]:
    for directory in plugin_dirs:
        for path in sorted(Path(directory).glob("*.py")):
            try:
                fault = foreign_hand(path, os.getuid())
                if fault is not None:
                    raise BrokenPlugin(fault)
                with _time_limit():
                    module = _import(path)
                handlers = _handlers_of(module)
                if not handlers:
                    raise BrokenPlugin("it defines no UnitHandler")
            except (Exception, SystemExit) as error:  # noqa: BLE001 (a plugin may raise anything when it is imported)
                yield path.stem, Found(str(path), error=_words(error))
                continue
            yield from ((handler.type, Found(str(path), handler)) for handler in handlers)


def _import(path: Path) -> ModuleType:
    name = f"{PACKAGE}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BrokenPlugin("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _handlers_of(module: ModuleType) -> list[type[UnitHandler]]:
    members = vars(module).values()
    own = [each for each in members if isinstance(each, type) and each.__module__ == module.__name__]
    return [_checked(each) for each in own if issubclass(each, UnitHandler)]


def _checked(handler: Any) -> type[UnitHandler]:
    if not (isinstance(handler, type) and issubclass(handler, UnitHandler)):
        raise BrokenPlugin("it is no subclass of UnitHandler")
    if not isinstance(getattr(handler, "type", None), str):
        raise BrokenPlugin(f"{handler.__name__} has no type")
    return handler


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    """Raise `BrokenPlugin` in the block when it takes too long, and again if that is swallowed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_number: int, _frame: object) -> None:
        raise BrokenPlugin(f"it takes longer than {LOAD_WITHIN:g} s to load")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, LOAD_WITHIN, 0.1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, LmapsError) else f"{type(error).__name__}: {error}"
