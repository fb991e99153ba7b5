"""The endpoint audit: the record of changes, revealed secrets and denied requests."""

from lmaps.api.arguments import Limit, Text, UnitName, argument, arguments
from lmaps.api.context import Invocation
from lmaps.api.endpoint import endpoint
from lmaps.protocol import Reply
from lmaps.util import times
from lmaps.util.text import plural


@arguments
class Audit:
    """The arguments of audit."""

    unit: UnitName | None = argument(default=None, doc="Only rows of this unit.")
    limit: Limit = argument(default=20, doc="At most this many rows.")
    since: Text | None = argument(default=None, doc="Only rows since this time: a time, or how long ago (-2h).")
    author: Text | None = argument(default=None, doc="Only requests of this subject.")


@endpoint("audit", right="admin", scope="every")
def audit(ctx: Invocation, request: Audit) -> Reply:
    """Show the audited requests, newest first: changes, revealed secrets and denied requests."""
    rows = ctx.tx.audit.search(
        limit=request.limit,
        unit=request.unit,
        subject=request.author,
        since=times.format_time(times.read_time(request.since)) if request.since else None,
    )
    return Reply(plural(len(rows), "row"), extra={"audit": [row._asdict() for row in rows]})
