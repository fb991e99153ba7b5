"""``history``, ``diff``, ``blame``, ``rollback``, ``redo``, ``revert``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from lmaps.cli.diffs import all_lines, signs, tell_diff, tell_dry_run
from lmaps.cli.render import Table, revision, short
from lmaps.cli.session import Session, Write, any_unit, command, the_unit, unit_argument, write_options
from lmaps.cli.watch import Run, and_apply, apply_options, asked
from lmaps.errors import UsageError
from lmaps.util.times import age, in_seconds

if TYPE_CHECKING:
    from lmaps.protocol import Reply


@command(
    "rollback",
    examples="lmaps rollback web\nlmaps rollback web --steps 2 -m 'too early'\nlmaps rollback web --to r3 --dry-run",
)
@unit_argument
@click.option("--to", metavar="REV", help="Bring the state of this revision back: r41, @~2, applied, or a time.")
@click.option("--steps", metavar="N", type=click.IntRange(1), help="Undo so many changes at once. [1]")
@apply_options
@write_options
def rollback(
    session: Session,
    unit: str | None,
    unit_option: str | None,
    to: str | None,
    steps: int | None,
    run: Run | None,
    write: Write,
) -> None:
    """Undo the newest change of a unit; once more walks further back. The host is not touched: apply does that."""
    name = the_unit(unit, unit_option)
    reply = write.send(session, "rollback", unit=name, to=to, steps=steps, states=session.structured, **asked(run))
    _tell(session, name, reply, "rolled back to" if to else "rolled back", write, run)


@command("redo", examples="lmaps redo web\nlmaps redo web --steps 2")
@unit_argument
@click.option("--steps", metavar="N", type=click.IntRange(1), default=1, show_default=True, help="So many changes.")
@apply_options
@write_options
def redo(
    session: Session, unit: str | None, unit_option: str | None, steps: int, run: Run | None, write: Write
) -> None:
    """Bring back what was rolled back last, until a new change is made."""
    name = the_unit(unit, unit_option)
    reply = write.send(session, "redo", unit=name, steps=steps, states=session.structured, **asked(run))
    _tell(session, name, reply, "redone", write, run)


@command("revert", examples="lmaps revert web r3 -m 'was wrong'\nlmaps revert web r3 --dry-run")
@unit_argument
@click.argument("number", metavar="REV", required=False)
@apply_options
@write_options
def revert(
    session: Session, unit: str | None, unit_option: str | None, number: str | None, run: Run | None, write: Write
) -> None:
    """Take back one older change and keep what came later."""
    name, [wanted] = _unit_and_revisions(unit, unit_option, [number])
    if wanted is None:
        raise UsageError(f"cannot tell which change is meant: name its revision, lmaps history {name} lists them")
    reply = write.send(session, "revert", unit=name, revision=wanted, states=session.structured, **asked(run))
    _tell(session, name, reply, "reverted", write, run)


def _tell(session: Session, name: str, reply: "Reply", done: str, write: Write, run: Run | None) -> None:
    """``r4: rolled back r3 (-api.example.org); web is pending, applied is r1: lmaps apply web``."""
    extra = reply.extra
    if extra.get("dry_run"):
        tell_dry_run(session, reply)
    if extra.get("nothing"):
        session.words(reply.message)
        and_apply(session, reply, run, write)
        if session.structured:
            session.data({"unit": name, "revision": None, "undone": None})
        return
    changes = f" ({signs(extra['changes'])})" if extra["changes"] else ""
    text = f"{revision(reply.revision)}: {done} {revision(extra['target']) or 'r0'}{changes}"
    if extra["pending"] and run is None:
        applied = f"applied is {revision(extra['applied'])}" if extra["applied"] else "never applied"
        text += f"; {name} is pending, {applied}: lmaps apply {name}"
    if run is None or not session.structured:
        session.lines({"unit": name, "revision": reply.revision, **extra}, [text], [str(reply.revision)])
    and_apply(session, reply, run, write)
    write.end(changed=True)


@command(
    "history",
    examples="lmaps history web\nlmaps history --author alice --since -2h\nlmaps history web --limit 3 --diff",
)
@unit_argument
@click.option(
    "--limit", metavar="N", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most so many."
)
@click.option("--since", metavar="TIME", help="Only from then on: a time, or -2h.")
@click.option("--author", metavar="NAME", help="Only of this author.")
@click.option("--ticket", metavar="ID", help="Only for this ticket.")
@click.option("--diff", is_flag=True, help="With every value that changed.")
def history(session: Session, unit: str | None, unit_option: str | None, **asked: Any) -> None:
    """List changes, newest first: who, when, why, and which instances."""
    name = any_unit(unit, unit_option)
    rows = session.call("history", unit=name, **asked).extra["changesets"]
    headers = ["REV", "KIND", *([] if name else ["UNIT"]), "WHEN", "AUTHOR", "TICKET", "CHANGE", "MESSAGE"]
    if not asked["diff"]:
        table = Table(headers, [_row(session, row, name) for row in rows])
        session.data(rows, table, [str(row["revision"]) for row in rows])
        return
    lines = [line for row in rows for line in _with_diff(session, row)]
    session.lines(rows, lines, [str(row["revision"]) for row in rows])


def _row(session: Session, row: dict[str, Any], name: str | None) -> Sequence[Any]:
    when = age(row["at"]) if session.stdout.isatty() else in_seconds(row["at"])
    unit = [] if name else [row["unit"]]
    changes = signs(row["changes"], row["instances"]) or None
    author = row["author"] + (f" for {row['on_behalf_of']}" if row["on_behalf_of"] else "")
    return (revision(row["revision"]), row["kind"], *unit, when, author, row["ticket"], changes, short(row["message"]))


def _with_diff(session: Session, row: dict[str, Any]) -> list[str]:
    cells = [row["kind"], row["unit"], *_row(session, row, row["unit"])[2:5], row["message"]]
    head = "  ".join(str(cell) for cell in [revision(row["revision"]), *cells] if cell)
    return [head, *(f"  {line}" for line in all_lines(row["diff"]))]


@command(
    "diff", examples="lmaps diff web\nlmaps diff web r3\nlmaps diff web @~2 @ --stat\nlmaps diff web r3 r5 -o json"
)
@unit_argument
@click.argument("older", metavar="[REV", required=False)
@click.argument("newer", metavar="[REV]]", required=False)
@click.option("--stat", is_flag=True, help="Only how many instances differ.")
def diff(
    session: Session, unit: str | None, unit_option: str | None, older: str | None, newer: str | None, stat: bool
) -> None:
    """Show how a unit differs between two revisions, by default the applied and the newest. Exit code 1 if it does."""
    name, [first, second] = _unit_and_revisions(unit, unit_option, [older, newer])
    reply = session.call("diff", unit=name, to=second or "@", **({"from": first} if first else {}))
    counts = {name: reply.extra[name] for name in ("added", "changed", "deleted")}
    if stat:
        table = Table((), [(f"{counts['added']} added, {counts['changed']} changed, {counts['deleted']} deleted",)])
        session.data({"from": reply.extra["from"], "to": reply.extra["to"], **counts}, table)
    else:
        tell_diff(session, reply.extra["diff"])
    raise click.exceptions.Exit(reply.level)


def _unit_and_revisions(
    unit: str | None, unit_option: str | None, revisions: list[str | None]
) -> tuple[str, list[str | None]]:
    """The unit, and the revisions: with ``--unit`` the first argument is a revision already."""
    name = the_unit(None if unit_option else unit, unit_option)
    if not unit_option or not unit:
        return name, revisions
    if revisions[-1] is not None:
        raise UsageError(f"cannot take so many revisions: {revisions[-1]} is one too many")
    return name, [unit, *revisions[:-1]]


@command("blame", examples="lmaps blame web www.example.org\nlmaps blame web /port\nlmaps blame web -o json")
@unit_argument
@click.argument("wanted", metavar="[ID | /PATH]", required=False)
def blame(session: Session, unit: str | None, unit_option: str | None, wanted: str | None) -> None:
    """Show for each value which change gave it, who made it, when and why, and what was there before."""
    name, [which] = _unit_and_revisions(unit, unit_option, [wanted])
    one = {} if which is None else {"path": which} if which.startswith("/") else {"ids": [which]}
    rows = session.call("blame", unit=name, **one).extra["values"]
    single = "ids" in one
    cells = [([] if single else [row["short"]]) + _blamed(row) for row in rows]
    headers = [*([] if single else ["ID"]), "PATH", "VALUE", "REV", "AUTHOR", "TICKET", "BEFORE"]
    data = [{key: value for key, value in row.items() if key != "short"} for row in rows]
    session.data(data, Table(headers, cells), [row["path"] for row in rows])


def _blamed(row: dict[str, Any]) -> list[Any]:
    by = f" ({row['by']})" if row["by"] else ""
    before = short(row["before"]) if "before" in row else None
    if row["default"]:
        return [row["path"], short(row["value"]), "default", None, None, before]
    return [
        row["path"],
        short(row["value"]),
        (revision(row["revision"]) or "?") + by,
        row["author"],
        row["ticket"],
        before,
    ]
