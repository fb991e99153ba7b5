"""What a worker does: one table of tasks, each run by its name.

A task is given its runner as ``context``, a worker with its ``config`` and its ``handlers``. It returns a JSON value,
or an `Execution` that the worker's loop turns to its end. The two that need the state are answered by the manager,
through its verbs.
"""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmaps.config import Config
from lmaps.errors import HandlerFailed, UnitUnusable, ValidationFailed
from lmaps.handlers.base import State, UnitHandler
from lmaps.handlers.python_runner import as_program
from lmaps.model.schema import scrubber
from lmaps.model.units import Unit, get_unit_by_name, load_units
from lmaps.process import GRACE, Line, Outcome, Process, Program, WarmStarts
from lmaps.protocol.work import Result
from lmaps.util.failpoints import failpoint
from lmaps.util.jsonio import plain
from lmaps.util.text import plural
from lmaps.util.times import format_duration

PROBE_WITHIN = 10.0
"""Seconds that a probe may take."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a job may run, and how long it may say nothing, in seconds; None for ever."""

    timeout: float | None = None
    idle: float | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A state that is to be carried to the host, or shown: of which unit, which text of it, which revision.

    ``timeout`` (seconds) stands above the unit's own. The job's folder is named by its number, and by nothing else.
    """

    unit: str
    digest: str
    revision: int
    job: int
    given: list[dict[str, Any]]
    completed: list[dict[str, Any]]
    timeout: float | None = None

    def __post_init__(self) -> None:
        if type(self.job) is not int:
            raise HandlerFailed(f"cannot apply {self.unit}: a job is a number, not {self.job!r}")


class Execution:
    """A job that runs: its program, its limits, and what it has said so far, without ``secrets``.

    Its owner polls and turns it.
    """

    def __init__(
        self,
        handler: UnitHandler,
        program: Program,
        folder: Path,
        sink: Callable[[Line], None],
        limits: Limits,
        secrets: Iterable[Any] = (),
        warm_starts: WarmStarts | None = None,
    ) -> None:
        self._handler = handler
        self._program = program
        self._folder = folder
        self._sink = sink
        self._limits = limits
        self._events: list[dict[str, Any]] = []
        self._scrub = scrubber(secrets)
        self._stopped = ("interrupted", "the daemon was stopped: it may have run in part")
        failpoint("worker.before_spawn")
        self._process = Process(program, folder, self._take, warm_starts, self._scrub)
        failpoint("worker.after_spawn")

    def _take(self, line: Line) -> None:
        event = None if line.event is None else json.loads(self._scrub(json.dumps(line.event)))
        if event is not None:
            self._events.append(event)
        text = line.text if line.stream == "output" else self._scrub(line.text)
        self._sink(line._replace(text=text, event=event))

    @property
    def outcome(self) -> Outcome | None:
        """How the program ended, when it has."""
        return self._process.outcome

    @property
    def deadline(self) -> float | None:
        """When to turn it, if it says nothing until then (monotonic)."""
        own = self._process.deadline
        return min((at for at, _ in self._due()), default=None) if own is None else own

    def fds(self) -> list[int]:
        """The descriptors to wait for."""
        return self._process.fds()

    def turn(self) -> None:
        """Read what has come, and see to the limits."""
        self._process.turn()
        due = [words for at, words in self._due() if time.monotonic() >= at]
        if due and self._process.deadline is None and self.outcome is None:
            self._stopped = ("timed_out", f"{due[0]}: it may have run in part")
            self._process.stop()

    def _due(self) -> Iterator[tuple[float, str]]:
        if self._limits.timeout is not None:
            yield (
                self._process.started + self._limits.timeout,
                f"it ran longer than {format_duration(self._limits.timeout)}",
            )
        if self._limits.idle is not None:
            yield self._process.heard + self._limits.idle, f"it said nothing for {format_duration(self._limits.idle)}"

    def cancel(self) -> None:
        """End it, because somebody wants so."""
        self._stopped = ("cancelled", "it may have run in part")
        self._process.stop()

    def stop(self, grace: float = GRACE) -> None:
        """End it, because the daemon ends."""
        self._process.stop(grace)

    def result(self, token: str, outcome: Outcome) -> Result:
        """How the job ended. Its folder is gone then."""
        shutil.rmtree(self._folder, ignore_errors=True)
        state, error = "succeeded", None
        if outcome.stopped:
            state, words = self._stopped
            error = f"{words}, {plural(len(outcome.left), 'process', 'processes')} left"
        elif outcome.rc not in self._program.success:
            state, error = "failed", f"the handler ended with {outcome.words}"
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
    return plain(context.answer("show", unit=name, reveal=True).extra["state"])


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


def apply(context: Any, *args: Any, **kwargs: Any) -> Execution:
    """Start the unit's handler with this state. The unit's own file is read anew, and every document checked again.

    The arguments are those of an `Order`.
    """
    return _start(context, Order(*args, **kwargs), _applying)


def plan(context: Any, *args: Any, **kwargs: Any) -> Execution:
    """Start the unit's handler in its check mode. The arguments are those of an `Order`."""
    return _start(context, Order(*args, **kwargs), _planning)


