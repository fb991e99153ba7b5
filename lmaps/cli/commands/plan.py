"""``plan``: what an apply would do."""

import click

from lmaps.cli.commands.instances import files_option, send_documents
from lmaps.cli.diffs import all_lines
from lmaps.cli.documents import read_documents
from lmaps.cli.render import Table, revision
from lmaps.cli.session import Session, command, the_unit, unit_argument
from lmaps.cli.watch import level, outcome, watch
from lmaps.errors import UsageError


@command("plan", examples="lmaps plan web\nlmaps plan web -f www.yaml\nlmaps plan web --check")
@unit_argument
@files_option
@click.option("--check", is_flag=True, help="Have the handler show what it would do to the host, where it can.")
def plan(session: Session, unit: str | None, unit_option: str | None, files: tuple[str, ...], check: bool) -> None:
    """Show what an apply would do, and do nothing. Exit code 1 if it would change something.

    By default it compares the applied revision with the newest. With --check the handler runs in its check mode; what
    that skips is counted as unknown.
    """
    name = the_unit(unit, unit_option)
    if check and files:
        raise UsageError("cannot check documents that are not stored on the host: use --file or --check")
    if check:
        _on_the_host(session, name)
    given = read_documents(files) if files else []
    reply = send_documents(given, lambda documents: session.call("plan", unit=name, instances=documents))
    rows = reply.extra["diff"]
    table = Table((), [(line,) for line in all_lines(rows)])
    session.data(reply.extra, table, [row["id"] for row in rows])
    session.words(reply.message)
    raise click.exceptions.Exit(reply.level)


def _on_the_host(session: Session, name: str) -> None:
    queued = session.call("plan_check", unit=name).extra["job"]
    session.words(f"job {queued['job']}: plan {name} {revision(queued['revision'])}")
    ended = watch(session, queued["job"])
    session.words(outcome(ended))
    if session.structured or session.format == "name":
        session.data(ended, names=[str(ended["job"])])
    counts = ended["summary"] or {}
    raise click.exceptions.Exit(level(ended) or int(counts.get("changed", 0) + counts.get("unknown", 0) > 0))
