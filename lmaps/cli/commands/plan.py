"""``plan``: what an apply would do."""

from typing import NoReturn

import click

from lmaps.cli.commands.instances import send_documents
from lmaps.cli.diffs import all_lines, read_diff
from lmaps.cli.documents import read_documents
from lmaps.cli.options import command, files_option, unit_argument
from lmaps.cli.render import revision
from lmaps.cli.session import Session
from lmaps.cli.watch import level, outcome, read_job, watch
from lmaps.errors import UsageError


@command("plan", examples="lmaps plan web\nlmaps plan web -f www.yaml\nlmaps plan web --check")
@unit_argument
@files_option
@click.option("--check", is_flag=True, help="Have the handler show what it would do to the host, where it can.")
def plan(session: Session, unit: str, files: tuple[str, ...], check: bool) -> None:
    """Show what an apply would do, and do nothing. Exit code 1 if it would change something.

    By default it compares the applied revision with the newest. With --check the handler runs in its check mode; what
    that skips is counted as unknown.
    """
    if check and files:
        raise UsageError("--check compares with the host only what is stored: use --file or --check")
    if check:
        _check_on_host(session, unit)
    documents = read_documents(files) if files else []
    reply = send_documents(documents, lambda values: session.call("plan", unit=unit, instances=values))
    rows = read_diff(reply)
    session.print_lines(reply.extra, all_lines(rows), [row.id for row in rows])
    session.print_message(reply.message)
    raise click.exceptions.Exit(reply.level)


def _check_on_host(session: Session, unit: str) -> NoReturn:
    """Run the handler's check mode as a job, watch it, and end the command."""
    queued = read_job(session.call("plan_check", unit=unit))
    session.print_message(f"job {queued.job}: plan {unit} {revision(queued.revision)}")
    job = watch(session, queued.job)
    session.print_message(outcome(job))
    if session.structured or session.format == "name":
        session.print_data(job.to_json(), names=[str(job.job)])
    counts = job.summary or {}
    # What the check mode skips may change something: it counts as a change.
    raise click.exceptions.Exit(level(job) or int(counts.get("changed", 0) + counts.get("unknown", 0) > 0))
