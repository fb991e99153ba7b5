"""Finds handlers. One that cannot be loaded is kept with the reason, and does not keep the others from loading."""

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
from importlib import metadata
from pathlib import Path
from types import ModuleType

from lmaps.errors import BrokenPlugin, LmapsError, UnitUnusable
from lmaps.handlers.base import UnitHandler
from lmaps.util.jsonio import JsonObject
from lmaps.util.ownership import ownership_fault
from lmaps.util.text import nearest

GROUP = "lmaps.handlers"
"""The group of entry points by which installed packages announce handlers."""
PACKAGE = "lmaps_plugins"
"""Prefix of the module names of plugin files: ``yaml.py`` in a plugin directory must not replace PyYAML."""
LOAD_TIMEOUT_S = 3.0
"""How long the import of a plugin may take: less than the time after which a silent worker is replaced."""
ALARM_REPEAT_S = 0.1


@dataclass(frozen=True, slots=True)
class HandlerEntry:
    """A handler, or the reason why it cannot be loaded; ``source`` says where it comes from."""

    source: str
    handler: type[UnitHandler] | None = None
    error: str | None = None

    def describe(self) -> JsonObject:
        """Return the handler as clients see it."""
        description = self.handler.describe() if self.handler else {"error": self.error}
        return description | {"source": self.source}


@dataclass(frozen=True, slots=True)
class HandlerRegistry:
    """The handlers by type, sorted."""

    entries: dict[str, HandlerEntry] = field(default_factory=dict)

    def get(self, name: str) -> type[UnitHandler]:
        """Return the handler of this type; raise `UnitUnusable` with the reason if there is none."""
        entry = self.entries.get(name)
        if entry is None:
            near = nearest(name, self.entries)
            raise UnitUnusable(f"cannot find the handler {name!r}" + (f"; did you mean {near}?" if near else ""))
        if entry.handler is None:
            raise UnitUnusable(f"cannot load the handler {name}: {entry.error}")
        return entry.handler

    def describe(self) -> JsonObject:
        """Return all handlers as clients see them."""
        return {name: entry.describe() for name, entry in self.entries.items()}


def find_handlers(plugin_dirs: Sequence[str] = (), progress: Callable[[], None] = lambda: None) -> HandlerRegistry:
    """Return the handlers of entry points, then of the ``*.py`` files in ``plugin_dirs``; a later one of a type wins.

    ``progress`` is called after each. In a main thread, a handler that is not loaded within `LOAD_TIMEOUT_S` is broken.
    """
    entries = {}
    for name, entry in itertools.chain(_from_entry_points(), _from_directories(plugin_dirs)):
        entries[name] = entry
        progress()
    return HandlerRegistry(dict(sorted(entries.items())))


def preload() -> None:
    """Import the handlers of lMaPS itself, and read where others are: a process that is forked then has that already.

    Handlers of other packages are not imported here: they could start a thread, and a process with threads must not
    fork.
    """
    for _, point in _entry_points():
        if point.value.startswith("lmaps."):
            with contextlib.suppress(Exception):  # `find_handlers` reports it
                point.load()


@cache
def _entry_points() -> tuple[tuple[str, metadata.EntryPoint], ...]:
    """Return the entry points of our group with their packages' names, of every package that Python would import.

    Not by `metadata.entry_points`: one damaged package would keep all handlers from being found. The name is kept: each
    look at ``point.dist.name`` reads and parses the package's metadata, in every worker again.
    """
    points: dict[str, metadata.EntryPoints] = {}
    for package in metadata.distributions():
        with contextlib.suppress(Exception):  # a damaged file of another package: several kinds of errors
            if announced := package.entry_points.select(group=GROUP):
                # The first of a name counts: it is the one that Python would import.
                points.setdefault(package.name.lower().replace("_", "-"), announced)
    return tuple((name, point) for name, announced in points.items() for point in announced)


def _from_entry_points() -> Iterator[tuple[str, HandlerEntry]]:
    for package, point in _entry_points():
        source = f"{point.value} ({package})"
        try:
            with _time_limit():
                handler = point.load()
            yield point.name, HandlerEntry(source, _checked(handler))
        except (Exception, SystemExit) as error:  # noqa: BLE001 (a plugin may raise anything when it is imported)
            yield point.name, HandlerEntry(source, error=_message(error))


def _from_directories(plugin_dirs: Sequence[str]) -> Iterator[tuple[str, HandlerEntry]]:
    for directory in plugin_dirs:
        for path in sorted(Path(directory).glob("*.py")):
            try:
                # Whoever can write the file, or a directory above it, could run code as the daemon's user.
                fault = ownership_fault(path, os.getuid())
                if fault is not None:
                    raise BrokenPlugin(fault)
                with _time_limit():
                    module = _import(path)
                handlers = _handlers_of(module)
                if not handlers:
                    raise BrokenPlugin("it defines no UnitHandler")
            except (Exception, SystemExit) as error:  # noqa: BLE001 (a plugin may raise anything when it is imported)
                yield path.stem, HandlerEntry(str(path), error=_message(error))
                continue
            yield from ((handler.type, HandlerEntry(str(path), handler)) for handler in handlers)


def _import(path: Path) -> ModuleType:
    """Import a plugin file, by importlib's recipe for a file that is not on the search path."""
    name = f"{PACKAGE}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BrokenPlugin("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # the real module: without it dataclasses of the plugin cannot look up their types
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)  # as a plain import does: nobody may find half a module
        raise
    return module


def _handlers_of(module: ModuleType) -> list[type[UnitHandler]]:
    """Return the handlers that a module defines, without those that it imports."""
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    own = [value for value in classes if value.__module__ == module.__name__]
    return [_checked(value) for value in own if issubclass(value, UnitHandler)]


def _checked(handler: object) -> type[UnitHandler]:
    """Return ``handler`` if it is one; raise `BrokenPlugin` if not."""
    if not (isinstance(handler, type) and issubclass(handler, UnitHandler)):
        raise BrokenPlugin("it is no subclass of UnitHandler")
    if not isinstance(getattr(handler, "type", None), str):
        raise BrokenPlugin(f"{handler.__name__} has no type")
    return handler


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    """Raise `BrokenPlugin` in the block when it takes longer than `LOAD_TIMEOUT_S`.

    It is raised every `ALARM_REPEAT_S` from then on: a plugin that catches every exception would survive a single one.
    """
    if threading.current_thread() is not threading.main_thread():  # only a main thread can handle signals
        yield
        return

    def on_alarm(_number: int, _frame: object) -> None:
        raise BrokenPlugin(f"it takes longer than {LOAD_TIMEOUT_S:g} s to load")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, LOAD_TIMEOUT_S, ALARM_REPEAT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _message(error: BaseException) -> str:
    return str(error) if isinstance(error, LmapsError) else f"{type(error).__name__}: {error}"
