"""Handlers: those of lMaPS, those of installed packages (entry points ``lmaps.handlers``), those of plugin directories.

base           UnitHandler: the contract
registry       finds and loads handlers
python_runner  the program that a pure-Python handler runs in
ansible, command, noop, template: the handlers that are shipped

Workers load handlers; the manager knows only their descriptions, which workers report.
"""

from lmaps.handlers.registry import HandlerRegistry, find_handlers, preload

__all__ = ["HandlerRegistry", "find_handlers", "preload"]
