"""``apply``, ``jobs``, ``job``, ``logs``; and how a job is followed."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from lmaps.core.commands.diffs import tell_dry_run
from lmaps.core.commands.inputs import read_documents
from lmaps.core.commands.instances import files_option, send_documents, tell_results
from lmaps.core.commands.output import Table, render, revision, safe
from lmaps.core.commands.session import Session, Write, any_unit, command, the_unit, unit_argument, write_options
from lmaps.core.times import age, format_duration, in_seconds, seconds_between
from lmaps.errors import HandlerFailed, JobStopped

WAIT_MS = 10_000
"""How long the daemon may hold back an answer while a job says nothing."""
STATES = ("queued", "running", "succeeded", "failed", "timed_out", "cancelled", "interrupted", "covered")
ENDED = frozenset(STATES[2:])
LEVELS = {"failed": HandlerFailed.level, "timed_out": JobStopped.level, "cancelled": JobStopped.level}
INTERRUPTED_BY_USER = 130


@command("apply", examples="lmaps apply web -m 'go live'\nlmaps apply web -f www.yaml\nlmaps apply web -o json")
@unit_argument
@files_option
@write_options
def apply(
    session: Session,
    unit: str | None,
    unit_option: str | None,
    files: tuple[str, ...],
    write: Write,
) -> None:
    """Hand the whole state of a unit to its handler; with documents create them first.

    Waits for the outcome and shows the output as it comes. Ctrl-C stops the watching, not the job.
    """
    name = the_unit(unit, unit_option)
    given = read_documents(files) if files else []
    reply = send_documents(given, lambda documents: write.send(session, "apply", unit=name, instances=documents))
    if reply.extra.get("dry_run"):
        tell_dry_run(session, reply)
    if files and not session.structured and session.format != "name":
        tell_results(session, reply.extra["instances"])
    job = reply.extra["job"]
    session.words(f"job {job['job']}: apply {name} {revision(job['revision'])}")
    ended = watch(session, job["job"])
    session.words(outcome(ended))
    if session.structured or session.format == "name":
        session.data(ended, names=[str(ended["job"])])
    if level(ended) == 0:
        write.end(changed=not ended["summary"] or ended["summary"]["changed"] > 0)
    raise click.exceptions.Exit(level(ended))


def watch(session: Session, number: int) -> dict[str, Any]:
    """Show a job's output until it has ended; the job as it ended. Ctrl-C says how to come back, exit code 130."""
    try:
        for batch, job in follow(session, number):
            for line in batch:
                if line["text"]:
                    session.words(f"{line['number']:>4}  {line['text']}")
            ended = job
    except KeyboardInterrupt:
        session.tell(f"\ndetached, the job goes on: lmaps attach {number}")
        raise click.exceptions.Exit(INTERRUPTED_BY_USER) from None
    return ended


def follow(session: Session, number: int, after: int = 0) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]:
    """The lines of a job after ``after`` as they come, with the job as it is then, until it has ended."""
    wait_ms = min(WAIT_MS, int(session.connect().timeout * 500))
    while True:
        extra = session.call("lines", job=number, after=after, wait_ms=wait_ms).extra
        lines: list[dict[str, Any]] = extra["lines"]
        yield lines, extra["job"]
        if lines:
            after = lines[-1]["number"]
        elif extra["job"]["state"] in ENDED:
            return


def level(job: dict[str, Any]) -> int:
    """The exit code for how a job ended."""
    return 0 if job["state"] in ("succeeded", "covered") else LEVELS.get(job["state"], JobStopped.level)


def outcome(job: dict[str, Any]) -> str:
    """``job 1 succeeded in 3.1 s: ok 3, changed 2, failed 0, unknown 0; web applied r1``."""
    took = f" in {format_duration(seconds_between(job['started_at'], job['ended_at']))}" if job["started_at"] else ""
    counts = f": {', '.join(f'{name} {count}' for name, count in job['summary'].items())}" if job["summary"] else ""
    end = f"; {job['unit']} applied {revision(job['revision'])}" if job["state"] == "succeeded" else f"; {job['error']}"
    return f"job {job['job']} {job['state']}{took}{counts}{end}"


