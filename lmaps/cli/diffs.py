"""How differences are told: lines for people, a JSON patch for programs."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lmaps.cli.render import Table, short
from lmaps.cli.session import Session
from lmaps.model.diff import MISSING, Difference

if TYPE_CHECKING:
    from lmaps.protocol import Reply

WIDEST_ID = 40
"""Characters of IDs that are aligned."""


def tell_dry_run(session: Session, reply: "Reply") -> NoReturn:
    """Show what would change; exit code 1 if anything would."""
    tell_diff(session, reply.extra["diff"])
    session.words(reply.message)
    raise click.exceptions.Exit(reply.level)


def tell_diff(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Show rows of a diff."""
    patch = [each for row in rows for each in _operations(row)]
    session.data(patch, Table((), [(line,) for line in all_lines(rows)]), [row["id"] for row in rows])


def all_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The lines of several rows, what differs in one column."""
    width = max((len(row["short"]) for row in rows), default=0)
    return [line for row in rows for line in diff_lines(row, min(width, WIDEST_ID))]


def diff_lines(row: dict[str, Any], width: int = 0) -> Iterator[str]:
    """``+ www.example.org  port=8080 tls=false``, ``~ www.example.org  tls: true -> false``, a line a path.

    The property that has the ID is left out.
    """
    found = [Difference.from_json(each) for each in row["differences"]]
    lead = f"{row['sign']} {row['short']:<{width}}  "
    if row["sign"] != "~":
        others = [each for each in found if each.path != (row["named_by"],)]
        told = [f"{_name(each)}={short(each.after if row['sign'] == '+' else each.before)}" for each in others]
        yield (lead + " ".join(told)).rstrip()
        return
    for number, each in enumerate(found):
        was, now = ("(nothing)" if value is MISSING else short(value) for value in (each.before, each.after))
        yield f"{lead if number == 0 else ' ' * len(lead)}{_name(each)}: {was} -> {now}"


def signs(rows: Sequence[dict[str, Any]], total: int | None = None) -> str:
    """``+a ~b and 3 more``."""
    named = " ".join(f"{row['sign']}{row['short']}" for row in rows[:5])
    more = (len(rows) if total is None else total) - min(len(rows), 5)
    return f"{named} and {more} more" if more > 0 else named


def _name(each: Difference) -> str:
    return ".".join(map(str, each.path))


def _operations(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The operations of a JSON patch on the instances as an object by ID."""
    above = [*([row["unit"]] if "unit" in row else []), row["id"]]
    found = [Difference.from_json(each) for each in row["differences"]]
    if row["sign"] == "+":
        yield Difference((), MISSING, _document(found)).to_patch(*above)
    elif row["sign"] == "-":
        yield Difference((), _document(found), MISSING).to_patch(*above)
    else:
        yield from (each.to_patch(*above) for each in reversed(found))


def _document(found: Sequence[Difference]) -> dict[str, Any]:
    """The document that came or went: its properties are what differs from nothing."""
    return {str(each.path[0]): each.before if each.after is MISSING else each.after for each in found}
