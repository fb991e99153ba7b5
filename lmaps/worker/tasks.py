"""What a worker does: one table of tasks, each run by its name.

A task is given its runner as ``context``, a worker with its ``config`` and its ``handlers``. It returns a JSON value,
or an `Execution` that the worker's loop turns to its end. The table has the names of `lmaps.protocol.work.TASKS`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmaps.config import Config
from lmaps.errors import UnitUnusable
from lmaps.handlers.base import State, UnitHandler
from lmaps.handlers.python_runner import as_program
from lmaps.model.units import get_unit_by_name, load_units
from lmaps.process import Program
from lmaps.worker.execution import Execution, Limits, Order, job_folder, start, unit_as_queued

PROBE_WITHIN = 10.0
"""Seconds that a probe may take."""


def no_work(context: Any) -> dict[str, Any]:
    """Do nothing."""
    return {}


def error_message(context: Any, msg: str) -> None:
    """Log an error where the task runs."""
    context.log.error("%s", msg)


def stop_worker_thread(context: Any) -> dict[str, Any]:
    """Have the worker end once this is answered; the supervisor starts another in its place."""
    context.stop()
    return {}


def get_worker_config(context: Any) -> dict[str, Any]:
    """The configuration as the worker sees it."""
    config: Config = context.config
    return {name: value for name, value in config.items() if name != "document"}


def get_worker_units(context: Any) -> list[dict[str, Any]]:
    """The definitions of the units as the worker finds them now."""
    return [unit.definition for unit in load_units(context.config).units.values()]


def validate_instance(context: Any, unit_name: str, instance: dict[str, Any]) -> dict[str, Any]:
    """``instance`` with the unit's defaults mixed in, valid; raises `ValidationFailed` with all findings."""
    return get_unit_by_name(unit_name, context.config).complete(instance)


def check_units(context: Any) -> dict[str, Any]:
    """What each unit's handler has to say against it; units without fault are left out."""
    found: dict[str, Any] = {}
    for unit in load_units(context.config).units.values():
        try:
            findings = context.handlers.get(unit.handler).check(unit)
        except UnitUnusable:
            continue  # the manager knows which handlers there are
        if findings:
            found[unit.name] = [finding.to_json() for finding in findings]
    return found


def apply(context: Any, *args: Any, **kwargs: Any) -> Execution:
    """Start the unit's handler with this state. The unit's own file is read anew, and every document checked again.

    The arguments are those of an `Order`.
    """
    return start(context, Order(*args, **kwargs), _applying)


def plan(context: Any, *args: Any, **kwargs: Any) -> Execution:
    """Start the unit's handler in its check mode. The arguments are those of an `Order`."""
    return start(context, Order(*args, **kwargs), _planning)


def probe(context: Any, unit: str, digest: str) -> Execution:
    """Run the unit's probe: whether what was applied works."""
    loaded = unit_as_queued(context.config, unit, digest)
    program, *arguments = loaded.probe
    if "/" in program:
        program = str(loaded.directory / program)
    folder = context.jobs_folder / "probe"
    with job_folder(folder):
        return Execution(
            UnitHandler(context=loaded), Program((program, *arguments)), folder, context.emit, Limits(PROBE_WITHIN)
        )


def _applying(context: Any, handler: UnitHandler, state: State, folder: Path) -> Program:
    if handler.is_pure_python():
        return as_program(handler.unit, state, folder, context.config["plugin_dirs"], "apply")
    return handler.program(state, folder)


def _planning(context: Any, handler: UnitHandler, state: State, folder: Path) -> Program:
    if handler.is_pure_python():
        return as_program(handler.unit, state, folder, context.config["plugin_dirs"], "show")
    return handler.plan(state, folder)


TASKS: dict[str, Callable[..., Any]] = {
    task.__name__: task
    for task in (
        no_work,
        error_message,
        stop_worker_thread,
        get_worker_config,
        get_worker_units,
        validate_instance,
        check_units,
        apply,
        plan,
        probe,
    )
}
"""Every task that a worker runs, by name."""
