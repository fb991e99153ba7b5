"""Jobs as they run: queued, watched, detached from, and how they end."""

import functools
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

import click

from lmaps.cli.render import revision
from lmaps.cli.session import Session, Write
from lmaps.errors import HandlerFailed, JobStopped, UsageError
from lmaps.util.times import age, format_duration, in_seconds, seconds_between

if TYPE_CHECKING:
    from lmaps.protocol import Reply
from lmaps.util.text import plural

WAIT_MS = 10_000
"""How long the daemon may hold back an answer while a job says nothing."""
STATES = ("queued", "running", "succeeded", "failed", "timed_out", "cancelled", "interrupted", "covered")
ENDED = frozenset(STATES[2:])
CONFIRMED = {"undone": 11, "undo_failed": 12}
LEVELS = {"succeeded": 0, "failed": HandlerFailed.level}
INTERRUPTED_BY_USER = 130
AGAIN_WITHIN = 2.0
"""Seconds within which a second Ctrl-C cancels the job."""

WORST_FIRST = (12, 6, 11, 10, 7, 5, 3, 8, 4, 9, 1, 0)

F = TypeVar("F", bound=Callable[..., Any])


class Run(NamedTuple):
    """How a job is to be run and watched."""

    wait: bool
    args: dict[str, Any]


def run_options(function: F) -> F:
    """How to run the job; the command gets them as one `Run`, ``run``."""

    @functools.wraps(function)
    def gathered(*args: Any, **kwargs: Any) -> Any:
        told = {"timeout": kwargs.pop("job_timeout"), "confirm": kwargs.pop("confirm")}
        run = Run(kwargs.pop("wait"), {name: value for name, value in told.items() if value})
        return function(*args, run=run, **kwargs)

    wrapped: Any = gathered
    for option in (
        click.option("--confirm", metavar="D", help="Undo it unless somebody, or its probe, confirms within D."),
        click.option("--job-timeout", metavar="D", help="End the job if it runs longer, such as 10m."),
        click.option("--wait/--no-wait", default=True, help="Watch the job to its end, or print its number alone."),
    ):
        wrapped = option(wrapped)
    made: F = wrapped
    return made


def apply_options(function: F) -> F:
    """Whether to apply after the change, and how; the command gets a `Run` or None as ``run``."""

    @functools.wraps(function)
    def gathered(*args: Any, applying: bool, run: Run, **kwargs: Any) -> Any:
        if not applying and (run.args or not run.wait):
            raise UsageError("cannot run a job that is not asked for: add --apply")
        return function(*args, run=run if applying else None, **kwargs)

    option = click.option("--apply", "applying", is_flag=True, help="Then hand the state to the unit's handler.")
    wrapped: Any = gathered
    made: F = run_options(option(wrapped))
    return made


def asked(run: Run | None) -> dict[str, Any]:
    """What is said to the daemon of the job that is to follow."""
    return {} if run is None else {"apply": run.args}


def and_apply(session: Session, reply: "Reply", run: Run | None, write: Write) -> None:
    """See the job through that was asked for with a change; ends the command then."""
    if run is not None:
        see_through(session, reply.extra["job"], run, write)


def see_through(session: Session, queued: dict[str, Any], run: Run, write: Write) -> NoReturn:
    """Watch a job that was just queued, if that is wanted, and end the command with its exit code."""
    number = queued["job"]
    if not run.wait:
        session.lines(queued, [f"job {number}"], [str(number)])
        raise click.exceptions.Exit(0)
    session.words(f"job {number}: apply {queued['unit']} {revision(queued['revision'])}{_place(queued)}")
    ended = watch(session, number)
    session.words(outcome(ended))
    if session.structured or session.format == "name":
        session.data(ended, names=[str(number)])
    if level(ended) == 0:
        write.end(changed=not ended["summary"] or ended["summary"]["changed"] > 0)
    raise click.exceptions.Exit(level(ended))


def _place(queued: dict[str, Any]) -> str:
    """``, 3rd in the queue, after job 812 (alice, 40 s)``."""
    before = queued["after"]
    if queued["place"] is None or (before is None and queued["place"] == 1):
        return ""
    told = f", {_ordinal(queued['place'])} in the queue"
    if before is None:
        return told
    since = age(before["started_at"]).removesuffix(" ago")
    return f"{told}, after job {before['job']} ({before['author']}, {since})"


def _ordinal(number: int) -> str:
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def watch(session: Session, number: int) -> dict[str, Any]:
    """Show a job's output until it has ended; the job as it ended.

    Ctrl-C says how to come back, exit code 130; a second one soon after it cancels the job.
    """
    ended: dict[str, Any] = {}
    progress = Progress(session)
    try:
        for batch, job in follow(session, number, most_ms=EVERY_MS if progress.shown else WAIT_MS):
            progress.clear()
            for line in batch:
                progress.hear(line)
                if line["text"]:
                    session.words(f"{line['number']:>4}  {line['text']}")
            if job["state"] in ENDED and not job["over"] and ended.get("state") != job["state"]:
                session.words(_unconfirmed(job))
            progress.draw(job)
            ended = job
    except KeyboardInterrupt:
        _detach(session, number)
    return ended


