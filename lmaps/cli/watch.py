"""Watching a job: its place in the queue, output, progress, Ctrl-C, and the exit code for its outcome."""

import signal
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from lmaps.cli.options import Run, Write
from lmaps.cli.render import revision
from lmaps.cli.session import Session
from lmaps.errors import HandlerFailed, JobStopped, NotAllowed, NotFound
from lmaps.model.states import ENDED, ConfirmationState, JobKind, JobState
from lmaps.util.lazy import LazyModule
from lmaps.util.terminal import visible_output
from lmaps.util.text import plural
from lmaps.util.times import age, format_duration, in_seconds, seconds_between

if TYPE_CHECKING:
    from lmaps.protocol import Reply, views
    from lmaps.protocol.views import JobView
else:
    views = LazyModule("lmaps.protocol.views")  # takes 15 ms, and --help does not need it

MAX_WAIT_MS = 10_000
"""How long the daemon may delay an answer while a job prints nothing."""
REDRAW_MS = 1000
"""How long it may while a progress line is shown: the line is redrawn after each answer."""
CANCEL_WINDOW_S = 2.0
"""A second Ctrl-C within this time after the first cancels the job."""

UNDO_LEVELS: Mapping[str | None, int] = {ConfirmationState.UNDONE: 11, ConfirmationState.UNDO_FAILED: 12}
"""Exit codes of a job that was not confirmed."""
OUTCOME_LEVELS: Mapping[str, int] = {JobState.SUCCEEDED: 0, JobState.FAILED: HandlerFailed.level}
"""Exit codes by the outcome of the run; any other outcome has the code of `JobStopped`."""
INTERRUPTED_LEVEL = 130
"""Exit code after Ctrl-C, as shells report it: 128 plus the number of SIGINT."""
WORST_FIRST = (12, 6, 11, 10, 7, 5, 3, 8, 4, 9, 1, 0)
"""Exit codes from the most to the least serious."""


class JobLine(NamedTuple):
    """A line of a job's output, or one of its events; ``row`` is the line as the daemon sent it."""

    number: int
    stream: str
    text: str
    event: dict[str, Any]
    row: dict[str, Any]


def read_lines(reply: "Reply") -> list[JobLine]:
    """Return the lines in a reply."""
    return [
        JobLine(row["number"], row["stream"], row["text"], row.get("event") or {}, row) for row in reply.extra["lines"]
    ]


def read_job(reply: "Reply") -> "JobView":
    """Return the job in a reply."""
    return views.JobView.from_json(reply.extra["job"])


def finish_with_job(session: Session, reply: "Reply", run: Run | None, write: Write) -> None:
    """Watch the job that the change queued, if --apply was given, and end the command with its exit code."""
    if run is not None:
        run_to_end(session, read_job(reply), run, write)


def run_to_end(session: Session, queued: "JobView", run: Run, write: Write) -> NoReturn:
    """Watch a job that was just queued, unless --no-wait was given, and end the command with its exit code."""
    if not run.wait:
        session.print_lines(queued.to_json(), [f"job {queued.job}"], [str(queued.job)])
        raise click.exceptions.Exit(0)
    session.print_message(f"job {queued.job}: apply {queued.unit} {revision(queued.revision)}{_place(queued)}")
    job = watch(session, queued.job)
    session.print_message(outcome(job))
    if session.structured or session.format == "name":
        session.print_data(job.to_json(), names=[str(job.job)])
    if level(job) == 0:
        # A handler without a summary does not report what it has changed; the run counts as a change.
        write.finish(changed=not job.summary or job.summary["changed"] > 0)
    raise click.exceptions.Exit(level(job))


def _place(queued: "JobView") -> str:
    """Return the place of a job: ``, 3rd in the queue, after job 812 (alice, 40 s)``; empty if it runs next."""
    running = queued.after
    if queued.place is None or (running is None and queued.place == 1):
        return ""
    text = f", {_ordinal(queued.place)} in the queue"
    if running is None:
        return text
    return f"{text}, after job {running.job} ({running.author}, {_since(running.started_at)})"


def _since(started_at: str | None) -> str:
    """Return how long ago a job has started: ``40 s``."""
    return age(started_at or "").removesuffix(" ago")


def _ordinal(number: int) -> str:
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def watch(session: Session, number: int) -> "JobView":
    """Print a job's output until it has ended; return the job as it ended.

    Ctrl-C detaches and ends the command with exit code 130; a second one soon after it cancels the job. Raises
    `NotAllowed` for a user who may queue the job, but not see it.
    """
    latest: JobView | None = None
    progress = Progress(session)
    try:
        for lines, job in follow(session, number, max_wait_ms=REDRAW_MS if progress.shown else MAX_WAIT_MS):
            progress.clear()
            for line in lines:
                progress.update(line)
                if line.text:
                    session.print_message(f"{line.number:>4}  {visible_output(line.text)}")
            if job.state in ENDED and not job.over and (latest is None or latest.state != job.state):
                session.print_message(_provisional_outcome(job))
            progress.draw(job)
            latest = job
    except KeyboardInterrupt:
        _detach(session, number)
    except (NotAllowed, NotFound) as refused:
        # Not found: of a unit that the user may not even list the daemon tells no jobs.
        raise NotAllowed(
            f"job {number} goes on, but you may not watch it: that takes the right show on its unit",
            hint=f"somebody who has it: lmaps attach {number}",
            extra={"job": number},
        ) from refused
    assert latest is not None  # noqa: S101 (follow yields the job at least once)
    return latest


def _provisional_outcome(job: "JobView") -> str:
    """Return the outcome of a job that has run but is not yet confirmed or undone, and the next step of its unit."""
    if job.confirmation == ConfirmationState.UNDOING:
        return f"{outcome(job)}; {job.unit} is going back to r{job.previous_revision}"
    until = in_seconds(job.confirm_deadline or "")
    return (
        f"{outcome(job)}; goes back to r{job.previous_revision} at {until} unless confirmed: lmaps confirm {job.unit}"
    )