@command("jobs", examples="lmaps jobs\nlmaps jobs web --state failed\nlmaps jobs --limit 100 -o json")
@unit_argument
@click.option(
    "--state", type=click.Choice(STATES), metavar="STATE", help=f"Only jobs in this state: {', '.join(STATES)}."
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most so many.")
def jobs(session: Session, unit: str | None, unit_option: str | None, state: str | None, limit: int) -> None:
    """List jobs, newest first."""
    rows = session.call("jobs", unit=any_unit(unit, unit_option), state=state, limit=limit).extra["jobs"]
    headers = ("JOB", "UNIT", "REVISION", "STATE", "AUTHOR", "QUEUED", "TOOK")
    session.data(rows, Table(headers, [_row(session, job) for job in rows]), [str(job["job"]) for job in rows])


def _row(session: Session, job: dict[str, Any]) -> Sequence[Any]:
    queued = age(job["queued_at"]) if session.stdout.isatty() else in_seconds(job["queued_at"])
    ended = job["started_at"] and job["ended_at"]
    took = format_duration(seconds_between(job["started_at"], job["ended_at"])) if ended else None
    return (job["job"], job["unit"], revision(job["revision"]), job["state"], job["author"], queued, took)


@command("job", examples="lmaps job 3\nlmaps job 3 -o json")
@click.argument("number", metavar="JOB", type=int)
def job(session: Session, number: int) -> None:
    """Show all that is known of a job."""
    found = session.call("job", job=number).extra["job"]
    known = [(f"{name.replace('_', ' ')}:", value) for name, value in found.items() if value is not None]
    width = max(len(name) for name, _ in known)
    rows = [(name.ljust(width), _counts(value) if isinstance(value, dict) else value) for name, value in known]
    session.data(found, Table((), rows), [str(number)])


def _counts(summary: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in summary.items())


def _logs(name: str, text: str, *, follows: bool) -> click.Command:
    """``logs``, and ``attach``, which follows by itself."""

    @command(name, examples=f"lmaps {name} 3\nlmaps {name} 3 --since 100\nlmaps {name} 3 -o json")
    @click.argument("number", metavar="JOB", type=int)
    @click.option("--follow", "-f", "following", is_flag=True, default=follows, help="Go on until the job has ended.")
    @click.option("--since", metavar="N", type=click.IntRange(0), default=0, help="Only what comes after line N.")
    @click.option("--events", is_flag=True, help="The structured events, a JSON object a line.")
    def made(session: Session, number: int, following: bool, since: int, events: bool) -> None:
        print_line = _printer(session, events=events)
        batches = follow(session, number, since) if following else _so_far(session, number, since)
        try:
            for lines, state in batches:
                for line in lines:
                    print_line(line)
                job = state
        except KeyboardInterrupt:
            session.tell(f"\ndetached: lmaps attach {number}")
            raise click.exceptions.Exit(INTERRUPTED_BY_USER) from None
        if following:
            session.words(outcome(job))
            raise click.exceptions.Exit(level(job))

    made.help = text
    return made


def _so_far(session: Session, number: int, after: int) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]:
    while True:
        extra = session.call("lines", job=number, after=after).extra
        yield extra["lines"], extra["job"]
        if not extra["more"]:
            return
        after = extra["lines"][-1]["number"]


def _printer(session: Session, *, events: bool) -> Callable[[dict[str, Any]], None]:
    def print_line(line: dict[str, Any]) -> None:
        if events:
            text = render(line["event"], "json") if line.get("event") else ""
        elif session.format == "json":
            text = render(line, "json")
        elif not line["text"] and line["stream"] == "event":
            text = ""
        else:
            text = f"{line['number']:>4}  {safe(line['text'])}\n" if session.stdout.isatty() else line["text"] + "\n"
        session.write(text)

    return print_line


logs = _logs("logs", "Show a job's output.", follows=False)
attach = _logs("attach", "Watch a job's output until it has ended.", follows=True)
