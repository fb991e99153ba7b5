"""The endpoint audit: who asked for what."""

from lmaps.api.arguments import Limit, Text, UnitName, argument, arguments
from lmaps.api.context import Invocation
from lmaps.api.endpoint import endpoint
from lmaps.protocol import Reply
from lmaps.util import times
from lmaps.util.text import plural


@arguments
class Audit:
    """The arguments of audit."""

    unit: UnitName | None = argument(default=None, doc="Only of this unit.")
    limit: Limit = argument(default=20, doc="At most so many rows.")
    since: Text | None = argument(default=None, doc="Only from then on: a time, or how long ago (-2h).")
    author: Text | None = argument(default=None, doc="Only of this subject.")


@endpoint("audit", right="admin", scope="every")
def audit(ctx: Invocation, request: Audit) -> Reply:
    """Show who asked for what, newest first: changes, what was revealed, and what was denied."""
    rows = ctx.tx.audit.search(
        limit=request.limit,
        unit=request.unit,
        subject=request.author,
        since=times.format_time(times.read_time(request.since)) if request.since else None,
    )
    return Reply(plural(len(rows), "row"), extra={"audit": [row._asdict() for row in rows]})
