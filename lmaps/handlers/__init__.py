"""Handlers: those of lMaPS, those of installed packages (entry points ``lmaps.handlers``), those of plugin directories.

`find_handlers` finds them. Workers load them; the manager knows only what workers tell.
"""

from lmaps.handlers.registry import Handlers, find_handlers, preload

__all__ = ["Handlers", "find_handlers", "preload"]