def probe(context: Any, unit: str, digest: str) -> Execution:
    """Run the unit's probe: whether what was applied works."""
    known = _as_queued(context.config, unit, digest)
    argv = (str(known.directory / known.probe[0]) if "/" in known.probe[0] else known.probe[0], *known.probe[1:])
    folder = context.jobs_folder / "probe"
    with _made(folder):
        return Execution(UnitHandler(context=known), Program(argv), folder, context.emit, Limits(PROBE_WITHIN))


def _applying(context: Any, handler: UnitHandler, state: State, folder: Path) -> Program:
    if handler.is_pure_python():
        return as_program(handler.unit, state, folder, context.config["plugin_dirs"], "apply")
    return handler.program(state, folder)


def _planning(context: Any, handler: UnitHandler, state: State, folder: Path) -> Program:
    if handler.is_pure_python():
        return as_program(handler.unit, state, folder, context.config["plugin_dirs"], "show")
    return handler.plan(state, folder)


def _start(context: Any, order: Order, make: Callable[[Any, UnitHandler, State, Path], Program]) -> Execution:
    known = _as_queued(context.config, order.unit, order.digest)
    state = State(known, order.revision, order.given, order.completed, context.beat)
    _check_again(state)
    handler = context.handlers.get(known.handler)(context=known)
    folder = context.jobs_folder / str(order.job)
    with _made(folder):
        limits = Limits(known.timeout if order.timeout is None else order.timeout, known.idle_timeout)
        secrets = (value for _, document in state.each() for value in known.secrets.values(document))
        program = make(context, handler, state, folder)
        return Execution(handler, program, folder, context.emit, limits, secrets, context.warm_starts)


def _as_queued(config: Config, name: str, digest: str) -> Unit:
    """The unit as its file has it now, which has to be as it was when the manager loaded it."""
    unit = load_units(config).units.get(name)
    if unit is None or unit.digest != digest:
        raise HandlerFailed(f"cannot apply {name}: its unit file has changed since it was loaded; lmaps reload")
    return unit


def _check_again(state: State) -> None:
    unit = state.unit
    for _, document in state.each():
        wrong = unit.schema.findings(document)
        if wrong:
            name = unit.identify(document) if unit.primary_key in document else "an instance"
            raise ValidationFailed(
                f"cannot apply {unit.name}: {name} no longer fits: {wrong[0].path} {wrong[0].message}"
            )


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make the job's own folder, mode 0700, there as long as something of the job may run; if it cannot be begun, gone.

    Raises `HandlerFailed` if what the job needs cannot be written.
    """
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        yield
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise HandlerFailed(f"cannot write the files of the job to {folder}: {error.strerror}") from error
        raise


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
        plan,
        probe,
    )
}
"""Every task that can be run, by name."""

ON_MANAGER = frozenset({"get_worker_units_instances", "rollback_worker_units_instances"})
"""Those that the manager answers itself."""
