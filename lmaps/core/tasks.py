"""``lmaps.core.tasks``: tasks that are run by name; they live in `lmaps.worker.tasks` and `lmaps.manager.tasks`.

``context`` is the worker or the manager that runs a task. Called by hand with None they work on the configuration that
is found, or raise `LmapsError` where only a worker or a manager will do.
"""

import logging
from types import SimpleNamespace
from typing import Any

from lmaps.config.load import load_config
from lmaps.config.settings import Config
from lmaps.errors import LmapsError
from lmaps.manager import Manager
from lmaps.manager import tasks as manager_tasks
from lmaps.worker import tasks as worker_tasks
from lmaps.worker.tasks import no_work
from lmaps.worker.worker import Worker

__all__ = [
    "error_message",
    "get_worker_config",
    "get_worker_units",
    "get_worker_units_instances",
    "no_work",
    "rollback_worker_units_instances",
    "stop_worker_thread",
    "validate_instance",
]


def error_message(context: Any, msg: str) -> None:
    """Log an error where the task runs."""
    worker_tasks.error_message(context if hasattr(context, "log") else _stand_in(), msg)


def stop_worker_thread(context: object) -> dict[str, Any]:
    """Have the worker end once this is answered; a supervisor starts another in its place."""
    if not isinstance(context, Worker):
        raise LmapsError("cannot stop the worker: the context is none")
    return worker_tasks.stop_worker_thread(context)


def get_worker_config(context: object) -> dict[str, Any]:
    """Return the configuration as the worker sees it."""
    config = context.config if hasattr(context, "config") else load_config()
    values = config.to_dict() if isinstance(config, Config) else config
    return {name: value for name, value in values.items() if name != "document"}


def get_worker_units(context: object) -> list[dict[str, Any]]:
    """Return the definitions of the units as the worker finds them now."""
    return worker_tasks.get_worker_units(_configured(context))


def get_worker_units_instances(context: object, name: str) -> Any:
    """Return the state of a unit, as its handler gets it."""
    return manager_tasks.get_worker_units_instances(_manager(context, name), name)


def rollback_worker_units_instances(context: object, name: str) -> dict[str, Any]:
    """Take a unit's newest change back; return its ``removing``, ``before`` and ``after``."""
    return manager_tasks.rollback_worker_units_instances(_manager(context, name), name)


def validate_instance(context: object, unit_name: str, instance: dict[str, Any]) -> dict[str, Any]:
    """Return ``instance`` with the unit's defaults mixed in, valid; raise `ValidationFailed` with all findings."""
    return worker_tasks.validate_instance(_configured(context), unit_name, instance)


def _configured(context: object) -> Any:
    """Return what the tasks of a worker need of their context: a configuration and a log."""
    if not hasattr(context, "config"):
        return _stand_in()
    return context if isinstance(context.config, Config) else SimpleNamespace(config=Config.of(context.config))


def _stand_in() -> SimpleNamespace:
    return SimpleNamespace(config=load_config(), log=logging.getLogger(__name__))


def _manager(context: object, unit: str) -> Manager:
    if not isinstance(context, Manager) or not context.running:
        raise LmapsError(f"cannot reach the state of {unit}: the context is no manager that serves")
    return context
