"""The audit: a row for each request that changes or reveals something, and for each that was denied.

Rows are written in the request's own transaction, so an answer leaves only when its row is durable.
"""

from collections.abc import Iterator
from typing import Any

from lmaps.api.audit_throttle import TokenBucket
from lmaps.api.context import Answer, Invocation, RequestContext
from lmaps.errors import NotAllowed
from lmaps.protocol import Reply, Request
from lmaps.store import AuditEntry
from lmaps.util import times
from lmaps.util.text import plural


def keep(call: Invocation, answer: Answer) -> None:
    """Keep that the request was answered; one that names several units has a row for each."""
    args = call.args
    revision, job = (answer.revision, answer.job) if isinstance(answer, Reply) else (None, None)
    for unit in _units(args):
        entry = AuditEntry(
            call.subject.name,
            args.get("on_behalf_of"),
            call.door,
            call.verb,
            unit,
            call.key,
            revision,
            job or args.get("job"),
        )
        _keep(call, entry)


def keep_denial(visit: RequestContext, request: Request, refused: NotAllowed) -> None:
    """Keep that the request was denied, unless its subject was denied too often lately."""
    manager = visit.manager
    manager.counters["denied"] += 1
    suppressed = manager.denials.setdefault(visit.subject.id, TokenBucket()).take()
    if suppressed is None:
        manager.counters["audit_suppressed"] += 1
        return
    args = request.args
    entry = AuditEntry(
        visit.subject.name,
        args.get("on_behalf_of"),
        visit.door,
        request.verb,
        args.get("unit"),
        request.key,
        job=args.get("job"),
        outcome=refused.code,
        suppressed=suppressed,
    )
    _keep(visit, entry)


def _keep(visit: RequestContext, entry: AuditEntry) -> None:
    visit.tx.audit.add(entry)
    visit.audited.append(entry)


def _units(args: Any) -> Iterator[str | None]:
    named = args.get("units") or [args.get("unit")]
    for each in named:
        yield each["unit"] if isinstance(each, dict) else each


def audit(call: Invocation) -> Reply:
    """Who asked for what, newest first: changes, what was revealed, and what was denied."""
    since = call.args.get("since")
    found = call.tx.audit.search(
        limit=call.args["limit"],
        unit=call.args.get("unit"),
        subject=call.args.get("author"),
        since=times.format_time(times.read_time(since)) if since else None,
    )
    return Reply(plural(len(found), "row"), extra={"audit": [each._asdict() for each in found]})
