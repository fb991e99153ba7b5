"""``apply``, ``jobs``, ``job``, ``logs``, ``attach``, ``wait``, ``cancel``."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from lmaps.cli.commands.instances import print_rows, read_rows, send_documents
from lmaps.cli.diffs import print_dry_run
from lmaps.cli.documents import read_documents
from lmaps.cli.options import (
    Run,
    Write,
    command,
    files_option,
    limit_option,
    optional_unit_argument,
    run_options,
    unit_argument,
    write_options,
)
from lmaps.cli.render import Table, render, revision
from lmaps.cli.session import Session
from lmaps.cli.watch import (
    INTERRUPTED_LEVEL,
    UNDO_LEVELS,
    JobLine,
    follow,
    level,
    outcome,
    read_job,
    read_lines,
    run_to_end,
    summary_text,
    wait_ms,
    worst,
)
from lmaps.errors import UsageError
from lmaps.model.states import JobState
from lmaps.util.lazy import LazyModule
from lmaps.util.terminal import visible_output
from lmaps.util.times import age, format_duration, in_seconds, parse_duration, seconds_between

if TYPE_CHECKING:
    from lmaps.protocol import views
    from lmaps.protocol.views import JobView
else:
    views = LazyModule("lmaps.protocol.views")  # 15 ms that --help does without

STATES = [state.value for state in JobState]
TIMED_OUT_LEVEL = 124
"""Exit code when --timeout is over first, as of timeout(1)."""


@command(
    "apply",
    examples="lmaps apply web -m 'go live'\nlmaps apply web -f www.yaml\nlmaps apply web --no-wait\n"
    "lmaps apply web --job-timeout 10m -o json",
)
@unit_argument
@files_option
@run_options
@write_options
def apply(session: Session, unit: str, files: tuple[str, ...], run: Run, write: Write) -> None:
    """Pass the whole state of a unit to its handler; with documents create them first.

    Prints the output as it comes and waits for the outcome. Ctrl-C detaches, and the job goes on; twice cancels it.
    """
    documents = read_documents(files) if files else []
    reply = send_documents(
        documents, lambda values: write.send(session, "apply", unit=unit, instances=values, **run.args)
    )
    if reply.extra.get("dry_run"):
        print_dry_run(session, reply)
    if files and not session.structured and session.format != "name":
        print_rows(session, read_rows(reply))
    run_to_end(session, read_job(reply), run, write)


@command("jobs", examples="lmaps jobs\nlmaps jobs web --state failed\nlmaps jobs --limit 100 -o json")
@optional_unit_argument
@click.option(
    "--state", type=click.Choice(STATES), metavar="STATE", help=f"Only jobs in this state: {', '.join(STATES)}."
)
@limit_option
def jobs(session: Session, unit: str | None, state: str | None, limit: int) -> None:
    """List jobs, newest first."""
    data = session.call("jobs", unit=unit, state=state, limit=limit).extra["jobs"]
    rows = [views.JobView.from_json(row) for row in data]
    headers = ("JOB", "UNIT", "REVISION", "STATE", "AUTHOR", "QUEUED", "TOOK")
    table = Table(headers, [_cells(row, relative=session.stdout.isatty()) for row in rows])
    session.print_data(data, table, [str(row.job) for row in rows])


def _cells(row: "JobView", *, relative: bool) -> Sequence[object]:
    queued = age(row.queued_at) if relative else in_seconds(row.queued_at)
    took = format_duration(seconds_between(row.started_at, row.ended_at)) if row.started_at and row.ended_at else None
    return (row.job, row.unit, revision(row.revision), row.state, row.author, queued, took)


@command("job", examples="lmaps job 3\nlmaps job 3 -o json")
@click.argument("number", metavar="JOB", type=int)
def job(session: Session, number: int) -> None:
    """Show everything about a job."""
    data = session.call("job", job=number).extra["job"]
    fields = {f"{name.replace('_', ' ')}:": value for name, value in data.items() if value is not None}
    width = max(map(len, fields))  # names of fields are ASCII
    rows = [
        (name.ljust(width), summary_text(value) if isinstance(value, dict) else value) for name, value in fields.items()
    ]
    session.print_data(data, Table((), rows), [str(number)])


def _output_command(name: str, text: str, *, follows: bool) -> click.Command:
    """Make ``logs``, or ``attach``, which follows by default."""

    @command(name, examples=f"lmaps {name} 3\nlmaps {name} 3 --since 100\nlmaps {name} 3 -o json")
    @click.argument("number", metavar="JOB", type=int)
    @click.option("--follow", "-f", "following", is_flag=True, default=follows, help="Go on until the job has ended.")
    @click.option("--since", metavar="N", type=click.IntRange(0), default=0, help="Only lines after line N.")
    @click.option("--tail", metavar="N", type=click.IntRange(0), help="Only the last N lines so far.")
    @click.option("--events", is_flag=True, help="The structured events, a JSON object per line.")
    def output(session: Session, number: int, following: bool, since: int, tail: int | None, events: bool) -> None:
        if tail is not None:
            # One line is enough to learn the number of the last one.
            since = max(since, session.call("lines", job=number, after=since, limit=1).extra["last"] - tail)
        batches = follow(session, number, since) if following else _lines_so_far(session, number, since)
        text_of = _line_format(session, events=events)
        try:
            for lines, state in batches:
                for line in lines:
                    session.write(text_of(line))
                latest = state
        except KeyboardInterrupt:
            session.print_error("")
            session.print_error(f"detached: lmaps attach {number}")
            raise click.exceptions.Exit(INTERRUPTED_LEVEL) from None
        if following:
            session.print_message(outcome(latest))
            raise click.exceptions.Exit(level(latest))

    output.help = text
    return output


def _lines_so_far(session: Session, number: int, after: int) -> Iterator[tuple[list[JobLine], "JobView"]]:
    """Yield the lines of a job after ``after`` that are there now, page by page."""
    while True:
        reply = session.call("lines", job=number, after=after)
        lines = read_lines(reply)
        yield lines, read_job(reply)
        if not reply.extra["more"]:
            return
        after = lines[-1].number


def _line_format(session: Session, *, events: bool) -> Callable[[JobLine], str]:
    """Return what makes the text of a line: its event, its JSON, or its text, for a terminal with its number."""
    terminal = session.stdout.isatty()

    def text_of(line: JobLine) -> str:
        if events:
            return render(line.event, "json") if line.event else ""
        if session.format == "json":
            return render(line.row, "json")
        if not line.text and line.stream == "event":
            return ""
        text = visible_output(line.text)
        return f"{line.number:>4}  {text}\n" if terminal else f"{text}\n"

    return text_of


@command(
    "wait",
    examples="lmaps wait 3\nlmaps wait 3 4 --timeout 10m\nlmaps wait web --for applied\n"
    "lmaps wait web --for confirmed --timeout 15m\nlmaps wait web --for rev=r41",
)
@click.argument("targets", metavar="JOB... | UNIT", nargs=-1, required=True)
@click.option("--for", "condition", metavar="WHAT", help="Of a unit: applied, confirmed, or rev=REV.")
def wait(session: Session, targets: tuple[str, ...], condition: str | None) -> None:
    """Wait for jobs to end, or for a unit. The exit code is that of the worst job; 124 if --timeout is over first.

    Waiting for a unit ends at once, with exit code 1, when it cannot become true by itself.
    """
    deadline = time.monotonic() + parse_duration(session.timeout) if session.timeout else None
    if condition is not None:
        if len(targets) != 1:
            raise UsageError("--for waits for one unit: name one")
        _wait_for_unit(session, targets[0], condition, deadline)
    # Checked before the first wait: a mistyped number must not be reported an hour later.
    if not all(target.isdecimal() for target in targets):
        raise UsageError("name jobs by their numbers, or a unit with --for applied")
    ended = [_wait_for_job(session, int(target), deadline) for target in targets]
    session.print_lines([job.to_json() for job in ended], list(map(outcome, ended)), [str(job.job) for job in ended])
    raise click.exceptions.Exit(worst(map(level, ended)))


def _wait_for_unit(session: Session, unit: str, condition: str, deadline: float | None) -> NoReturn:
    """Wait until ``condition`` is true of a unit, or cannot become true, and end the command."""
    while True:
        reply = session.call("wait", unit=unit, wait_ms=_max_wait_ms(session, deadline, unit), **{"for": condition})
        if reply.extra["true"] is None:
            continue
        latest = read_job(reply) if reply.extra["job"] else None
        if condition == "confirmed" and latest is not None and latest.confirmation in UNDO_LEVELS:
            session.print_message(outcome(latest))
            raise click.exceptions.Exit(level(latest))
        session.print_message(reply.message)
        raise click.exceptions.Exit(reply.level)


def _wait_for_job(session: Session, number: int, deadline: float | None) -> "JobView":
    """Return a job once it has ended."""
    while True:
        max_wait_ms = _max_wait_ms(session, deadline, f"job {number}")
        latest = read_job(session.call("job", job=number, wait_ms=max_wait_ms))
        if latest.over:
            return latest


def _max_wait_ms(session: Session, deadline: float | None, target: str) -> int:
    """Return how long the daemon may delay its answer; ends the command at the deadline."""
    if deadline is None:
        return wait_ms(session)
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        session.print_error(f"{target}: not yet, and the time is over")
        raise click.exceptions.Exit(TIMED_OUT_LEVEL)
    # Rounded up: at 0 ms the daemon would be asked again and again during the last millisecond.
    return min(wait_ms(session), int(left_s * 1000) + 1)


@command("cancel", examples="lmaps cancel 3\nlmaps cancel 3 4")
@click.argument("numbers", metavar="JOB...", type=int, nargs=-1, required=True)
def cancel(session: Session, numbers: tuple[int, ...]) -> None:
    """End jobs. When it returns, no process that they started is left."""
    replies = [session.call("cancel", job=number) for number in numbers]
    session.print_lines(
        [reply.extra["job"] for reply in replies],
        [reply.message for reply in replies],
        [str(number) for number in numbers],
    )


logs = _output_command("logs", "Show a job's output.", follows=False)
attach = _output_command("attach", "Watch a job's output until it has ended.", follows=True)
