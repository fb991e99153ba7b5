"""``show``."""

from collections.abc import Sequence
from typing import Any

import click

from lmaps.cli.render import Table, revision, short, without_short
from lmaps.cli.session import Session, command, unit_and_ids, unit_argument


@command(
    "show",
    examples="lmaps show web\nlmaps show web www.example.org -o json\nlmaps show web --instances\n"
    "lmaps show web --at @~1\nlmaps show web --at 2026-11-23T10:00",
)
@unit_argument
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--at", metavar="REV", help="As it was then: r41, @~2, applied, or a time.")
@click.option("--instances", is_flag=True, help="One by one: ID, revision, document given and completed.")
@click.option("--reverse", is_flag=True, help="Newest first; where instances are merged the oldest wins.")
@click.option("--reveal", is_flag=True, default=None, help="Show secrets too.")
def show(
    session: Session,
    unit: str | None,
    unit_option: str | None,
    ids: tuple[str, ...],
    at: str | None,
    instances: bool,
    reverse: bool,
    reveal: bool | None,
) -> None:
    """Show the state of a unit as its handler gets it, or single instances."""
    name, wanted = unit_and_ids(unit, unit_option, ids)
    by_row = instances or session.output_format in ("table", "name")
    if by_row:
        extra = session.call("show", unit=name, ids=wanted, at=at, instances=True, reveal=reveal).extra
        rows = extra["instances"][::-1] if reverse else extra["instances"]
        table = _table(rows, extra["primary_key"], with_revision=instances)
        session.data([without_short(row) for row in rows], table, [row["id"] for row in rows])
        return
    extra = session.call("show", unit=name, ids=wanted, at=at, reverse=reverse, reveal=reveal).extra
    session.data(extra["state"])


def _table(rows: Sequence[dict[str, Any]], primary_key: str | None, *, with_revision: bool) -> Table:
    """A row an instance, the ID first, then its properties; the primary key is the ID already."""
    names = [name for name in dict.fromkeys(name for row in rows for name in row["completed"]) if name != primary_key]
    lead = ("ID", "REV") if with_revision else ("ID",)
    cells = [
        (
            row["short"],
            *([revision(row["revision"])] if with_revision else []),
            *(short(row["completed"].get(name)) for name in names),
        )
        for row in rows
    ]
    return Table((*lead, *(name.upper() for name in names)), cells)
