"""The tasks of a worker, in one table: the manager sends the name of the task to run.

A task gets the worker as its ``context``. It returns a JSON value, or an `Execution` that the worker's loop runs to its
end. The table has the names of `lmaps.protocol.work.TASKS`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmaps.errors import UnitUnusable
from lmaps.handlers.base import State, UnitHandler
from lmaps.handlers.python_runner import as_program
from lmaps.model.units import get_unit_by_name, load_units
from lmaps.process import Program
from lmaps.util.jsonio import JsonObject
from lmaps.worker.execution import Execution, Limits, Order, TaskContext, job_folder, start, unit_as_queued

PROBE_TIMEOUT_S = 10.0


def no_work(context: TaskContext) -> JsonObject:
    """Do nothing."""
    return {}


def error_message(context: TaskContext, msg: str) -> None:
    """Log an error where the task runs."""
    context.log.error("%s", msg)


def stop_worker_thread(context: TaskContext) -> JsonObject:
    """Stop the worker after the answer to this task; the supervisor starts another worker in its place."""
    context.stop()
    return {}


def get_worker_config(context: TaskContext) -> JsonObject:
    """Return the configuration of the worker."""
    return {name: value for name, value in context.config.to_dict().items() if name != "document"}


def get_worker_units(context: TaskContext) -> list[JsonObject]:
    """Return the definitions of the units in their files as they are now."""
    return [unit.definition for unit in load_units(context.config).units.values()]


def validate_instance(context: TaskContext, unit_name: str, instance: JsonObject) -> JsonObject:
    """Return ``instance`` with the unit's defaults filled in; raise `ValidationFailed` with all findings."""
    return get_unit_by_name(unit_name, context.config).complete(instance)


def check_units(context: TaskContext) -> JsonObject:
    """Return the findings of each unit's handler about it, by unit; units without findings are left out."""
    by_unit: JsonObject = {}
    for unit in load_units(context.config).units.values():
        try:
            findings = context.handlers.get(unit.handler).check(unit)
        except UnitUnusable:
            continue  # the manager reports units without a handler itself
        if findings:
            by_unit[unit.name] = [finding.to_json() for finding in findings]
    return by_unit


def apply(context: TaskContext, *args: Any, **kwargs: Any) -> Execution:
    """Start the unit's handler with a state; the arguments are those of `Order`."""
    return start(context, Order(*args, **kwargs), _apply_program)


def plan(context: TaskContext, *args: Any, **kwargs: Any) -> Execution:
    """Start the unit's handler in its check mode; the arguments are those of `Order`."""
    return start(context, Order(*args, **kwargs), _plan_program)


def probe(context: TaskContext, unit: str, digest: str) -> Execution:
    """Start the unit's probe, which says whether the applied state works."""
    loaded = unit_as_queued(context.config, unit, digest)
    program, *arguments = loaded.probe
    if "/" in program:
        program = str(loaded.directory / program)
    folder = context.jobs_folder / "probe"
    with job_folder(folder):
        return Execution(
            UnitHandler(context=loaded), Program((program, *arguments)), folder, context.emit, Limits(PROBE_TIMEOUT_S)
        )


def _apply_program(context: TaskContext, handler: UnitHandler, state: State, folder: Path) -> Program:
    if handler.is_pure_python():
        return as_program(handler.unit, state, folder, context.config.plugin_dirs, "apply")
    return handler.program(state, folder)


def _plan_program(context: TaskContext, handler: UnitHandler, state: State, folder: Path) -> Program:
    if handler.is_pure_python():
        return as_program(handler.unit, state, folder, context.config.plugin_dirs, "show")
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
