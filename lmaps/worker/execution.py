"""A job as it runs: the order, the program that carries it out, its limits and its folder."""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmaps.config import Config
from lmaps.errors import HandlerFailed, ValidationFailed
from lmaps.handlers.base import State, UnitHandler
from lmaps.model.schema import scrubber
from lmaps.model.units import Unit, load_units
from lmaps.process import STOP_GRACE_S, ForkServers, Line, Outcome, Process, Program
from lmaps.protocol.work import Result
from lmaps.util.failpoints import failpoint
from lmaps.util.text import plural
from lmaps.util.times import format_duration


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
        fork_servers: ForkServers | None = None,
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
        self._process = Process(program, folder, self._take, fork_servers, self._scrub)
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
        self._process.run_once()
        due = [words for at, words in self._due() if time.monotonic() >= at]
        if due and self._process.deadline is None and self.outcome is None:
            self._stopped = ("timed_out", f"{due[0]}: it may have run in part")
            self._process.stop()

    def _due(self) -> Iterator[tuple[float, str]]:
        if self._limits.timeout is not None:
            yield (
                self._process.started_at + self._limits.timeout,
                f"it ran longer than {format_duration(self._limits.timeout)}",
            )
        if self._limits.idle is not None:
            yield (
                self._process.last_output_at + self._limits.idle,
                f"it said nothing for {format_duration(self._limits.idle)}",
            )

    def cancel(self) -> None:
        """End it, because somebody wants so."""
        self._stopped = ("cancelled", "it may have run in part")
        self._process.stop()

    def stop(self, grace: float = STOP_GRACE_S) -> None:
        """End it, because the daemon ends."""
        self._process.stop(grace)

    def result(self, token: str, outcome: Outcome) -> Result:
        """How the job ended. Its folder is gone then."""
        shutil.rmtree(self._folder, ignore_errors=True)
        state, error = "succeeded", None
        if outcome.stopped:
            state, words = self._stopped
            error = f"{words}, {plural(len(outcome.left_running), 'process', 'processes')} left"
        elif outcome.rc not in self._program.success:
            state, error = "failed", f"the handler ended with {outcome.message}"
        summary = self._handler.summary(outcome, self._events, self._program)
        return Result(token, state, rc=outcome.rc, summary=summary, error=error)


def start(context: Any, order: Order, make: Callable[[Any, UnitHandler, State, Path], Program]) -> Execution:
    """Start the program that ``make`` returns for the order's unit and state, in a folder of the job's own.

    Raises what `unit_as_queued` and `job_folder` do, and `ValidationFailed` if a document no longer fits.
    """
    unit = unit_as_queued(context.config, order.unit, order.digest)
    state = State(unit, order.revision, order.given, order.completed, context.beat)
    _check_again(state)
    handler = context.handlers.get(unit.handler)(context=unit)
    folder = context.jobs_folder / str(order.job)
    with job_folder(folder):
        limits = Limits(unit.timeout if order.timeout is None else order.timeout, unit.idle_timeout)
        secrets = (value for _, document in state.each() for value in unit.secrets.values(document))
        program = make(context, handler, state, folder)
        return Execution(handler, program, folder, context.emit, limits, secrets, context.fork_servers)


def unit_as_queued(config: Config, name: str, digest: str) -> Unit:
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
def job_folder(folder: Path) -> Iterator[None]:
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
