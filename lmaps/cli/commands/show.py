"""``show``."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from lmaps.cli.options import command, unit_argument_before
from lmaps.cli.render import Table, revision, short, without_short
from lmaps.cli.session import Session, read_row


@command(
    "show",
    examples="lmaps show web\nlmaps show web www.example.org -o json\nlmaps show web --instances\n"
    "lmaps show web --at @~1\nlmaps show web --at 2026-11-23T10:00",
)
@unit_argument_before("ids")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--at", metavar="REV", help="The state at that time: r41, @~2, applied, or a time.")
@click.option("--instances", is_flag=True, help="One by one: ID, revision, document given and completed.")
@click.option("--reverse", is_flag=True, help="Newest first; where instances are merged the oldest wins.")
@click.option("--reveal", is_flag=True, default=None, help="Show secrets too.")
def show(
    session: Session,
    unit: str,
    ids: tuple[str, ...],
    at: str | None,
    instances: bool,
    reverse: bool,
    reveal: bool | None,
) -> None:
    """Show the state of a unit as its handler gets it, or single instances."""
    selection: dict[str, Any] = {"unit": unit, "ids": list(ids), "at": at, "reveal": reveal}
    if not instances and session.output_format not in ("table", "name"):
        session.print_data(session.call("show", reverse=reverse, **selection).extra["state"])
        return
    extra = session.call("show", instances=True, **selection).extra
    data = extra["instances"][::-1] if reverse else extra["instances"]
    rows = [read_row(_Row, row) for row in data]
    table = _table(rows, extra["primary_key"], with_revision=instances)
    session.print_data([without_short(row) for row in data], table, [row.id for row in rows])


class _Row(NamedTuple):
    """What the table shows of an instance."""

    id: str
    short: str
    revision: int
    completed: dict[str, Any]


def _table(rows: Sequence[_Row], primary_key: str | None, *, with_revision: bool) -> Table:
    """Return a row per instance: its ID, then its properties without the primary key, which is the ID."""
    names = [name for name in dict.fromkeys(name for row in rows for name in row.completed) if name != primary_key]
    lead = ("ID", "REV") if with_revision else ("ID",)
    cells = [
        (
            row.short,
            *([revision(row.revision)] if with_revision else []),
            *(short(row.completed.get(name)) for name in names),
        )
        for row in rows
    ]
    return Table((*lead, *(name.upper() for name in names)), cells)
