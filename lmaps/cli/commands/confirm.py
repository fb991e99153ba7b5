"""``confirm``."""

import click

from lmaps.cli.diffs import print_dry_run
from lmaps.cli.options import Write, command, unit_argument, write_options
from lmaps.cli.session import Session
from lmaps.cli.watch import level, outcome, read_job, watch
from lmaps.model.states import ConfirmationState


@command("confirm", examples="lmaps confirm web\nlmaps confirm web --rollback -m 'does not answer'")
@unit_argument
@click.option("--rollback", is_flag=True, help="Undo it now.")
@write_options
def confirm(session: Session, unit: str, rollback: bool, write: Write) -> None:
    """Keep an apply that waits for confirmation, or undo it now."""
    reply = write.send(session, "confirm", unit=unit, rollback=rollback)
    if reply.extra.get("dry_run"):
        print_dry_run(session, reply)
    job = read_job(reply)
    if not rollback:
        session.print_lines(job.to_json(), [reply.message], [str(job.job)])
        return
    session.print_message(reply.message)
    ended = watch(session, job.job)
    session.print_lines(ended.to_json(), [outcome(ended)], [str(ended.job)])
    # The user asked for the undo: that it was undone is a success here.
    raise click.exceptions.Exit(0 if ended.confirmation == ConfirmationState.UNDONE else level(ended))
