"""``blame``."""

from typing import Any, NamedTuple

import click

from lmaps.cli.options import command, padded, unit_argument_before
from lmaps.cli.render import Table, revision, short, without_short
from lmaps.cli.session import Session, read_row


@command("blame", examples="lmaps blame web www.example.org\nlmaps blame web /port\nlmaps blame web -o json")
@unit_argument_before("targets")
@click.argument("targets", metavar="[ID | /PATH]", nargs=-1)
def blame(session: Session, unit: str, targets: tuple[str, ...]) -> None:
    """Show for each value which change set it, by whom, when and why, and the value before."""
    [target] = padded(targets, 1)
    if target is None:
        reply = session.call("blame", unit=unit)
    elif target.startswith("/"):
        reply = session.call("blame", unit=unit, path=target)
    else:
        reply = session.call("blame", unit=unit, ids=[target])
    data = reply.extra["values"]
    rows = [read_row(_Row, row) for row in data]
    # With an ID every row is about the one instance.
    with_id = target is None or target.startswith("/")
    cells = [[*([row.short] if with_id else []), *_cells(row)] for row in rows]
    headers = [*(["ID"] if with_id else []), "PATH", "VALUE", "REV", "AUTHOR", "TICKET", "BEFORE"]
    session.print_data([without_short(row) for row in data], Table(headers, cells), [row.path for row in rows])


class _Row(NamedTuple):
    """A value and the change that set it; ``by`` is the undo that brought the value back."""

    short: str
    path: str
    value: object
    default: bool
    revision: int | None = None
    by: str | None = None
    author: str | None = None
    ticket: str | None = None
    before: object = None


def _cells(row: _Row) -> list[Any]:
    path, value, before = row.path, short(row.value), short(row.before)
    if row.default:
        return [path, value, "default", None, None, before]
    by = f" ({row.by})" if row.by else ""
    return [path, value, (revision(row.revision) or "?") + by, row.author, row.ticket, before]
