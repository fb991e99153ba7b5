"""``request``."""

import click

from lmaps.cli.options import command
from lmaps.cli.session import Session
from lmaps.cli.watch import level, outcome, read_job, watch


@command("request", examples="lmaps request 7f3c\nlmaps request 7f3c --wait")
@click.argument("key", metavar="KEY")
@click.option("--wait", "waiting", is_flag=True, help="If it queued a job, watch that to its end.")
def request(session: Session, key: str, waiting: bool) -> None:
    """Show the result of a change whose answer was lost. Exit code 4: nothing was done under this key."""
    reply = session.call("request", key=key)
    if waiting and reply.extra["job"] is not None:
        ended = watch(session, read_job(reply).job)
        session.print_lines(ended.to_json(), [outcome(ended)], [str(ended.job)])
        raise click.exceptions.Exit(level(ended))
    session.print_lines(reply.extra, [reply.message], [key])
