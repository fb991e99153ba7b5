"""A running job: the order, the program that carries it out, its limits and its folder."""

import contextlib
import logging
import shutil
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Protocol

from lmaps.config.settings import Config
from lmaps.errors import HandlerFailed, LmapsError, ValidationFailed
from lmaps.handlers import HandlerRegistry
from lmaps.handlers.base import State, UnitHandler
from lmaps.model.schema import Scrubber
from lmaps.model.units import Unit, load_units
from lmaps.process import STOP_GRACE_S, ForkServers, Line, Outcome, Process, Program
from lmaps.protocol.work import Result
from lmaps.util import jsonio
from lmaps.util.failpoints import failpoint
from lmaps.util.jsonio import JsonObject
from lmaps.util.text import plural
from lmaps.util.times import format_duration

log = logging.getLogger(__name__)

_COUNTS = ("ok", "changed", "failed", "unknown")
"""The names of the counts that every handler has: like the words of its events they stay, whatever the secrets are."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a job in seconds: its running time, and the time without output; None for no limit."""

    timeout: float | None = None
    idle_timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """The state of a unit at a revision, to be applied or planned by a job.

    ``digest`` is that of the unit's definition as the manager has loaded it. ``job`` is the job's number, ``given`` and
    ``completed`` are the instances, with ``definitions`` and ``older_texts`` as in `State`. ``timeout`` [s] overrides
    the unit's own. ``former_secrets`` were replaced and may still be on the host.
    """

    unit: str
    digest: str
    revision: int
    job: int
    given: list[JsonObject]
    completed: list[JsonObject]
    timeout: float | None = None
    definitions: list[int] = field(default_factory=list)
    older_texts: dict[str, JsonObject] = field(default_factory=dict)
    former_secrets: list[object] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        # The number names the job's folder, which is emptied first: a path could name any folder.
        if type(self.job) is not int:
            raise HandlerFailed(f"cannot apply {self.unit}: a job is a number, not {self.job!r}")


class TaskContext(Protocol):
    """The worker as its tasks see it."""

    config: Config
    handlers: HandlerRegistry
    jobs_folder: Path
    fork_servers: ForkServers
    log: logging.Logger

    def beat(self) -> None:
        """Report to the supervisor that a long task goes on."""

    def emit(self, line: Line) -> None:
        """Take a line of output for the manager."""

    def stop(self) -> None:
        """Stop the worker as soon as its running task has ended and the result is stored."""


class Execution:
    """A running job: its program, its limits, and its events so far. Its output goes through ``scrubber``.

    Its owner waits for `fds` and `deadline`, and calls `run_once`.
    """

    def __init__(
        self,
        handler: UnitHandler,
        program: Program,
        folder: Path,
        sink: Callable[[Line], None],
        limits: Limits,
        scrubber: Scrubber | None = None,
        fork_servers: ForkServers | None = None,
    ) -> None:
        self._handler = handler
        self._program = program
        self._folder = folder
        self._sink = sink
        self._limits = limits
        self._events: list[JsonObject] = []
        self._scrubber = scrubber or Scrubber()
        self._stop_reason = ("interrupted", "the daemon was stopped: it may have run in part")
        failpoint("worker.before_spawn")
        self._process = Process(program, folder, self._on_line, fork_servers, self._scrubber.text)
        failpoint("worker.after_spawn")

    def _on_line(self, line: Line) -> None:
        if line.stream == "output":  # it was scrubbed as it was read
            self._sink(line)
            return
        event = None
        if line.event is not None:
            self._events.append(line.event)
            event = self._scrubber.event(line.event)
        self._sink(line._replace(text=self._scrubber.text(line.text), event=event))

    @property
    def outcome(self) -> Outcome | None:
        """How the program ended; None while it runs."""
        return self._process.outcome

    @property
    def deadline(self) -> float | None:
        """When to call `run_once` although there is no output (monotonic); None for never."""
        # While the process is being stopped its own deadline counts: the limits would stop it again.
        stopping = self._process.deadline
        return min((at for at, _ in self._limit_times()), default=None) if stopping is None else stopping

    def fds(self) -> list[int]:
        """Return the descriptors to poll."""
        return self._process.fds()

    def run_once(self) -> None:
        """Read the output that has come, and stop the program if a limit is exceeded."""
        self._process.run_once()
        exceeded = [message for at, message in self._limit_times() if time.monotonic() >= at]
        if exceeded and self._process.deadline is None and self.outcome is None:
            self._stop_reason = ("timed_out", f"{exceeded[0]}: it may have run in part")
            self._process.stop()

    def _limit_times(self) -> Iterator[tuple[float, str]]:
        """Yield when each limit is exceeded, with the message for it."""
        if self._limits.timeout is not None:
            yield (
                self._process.started_at + self._limits.timeout,
                f"it ran longer than {format_duration(self._limits.timeout)}",
            )
        if self._limits.idle_timeout is not None:
            yield (
                self._process.last_output_at + self._limits.idle_timeout,
                f"it printed nothing for {format_duration(self._limits.idle_timeout)}",
            )

    def cancel(self) -> None:
        """Stop the program on a client's request."""
        self._stop_reason = ("cancelled", "it may have run in part")
        self._process.stop()

    def stop(self, grace: float = STOP_GRACE_S) -> None:
        """Stop the program because the daemon stops; it has ``grace`` seconds before it is killed."""
        self._process.stop(grace)

    def result(self, token: str, outcome: Outcome) -> Result:
        """Return the result of the job that ended with ``outcome``, and remove its folder."""
        _remove(self._folder)
        state, error = "succeeded", None
        if outcome.stopped:
            state, reason = self._stop_reason
            error = f"{reason}, {plural(len(outcome.left_running), 'process', 'processes')} left"
        elif outcome.rc not in self._program.success:
            state, error = "failed", f"the handler ended with {outcome.message}"
        return Result(token, state, rc=outcome.rc, summary=self._summary(outcome), error=error)

    def _summary(self, outcome: Outcome) -> dict[str, int] | None:
        """Return the handler's counts; None if it cannot count: a tool or a plugin may have written anything."""
        try:
            counts = self._handler.summary(outcome, self._events, self._program)
            jsonio.decode(jsonio.encode(counts))  # the manager would refuse the whole result for a count that is none
            names = {name: name if name in _COUNTS else self._scrubber.text(name) for name in counts}
            return {names[name]: int(count) for name, count in counts.items()}
        except Exception as error:  # noqa: BLE001 (a plugin may raise anything; its text could quote a secret)
            log.error("the steps of the job could not be counted: %s", type(error).__name__)
            return None