def _unconfirmed(job: dict[str, Any]) -> str:
    if job["confirmation"] == "undoing":
        return f"{outcome(job)}; going back to r{job['previous_revision']}"
    until = in_seconds(job["confirm_deadline"])
    return f"{outcome(job)}; goes back to r{job['previous_revision']} at {until} unless: lmaps confirm {job['unit']}"


def _detach(session: Session, number: int) -> NoReturn:
    again = "; Ctrl-C once more cancels it" if session.stderr.isatty() else ""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # one that comes while it is told counts
    try:
        session.tell(f"\ndetached, the job goes on: lmaps attach {number}{again}")
        cancels = again and signal.sigtimedwait({signal.SIGINT}, AGAIN_WITHIN) is not None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if cancels:
        session.tell(session.call("cancel", job=number).message)
        raise click.exceptions.Exit(JobStopped.level)
    raise click.exceptions.Exit(INTERRUPTED_BY_USER)


def follow(
    session: Session, number: int, after: int = 0, most_ms: int = WAIT_MS
) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]:
    """The lines of a job after ``after`` as they come, with the job as it is then, until it has ended."""
    state = "queued"
    while True:
        extra = session.call(
            "lines", job=number, after=after, wait_ms=min(most_ms, wait_ms(session)), state=state
        ).extra
        lines: list[dict[str, Any]] = extra["lines"]
        state = extra["job"]["state"]
        yield lines, extra["job"]
        if lines:
            after = lines[-1]["number"]
        elif extra["job"]["over"]:
            return


def wait_ms(session: Session) -> int:
    """How long the daemon may hold back an answer: well within the time that is waited for it."""
    return min(WAIT_MS, int(session.connect().timeout * 500))


def level(job: dict[str, Any]) -> int:
    """The exit code for how a job, or the one that covered it, ended."""
    return CONFIRMED.get(job["confirmation"], LEVELS.get(job["outcome"], JobStopped.level))


def _undone(job: dict[str, Any]) -> str:
    """``web was not confirmed: r7 brings back the state of r1, applied by job 3 (handler ok)``."""
    why = "was not confirmed" if job["state"] == "succeeded" else f"{job['state']} ({job['error']})"
    by, back = job["undone_by"], f"r{job['previous_revision']}"
    if job["confirmation"] == "undone":
        done = f"applied by job {by['job']} (handler ok)"
        return f"{job['unit']} {why}: r{by['revision']} brings back the state of {back}, {done}"
    return f"{job['unit']} {why}, and the undo failed: job {by['job']} {by['state']}; the host needs a person"


def worst(levels: Iterable[int]) -> int:
    """Of several exit codes the one that counts."""
    return min(levels, key=WORST_FIRST.index)


def outcome(job: dict[str, Any]) -> str:
    """``job 1 succeeded in 3.1 s: ok 3, changed 2, failed 0, unknown 0; web applied r1``."""
    if job["confirmation"] in CONFIRMED:
        return _undone(job)
    took = f" in {format_duration(seconds_between(job['started_at'], job['ended_at']))}" if job["started_at"] else ""
    counts = f": {', '.join(f'{name} {count}' for name, count in job['summary'].items())}" if job["summary"] else ""
    covered = f" by job {job['covered_by']}, which {job['outcome']}" if job["state"] == "covered" else ""
    applied = job["outcome"] == "succeeded" and job["kind"] == "apply"
    end = f"; {job['unit']} applied {revision(job['revision'])}" if applied else ""
    end = f"; {job['error']}" if job["error"] else end
    return f"job {job['job']} {job['state']}{covered}{took}{counts}{end}"


CLEAR = "\r\x1b[2K"
EVERY_MS = 1000
"""How often the line is drawn anew while nothing happens."""


class Progress:
    """``task 3 of 7, 2 hosts, 12.3 s``: from a job's events, on a terminal alone."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.shown = bool(session.stderr.isatty()) and not session.quiet
        self._tasks = self._total = 0
        self._hosts: set[str] = set()
        self._drawn = False

    def hear(self, line: dict[str, Any]) -> None:
        """Take in a line of the job."""
        event = line.get("event") or {}
        if event.get("event") == "playbook_on_play_start":
            self._total += event.get("tasks") or 0
        if event.get("event") == "playbook_on_task_start":
            self._tasks += 1
        if event.get("host"):
            self._hosts.add(event["host"])

    def draw(self, job: dict[str, Any]) -> None:
        """Say how far it is."""
        if not self.shown or job["state"] != "running":
            return
        task = [f"task {self._tasks}" + (f" of {max(self._total, self._tasks)}" if self._total else "")]
        hosts = [plural(len(self._hosts), "host")]
        told = [*(task if self._tasks else []), *(hosts if self._hosts else []), age(job["started_at"])[: -len(" ago")]]
        self._session.stderr.write(f"{CLEAR}      {', '.join(told)}")
        self._session.stderr.flush()
        self._drawn = True

    def clear(self) -> None:
        """Make room for a line of the job."""
        if self._drawn:
            self._session.stderr.write(CLEAR)
            self._drawn = False
