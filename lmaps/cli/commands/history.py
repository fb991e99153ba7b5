"""``history``, ``diff``, ``rollback``, ``redo``, ``revert``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from lmaps.cli.diffs import all_lines, print_diff, print_dry_run, read_diff, signs
from lmaps.cli.options import (
    Run,
    Write,
    apply_args,
    apply_options,
    command,
    limit_option,
    optional_unit_argument,
    padded,
    unit_argument,
    unit_argument_before,
    write_options,
)
from lmaps.cli.render import Table, revision, revision_or_zero, short
from lmaps.cli.session import Session
from lmaps.cli.watch import finish_with_job
from lmaps.errors import UsageError
from lmaps.util.lazy import LazyModule
from lmaps.util.times import age, in_seconds

if TYPE_CHECKING:
    from lmaps.protocol import Reply, views
    from lmaps.protocol.views import ChangesetView
else:
    views = LazyModule("lmaps.protocol.views")  # 15 ms that --help does without


@command(
    "rollback",
    examples="lmaps rollback web\nlmaps rollback web --steps 2 -m 'too early'\nlmaps rollback web --to r3 --dry-run",
)
@unit_argument
@click.option("--to", metavar="REV", help="Restore the state of this revision: r41, @~2, applied, or a time.")
@click.option("--steps", metavar="N", type=click.IntRange(1), help="How many changes to undo. [1]")
@apply_options
@write_options
def rollback(session: Session, unit: str, to: str | None, steps: int | None, run: Run | None, write: Write) -> None:
    """Undo the newest change of a unit; once more undoes the one before. The host is not touched: apply does that."""
    reply = write.send(session, "rollback", unit=unit, to=to, steps=steps, states=session.structured, **apply_args(run))
    _finish_undo(session, unit, reply, "rolled back to" if to else "rolled back", write, run)


@command("redo", examples="lmaps redo web\nlmaps redo web --steps 2")
@unit_argument
@click.option("--steps", metavar="N", type=click.IntRange(1), default=1, show_default=True, help="How many changes.")
@apply_options
@write_options
def redo(session: Session, unit: str, steps: int, run: Run | None, write: Write) -> None:
    """Restore the change that was rolled back last. A new change ends what can be restored."""
    reply = write.send(session, "redo", unit=unit, steps=steps, states=session.structured, **apply_args(run))
    _finish_undo(session, unit, reply, "redone", write, run)


@command("revert", examples="lmaps revert web r3 -m 'was wrong'\nlmaps revert web r3 --dry-run")
@unit_argument_before("revisions")
@click.argument("revisions", metavar="REV", nargs=-1)
@apply_options
@write_options
def revert(session: Session, unit: str, revisions: tuple[str, ...], run: Run | None, write: Write) -> None:
    """Undo one older change and keep later ones."""
    [target] = padded(revisions, 1)
    if target is None:
        raise UsageError(f"name the revision to revert: lmaps history {unit} lists them")
    reply = write.send(session, "revert", unit=unit, revision=target, states=session.structured, **apply_args(run))
    _finish_undo(session, unit, reply, "reverted", write, run)


def _finish_undo(session: Session, unit: str, reply: "Reply", verb: str, write: Write, run: Run | None) -> None:
    """Print the result of an undo, watch its job if one was asked for, and end the command where that has a code.

    ``r4: rolled back r3 (-api.example.org); web is pending, applied is r1: lmaps apply web``
    """
    extra = reply.extra
    if extra.get("dry_run"):
        print_dry_run(session, reply)
    if extra.get("nothing"):
        session.print_message(reply.message)
        finish_with_job(session, reply, run, write)
        if session.structured:
            session.print_data({"unit": unit, "revision": None, "undone": None})
        return
    if run is None or not session.structured:
        changes = signs([views.ChangedInstance.from_json(row) for row in extra["changes"]])
        text = f"{revision(reply.revision)}: {verb} {revision_or_zero(extra['target'])}"
        text += f" ({changes})" if changes else ""
        # With --apply the job that follows brings the host up to date.
        if run is None and extra["pending"]:
            text += _next_step(unit, extra["applied"])
        session.print_lines({"unit": unit, "revision": reply.revision, **extra}, [text], [str(reply.revision)])
    finish_with_job(session, reply, run, write)
    write.finish(changed=True)


def _next_step(unit: str, applied: int | None) -> str:
    """Return what is left to do after an undo that the host does not have yet."""
    state = f"applied is {revision(applied)}" if applied else "never applied"
    return f"; {unit} is pending, {state}: lmaps apply {unit}"


@command(
    "history",
    examples="lmaps history web\nlmaps history --author alice --since -2h\nlmaps history web --limit 3 --diff",
)
@optional_unit_argument
@limit_option
@click.option("--since", metavar="TIME", help="Only later changes: a time, or -2h.")
@click.option("--author", metavar="NAME", help="Only changes by this author.")
@click.option("--ticket", metavar="ID", help="Only changes for this ticket.")
@click.option("--diff", is_flag=True, help="With every value that changed.")
def history(session: Session, unit: str | None, diff: bool, **filters: Any) -> None:
    """List changes, newest first: who, when, why, and which instances."""
    data = session.call("history", unit=unit, diff=diff, **filters).extra["changesets"]
    changesets = [views.ChangesetView.from_json(row) for row in data]
    names = [str(changeset.revision) for changeset in changesets]
    if diff:
        lines = [line for changeset in changesets for line in _lines_with_diff(session, changeset)]
        session.print_lines(data, lines, names)
        return
    headers = ["REV", "KIND", *([] if unit else ["UNIT"]), "WHEN", "AUTHOR", "TICKET", "CHANGE", "MESSAGE"]
    rows = [
        (
            revision(changeset.revision),
            changeset.kind,
            *([] if unit else [changeset.unit]),
            *_origin(session, changeset),
            signs(changeset.changes, changeset.instances) or None,
            short(changeset.message),
        )
        for changeset in changesets
    ]
    session.print_data(data, Table(headers, rows), names)


def _origin(session: Session, changeset: "ChangesetView") -> Sequence[str | None]:
    """Return when a change was made, by whom, and its ticket."""
    when = age(changeset.at) if session.stdout.isatty() else in_seconds(changeset.at)
    author = changeset.author + (f" for {changeset.on_behalf_of}" if changeset.on_behalf_of else "")
    return (when, author, changeset.ticket)


def _lines_with_diff(session: Session, changeset: "ChangesetView") -> list[str]:
    cells = [changeset.kind, changeset.unit, *_origin(session, changeset), changeset.message]
    head = "  ".join(cell for cell in [revision(changeset.revision), *cells] if cell)
    return [head, *(f"  {line}" for line in all_lines(changeset.diff or ()))]


@command(
    "diff", examples="lmaps diff web\nlmaps diff web r3\nlmaps diff web @~2 @ --stat\nlmaps diff web r3 r5 -o json"
)
@unit_argument_before("revisions")
@click.argument("revisions", metavar="[REV [REV]]", nargs=-1)
@click.option("--stat", is_flag=True, help="Only how many instances differ.")
def diff(session: Session, unit: str, revisions: tuple[str, ...], stat: bool) -> None:
    """Show how a unit differs between two revisions, by default the applied and the newest. Exit code 1 if it does."""
    older, newer = padded(revisions, 2)
    reply = session.call("diff", unit=unit, **{"from": older, "to": newer or "@"})
    if stat:
        counts = {name: reply.extra[name] for name in ("added", "changed", "deleted")}
        text = ", ".join(f"{count} {name}" for name, count in counts.items())
        session.print_lines({"from": reply.extra["from"], "to": reply.extra["to"], **counts}, [text])
    else:
        print_diff(session, read_diff(reply))
    raise click.exceptions.Exit(reply.level)