def start(
    context: TaskContext, order: Order, make_program: Callable[[TaskContext, UnitHandler, State, Path], Program]
) -> Execution:
    """Start the program that ``make_program`` returns for the order's unit and state, in a folder of the job's own.

    Raises `HandlerFailed` if the unit's file has changed or the folder cannot be written, `UnitUnusable` if there is no
    such handler, and `ValidationFailed` if an instance no longer fits the unit.
    """
    unit = unit_as_queued(context.config, order.unit, order.digest)
    state = State(
        unit,
        order.revision,
        order.given,
        order.completed,
        context.beat,
        definitions=order.definitions,
        older_texts=order.older_texts,
    )
    handler_class = context.handlers.get(unit.handler)
    scrubber = Scrubber(chain(order.former_secrets, _secrets(state)), handler_class.event_words)
    folder = context.jobs_folder / str(order.job)
    with scrubbed_errors(scrubber):
        _validate(state)
        handler = handler_class(context=unit)
        with job_folder(folder):
            limits = Limits(unit.timeout if order.timeout is None else order.timeout, unit.idle_timeout)
            program = make_program(context, handler, state, folder)
            return Execution(handler, program, folder, context.emit, limits, scrubber, context.fork_servers)


def _secrets(state: State) -> Iterator[object]:
    """Yield the secret values of a state, and call its ``beat`` for each: a scrubber looks at every form of each."""
    for (_, document), secrets in zip(state.pairs(), state.secrets(), strict=True):
        for value in secrets.values(document):
            state.beat()
            yield value


@contextlib.contextmanager
def scrubbed_errors(scrubber: Scrubber) -> Iterator[None]:
    """Mask secrets in what the block raises: a handler may quote values, and errors are stored, logged and answered.

    An error that is not one of lMaPS is logged with its traceback, and raised as `HandlerFailed`.
    """
    try:
        yield
    except LmapsError as error:
        error.args = (scrubber.text(error.message),)
        # Neither what it was raised from nor its findings are for anybody: they are not scrubbed.
        error.errors, error.__cause__, error.__context__ = (), None, None
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 (a plugin may raise anything)
        log.error("the handler failed:\n%s", scrubber.text(traceback.format_exc()))
        raise HandlerFailed(scrubber.text(describe(error))) from None


def describe(error: BaseException) -> str:
    """Return type and text of an exception, also of one whose text cannot be made."""
    return "".join(traceback.format_exception_only(error)).strip()


def unit_as_queued(config: Config, name: str, digest: str) -> Unit:
    """Return the unit in its file.

    Raises `HandlerFailed` if the file has changed since the manager loaded it: the job was queued for the old text.
    """
    unit = load_units(config).units.get(name)
    if unit is None or unit.digest != digest:
        raise HandlerFailed(f"cannot apply {name}: its unit file has changed since it was loaded; run lmaps reload")
    return unit


def _validate(state: State) -> None:
    """Validate every instance again: the worker runs as root and does not trust the manager, which does not."""
    unit = state.unit
    for _, document in state.pairs():
        findings = unit.schema.findings(document, quoting=False)  # what older texts marked is not known here
        if findings:
            name = unit.identify(document) if unit.primary_key in document else "an instance"
            raise ValidationFailed(
                f"cannot apply {unit.name}: {name} no longer fits: {findings[0].path} {findings[0].message}"
            )


@contextlib.contextmanager
def job_folder(folder: Path) -> Iterator[None]:
    """Create the job's own folder, mode 0700, for the start of the job in the block.

    The folder stays as long as processes of the job may run; if the block fails, it is removed. Raises `HandlerFailed`
    if the files of the job cannot be written.
    """
    try:
        _remove(folder)
        folder.mkdir(mode=0o700, parents=True)
        yield
    except BaseException as error:
        _remove(folder)
        if isinstance(error, OSError):
            raise HandlerFailed(f"cannot write the files of the job to {folder}: {error.strerror}") from error
        raise


def _remove(folder: Path) -> None:
    """Remove a folder with all that a tool has put there."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:  # folders in folders, a thousand deep
        subprocess.run(["rm", "-rf", "--", str(folder)], check=False, capture_output=True)  # noqa: S603, S607 (a list)