def _detach(session: Session, number: int) -> NoReturn:
    """Print the command that attaches again, wait on a terminal for a second Ctrl-C, and end the command."""
    can_cancel = session.stderr.isatty()
    hint = "; Ctrl-C once more cancels it" if can_cancel else ""
    # A blocked SIGINT stays pending: a Ctrl-C while the line is printed is not lost, sigtimedwait returns it.
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        session.print_error("")  # ends the line in which the terminal shows ^C
        session.print_error(f"detached, the job goes on: lmaps attach {number}{hint}")
        cancel = can_cancel and signal.sigtimedwait({signal.SIGINT}, CANCEL_WINDOW_S) is not None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)
    if cancel:
        session.print_error(session.call("cancel", job=number).message)
        raise click.exceptions.Exit(JobStopped.level)
    raise click.exceptions.Exit(INTERRUPTED_LEVEL)


def follow(
    session: Session, number: int, after: int = 0, max_wait_ms: int = MAX_WAIT_MS
) -> Iterator[tuple[list[JobLine], "JobView"]]:
    """Yield the lines of a job numbered above ``after`` as they arrive, each time with the job, until it is over."""
    # The daemon answers at once when the job has left this state, even if there are no new lines.
    state: str = JobState.QUEUED
    while True:
        delay_ms = min(max_wait_ms, wait_ms(session))
        reply = session.call("lines", job=number, after=after, wait_ms=delay_ms, state=state)
        lines, job = read_lines(reply), read_job(reply)
        yield lines, job
        state = job.state
        if lines:
            # Ask again even if the job is over: an answer has a limited number of lines.
            after = lines[-1].number
        elif job.over:
            return


def wait_ms(session: Session) -> int:
    """Return how long the daemon may delay an answer: at most half of the time that the client waits for it."""
    # An answer delayed by the full timeout would arrive just after the client has given up.
    return min(MAX_WAIT_MS, int(session.connect().timeout * 500))


def level(job: "JobView") -> int:
    """Return the exit code for the outcome of a job, or of the job that covered it."""
    undo_level = UNDO_LEVELS.get(job.confirmation)
    return OUTCOME_LEVELS.get(job.outcome, JobStopped.level) if undo_level is None else undo_level


def worst(levels: Iterable[int]) -> int:
    """Return the most serious of several exit codes."""
    return min(levels, key=WORST_FIRST.index)


def outcome(job: "JobView") -> str:
    """Return how a job ended: ``job 1 succeeded in 3.1 s: ok 3, changed 2, failed 0, unknown 0; web applied r1``."""
    if job.confirmation in UNDO_LEVELS:
        return _undone(job)
    covered = f" by job {job.covered_by}, which {job.outcome}" if job.state == JobState.COVERED else ""
    took = f" in {format_duration(seconds_between(job.started_at, job.ended_at or ''))}" if job.started_at else ""
    counts = f": {summary_text(job.summary)}" if job.summary else ""
    applied = job.outcome == JobState.SUCCEEDED and job.kind == JobKind.APPLY
    result = job.error or (f"{job.unit} applied {revision(job.revision)}" if applied else "")
    text = f"job {job.job} {job.state}{covered}{took}{counts}"
    return f"{text}; {result}" if result else text


def _undone(job: "JobView") -> str:
    """Return how an undo ended: ``web was not confirmed: r7 brings back the state of r1, applied by job 3 (...)``."""
    reason = "was not confirmed" if job.state == JobState.SUCCEEDED else f"{job.state} ({job.error})"
    undo = job.undone_by
    if undo is None:
        return f"{job.unit} {reason}, and the undo failed; the host needs manual repair"
    if job.confirmation == ConfirmationState.UNDONE:
        result = f"applied by job {undo.job} (handler ok)"
        return f"{job.unit} {reason}: r{undo.revision} brings back the state of r{job.previous_revision}, {result}"
    return f"{job.unit} {reason}, and the undo failed: job {undo.job} {undo.state}; the host needs manual repair"


def summary_text(summary: dict[str, int]) -> str:
    """Return the counts of a run: ``ok 3, changed 2, failed 0, unknown 0``."""
    return ", ".join(f"{name} {count}" for name, count in summary.items())


class Progress:
    """A line on the terminal made from a job's events: ``task 3 of 7, 2 hosts, 12.3 s``. --quiet hides it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.shown = session.stderr.isatty() and not session.quiet
        self._tasks = self._total = 0
        self._hosts: set[str] = set()
        self._drawn = False

    def update(self, line: JobLine) -> None:
        """Count the event of a line of the job."""
        kind, host = line.event.get("event"), line.event.get("host")
        if kind == "playbook_on_play_start":
            self._total += line.event.get("tasks") or 0
        if kind == "playbook_on_task_start":
            self._tasks += 1
        if host:
            self._hosts.add(host)

    def draw(self, job: "JobView") -> None:
        """Draw the line while the job runs."""
        if not self.shown or job.state != JobState.RUNNING:
            return
        parts = []
        if self._tasks:
            # A play that includes tasks runs more of them than it announced.
            total = f" of {max(self._total, self._tasks)}" if self._total else ""
            parts.append(f"task {self._tasks}{total}")
        if self._hosts:
            parts.append(plural(len(self._hosts), "host"))
        self._session.draw_progress(f"      {', '.join([*parts, _since(job.started_at)])}")
        self._drawn = True

    def clear(self) -> None:
        """Remove the line, so that output can be printed in its place."""
        if self._drawn:
            self._session.draw_progress("")
            self._drawn = False
