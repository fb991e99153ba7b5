"""Differences between instances: lines for people, a JSON patch for programs."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lmaps.cli.render import short
from lmaps.cli.session import Session
from lmaps.model.diff import MISSING, Difference, pointer
from lmaps.util.lazy import LazyModule
from lmaps.util.terminal import padded, visible
from lmaps.util.terminal import width as columns

if TYPE_CHECKING:
    from lmaps.protocol import Reply, views
    from lmaps.protocol.views import ChangedInstance, InstanceDiff
else:
    views = LazyModule("lmaps.protocol.views")  # 15 ms, needed only where there is a difference to print

MAX_ALIGNED_ID = 40
"""Columns of IDs up to which the column after them is aligned."""
MAX_SIGNS = 5
"""Instances that `signs` names."""


def print_dry_run(session: Session, reply: "Reply") -> NoReturn:
    """Print what would change and end the command; exit code 1 if anything would."""
    print_diff(session, read_diff(reply))
    session.print_message(reply.message)
    raise click.exceptions.Exit(reply.level)


def read_diff(reply: "Reply") -> "list[InstanceDiff]":
    """Return the rows of the diff in a reply."""
    return [views.InstanceDiff.from_json(row) for row in reply.extra["diff"]]


def print_diff(session: Session, rows: Sequence["InstanceDiff"]) -> None:
    """Print rows of a diff: a JSON patch as data, lines for people."""
    patch = [operation for row in rows for operation in _operations(row)]
    session.print_lines(patch, all_lines(rows), [row.id for row in rows])


def all_lines(rows: Sequence["InstanceDiff"]) -> list[str]:
    """Return the lines of several rows, the differences aligned in one column."""
    width = max((columns(visible(row.short)) for row in rows), default=0)
    return [line for row in rows for line in diff_lines(row, min(width, MAX_ALIGNED_ID))]


def diff_lines(row: "InstanceDiff", width: int = 0) -> Iterator[str]:
    """Yield the lines of a row; the property that holds the ID is left out.

    ``+ www.example.org  port=8080 tls=false``; for a change a line per path: ``~ www.example.org  tls: true -> false``
    """
    lead = f"{row.sign} {padded(visible(row.short), width)}  "
    if row.sign != "~":
        others = [difference for difference in row.differences or () if difference.path != (row.named_by,)]
        values = [(_name(difference), _value(row.sign, difference)) for difference in others]
        yield (lead + " ".join(f"{name}={short(value)}" for name, value in values)).rstrip()
        return
    if row.differences is None:
        yield lead.rstrip()
    for number, difference in enumerate(row.differences or ()):
        before, after = (
            "(nothing)" if value is MISSING else short(value) for value in (difference.before, difference.after)
        )
        yield f"{lead if number == 0 else ' ' * columns(lead)}{_name(difference)}: {before} -> {after}"


def signs(rows: Sequence["ChangedInstance"], total: int | None = None) -> str:
    """Return the first of ``rows`` and how many more of ``total`` there are: ``+a ~b and 3 more``."""
    names = " ".join(f"{row.sign}{row.short}" for row in rows[:MAX_SIGNS])
    more = (len(rows) if total is None else total) - min(len(rows), MAX_SIGNS)
    return f"{names} and {more} more" if more > 0 else names


def _name(difference: Difference) -> str:
    return ".".join(map(str, difference.path))


def _value(sign: str, difference: Difference) -> object:
    """Return the value that comes with, or goes with, an instance."""
    return difference.after if sign == "+" else difference.before


def _operations(row: "InstanceDiff") -> Iterator[dict[str, Any]]:
    """Yield the operations of a JSON patch on an object of the instances by ID; without values that were withheld."""
    above = [*([] if row.unit is None else [row.unit]), row.id]
    if row.differences is None:
        yield {"op": {"+": "add", "-": "remove", "~": "replace"}[row.sign], "path": pointer(above)}
        return
    if row.sign == "~":
        # From the end: removing an item of an array moves those behind it.
        yield from (difference.to_patch(*above) for difference in reversed(row.differences))
        return
    document = {str(difference.path[0]): _value(row.sign, difference) for difference in row.differences}
    whole = Difference((), MISSING, document) if row.sign == "+" else Difference((), document, MISSING)
    yield whole.to_patch(*above)
