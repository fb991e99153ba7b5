"""``apply``, ``jobs``, ``job``, ``logs``, ``wait``, ``cancel``."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import click

from lmaps.cli.commands.instances import files_option, send_documents, tell_results
from lmaps.cli.diffs import tell_dry_run
from lmaps.cli.documents import read_documents
from lmaps.cli.render import Table, render, revision, safe
from lmaps.cli.session import Session, Write, any_unit, command, the_unit, unit_argument, write_options
from lmaps.cli.watch import (
    CONFIRMED,
    INTERRUPTED_BY_USER,
    STATES,
    Run,
    follow,
    level,
    outcome,
    run_options,
    see_through,
    wait_ms,
    watch,
    worst,
)
from lmaps.errors import UsageError
from lmaps.util.times import age, format_duration, in_seconds, parse_duration, seconds_between

TIMED_OUT = 124


@command(
    "apply",
    examples="lmaps apply web -m 'go live'\nlmaps apply web -f www.yaml\nlmaps apply web --no-wait\n"
    "lmaps apply web --job-timeout 10m -o json",
)
@unit_argument
@files_option
@run_options
@write_options
def apply(
    session: Session, unit: str | None, unit_option: str | None, files: tuple[str, ...], run: Run, write: Write
) -> None:
    """Hand the whole state of a unit to its handler; with documents create them first.

    Waits for the outcome and shows the output as it comes. Ctrl-C stops the watching, not the job; twice cancels it.
    """
    name = the_unit(unit, unit_option)
    given = read_documents(files) if files else []
    reply = send_documents(
        given, lambda documents: write.send(session, "apply", unit=name, instances=documents, **run.args)
    )
    if reply.extra.get("dry_run"):
        tell_dry_run(session, reply)
    if files and not session.structured and session.format != "name":
        tell_results(session, reply.extra["instances"])
    see_through(session, reply.extra["job"], run, write)


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
    @click.option("--tail", metavar="N", type=click.IntRange(0), help="Only the last N lines of what is there.")
    @click.option("--events", is_flag=True, help="The structured events, a JSON object a line.")
    def made(session: Session, number: int, following: bool, since: int, tail: int | None, events: bool) -> None:
        print_line = _printer(session, events=events)
        if tail is not None:
            since = max(since, session.call("lines", job=number, after=since, limit=1).extra["last"] - tail)
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


@command(
    "wait",
    examples="lmaps wait 3\nlmaps wait 3 4 --timeout 10m\nlmaps wait web --for applied\n"
    "lmaps wait web --for confirmed --timeout 15m\nlmaps wait web --for rev=r41",
)
@click.argument("wanted", metavar="JOB... | UNIT", nargs=-1, required=True)
@click.option("--for", "what", metavar="WHAT", help="Of a unit: applied, confirmed, or rev=REV.")
def wait(session: Session, wanted: tuple[str, ...], what: str | None) -> None:
    """Wait for jobs to end, or for a unit. The exit code is that of the worst job; 124 if --timeout is over first.

    Waiting for a unit ends at once, with exit code 1, when it cannot become true by itself.
    """
    deadline = time.monotonic() + parse_duration(session.timeout) if session.timeout else None
    if what is not None:
        _wait_for_unit(session, wanted, what, deadline)
    if not all(each.isdecimal() for each in wanted):
        raise UsageError("cannot tell what to wait for: name jobs by their numbers, or a unit with --for applied")
    ended = [_wait_for(session, int(number), deadline) for number in wanted]
    session.lines(ended, [outcome(job) for job in ended], [str(job["job"]) for job in ended])
    raise click.exceptions.Exit(worst(map(level, ended)))


def _wait_for_unit(session: Session, wanted: tuple[str, ...], what: str, deadline: float | None) -> NoReturn:
    if len(wanted) != 1:
        raise UsageError("cannot wait for several units at once: name one")
    while True:
        reply = session.call("wait", unit=wanted[0], **{"for": what}, wait_ms=_hold_back(session, deadline, wanted[0]))
        if reply.extra["true"] is None:
            continue
        job = reply.extra["job"]
        undone = what == "confirmed" and job is not None and job["confirmation"] in CONFIRMED
        session.words(outcome(job) if undone else reply.message)
        raise click.exceptions.Exit(level(job) if undone else reply.level)


def _hold_back(session: Session, deadline: float | None, what: str) -> int:
    """For how long the daemon may hold back its answer [ms]; ends the command when the time is over."""
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        session.tell(f"{what}: not yet, and the time is over")
        raise click.exceptions.Exit(TIMED_OUT)
    return wait_ms(session) if left is None else min(wait_ms(session), int(left * 1000) + 1)


def _wait_for(session: Session, number: int, deadline: float | None) -> dict[str, Any]:
    while True:
        most = _hold_back(session, deadline, f"job {number}")
        job: dict[str, Any] = session.call("job", job=number, wait_ms=most).extra["job"]
        if job["over"]:
            return job


@command("request", examples="lmaps request 7f3c\nlmaps request 7f3c --wait")
@click.argument("key", metavar="KEY")
@click.option("--wait", "waiting", is_flag=True, help="If it has queued a job, watch that to its end.")
def request(session: Session, key: str, waiting: bool) -> None:
    """Tell what became of a change whose answer was lost. Exit code 4: nothing was done under this key."""
    reply = session.call("request", key=key)
    job = reply.extra["job"]
    if waiting and job is not None:
        ended = watch(session, job["job"])
        session.lines(ended, [outcome(ended)], [str(ended["job"])])
        raise click.exceptions.Exit(level(ended))
    session.lines(reply.extra, [reply.message], [key])


@command("confirm", examples="lmaps confirm web\nlmaps confirm web --rollback -m 'does not answer'")
@unit_argument
@click.option("--rollback", is_flag=True, help="Undo it now.")
@write_options
def confirm(session: Session, unit: str | None, unit_option: str | None, rollback: bool, write: Write) -> None:
    """Keep what waits for confirmation, or undo it now."""
    name = the_unit(unit, unit_option)
    reply = write.send(session, "confirm", unit=name, rollback=rollback)
    if reply.extra.get("dry_run"):
        tell_dry_run(session, reply)
    if not rollback:
        session.lines(reply.extra["job"], [reply.message], [str(reply.extra["job"]["job"])])
        return
    session.words(reply.message)
    ended = watch(session, reply.extra["job"]["job"])
    session.lines(ended, [outcome(ended)], [str(ended["job"])])
    raise click.exceptions.Exit(0 if ended["confirmation"] == "undone" else level(ended))


@command("cancel", examples="lmaps cancel 3\nlmaps cancel 3 4")
@click.argument("numbers", metavar="JOB...", type=int, nargs=-1, required=True)
def cancel(session: Session, numbers: tuple[int, ...]) -> None:
    """End jobs. When it answers nothing that they started is left running."""
    replies = [session.call("cancel", job=number) for number in numbers]
    session.lines(
        [reply.extra["job"] for reply in replies],
        [reply.message for reply in replies],
        [str(number) for number in numbers],
    )


logs = _logs("logs", "Show a job's output.", follows=False)
attach = _logs("attach", "Watch a job's output until it has ended.", follows=True)
