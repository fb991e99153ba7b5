"""What a worker does: one table of tasks, each run by its name.

A task is given its runner as ``context``, a worker with its ``config``. It returns a JSON value, or an `Execution`
that the worker's loop turns to its end. The two that need the state are answered by the manager, through its verbs.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmaps.core.config import Config
from lmaps.core.execute import Line, Outcome, Process, Program
from lmaps.core.handlers import State, UnitHandler
from lmaps.core.messages import Result
from lmaps.core.units import Unit, get_unit_by_name, load_units
from lmaps.errors import HandlerFailed, UnitUnusable, ValidationFailed
from lmaps.plugins import find_handlers
from lmaps.plugins.run import as_program


class Execution:
    """A job that runs: its program, and what it has said so far."""

    def __init__(self, handler: UnitHandler, program: Program, folder: Path, sink: Callable[[Line], None]) -> None:
        self._handler = handler
        self._program = program
        self._folder = folder
        self._sink = sink
        self._events: list[dict[str, Any]] = []
        self.process = Process(program, folder, self._take)

    def _take(self, line: Line) -> None:
        if line.event is not None:
            self._events.append(line.event)
        self._sink(line)

    def result(self, token: str, outcome: Outcome) -> Result:
        """How the job ended. Its folder is gone then."""
        shutil.rmtree(self._folder, ignore_errors=True)
        succeeded = outcome.rc in self._program.success and not outcome.stopped
        state = "interrupted" if outcome.stopped else "succeeded" if succeeded else "failed"
        error = {
            "succeeded": None,
            "failed": f"the handler ended with {outcome.words}",
            "interrupted": "the daemon was stopped: it may have run in part",
        }[state]
        summary = self._handler.summary(outcome, self._events, self._program)
        return Result(token, state, rc=outcome.rc, summary=summary, error=error)


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


def get_worker_units_instances(context: Any, name: str) -> Any:
    """The state of a unit, as its handler gets it. ``context`` is the manager."""
    return context.answer("show", unit=name).extra["state"]


def rollback_worker_units_instances(context: Any, name: str) -> dict[str, Any]:
    """Take a unit's newest change back: ``removing``, ``before``, ``after``. ``context`` is the manager."""
    extra: dict[str, Any] = context.answer("rollback", unit=name, states=True).extra
    return extra


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


def apply(
    context: Any,
    unit: str,
    digest: str,
    revision: int,
    job: int,
    given: list[dict[str, Any]],
    completed: list[dict[str, Any]],
) -> Execution:
    """Start the unit's handler with this state. The unit's own file is read anew, and every document checked again."""
    known = _as_queued(context.config, unit, digest)
    state = State(known, revision, given, completed)
    _check_again(known, completed)
    handler = find_handlers(context.config["plugin_dirs"]).get(known.handler)(context=known)
    folder = _make_folder(context.jobs_folder / str(job))
    try:
        if handler.is_pure_python():
            program = as_program(known, state, folder, context.config["plugin_dirs"])
        else:
            program = handler.program(state, folder)
        return Execution(handler, program, folder, context.emit)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _as_queued(config: Config, name: str, digest: str) -> Unit:
    """The unit as its file has it now, which has to be as it was when the manager loaded it."""
    unit = load_units(config).units.get(name)
    if unit is None or unit.digest != digest:
        raise HandlerFailed(f"cannot apply {name}: its unit file has changed since it was loaded; lmaps reload")
    return unit


def _check_again(unit: Unit, completed: list[dict[str, Any]]) -> None:
    for document in completed:
        wrong = unit.schema.findings(document)
        if wrong:
            name = unit.identify(document) if unit.primary_key in document else "an instance"
            raise ValidationFailed(
                f"cannot apply {unit.name}: {name} no longer fits: {wrong[0].path} {wrong[0].message}"
            )


def _make_folder(folder: Path) -> Path:
    """The job's own folder, mode 0700. It is there as long as something of the job may run."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    return folder


TASKS: dict[str, Callable[..., Any]] = {
    task.__name__: task
    for task in (
        no_work,
        error_message,
        stop_worker_thread,
        get_worker_config,
        get_worker_units,
        get_worker_units_instances,
        rollback_worker_units_instances,
        validate_instance,
        check_units,
        apply,
    )
}
"""Every task that can be run, by name."""

ON_MANAGER = frozenset({"get_worker_units_instances", "rollback_worker_units_instances"})
"""Those that the manager answers itself."""
