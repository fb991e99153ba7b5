"""What a request leaves in the audit: a row if it changes or reveals something, and a row if it was denied.

Rows are written in the request's own transaction, so an answer leaves only when its row is durable.
"""

from lmaps.api.audit_throttle import TokenBucket
from lmaps.api.context import Answer, Invocation, RequestContext
from lmaps.errors import NotAllowed
from lmaps.protocol import Reply, Request
from lmaps.store import AuditEntry


def record(ctx: Invocation, arguments: object, answer: Answer) -> None:
    """Record that the request was answered; one that names several units has a row for each."""
    revision, job = (answer.revision, answer.job) if isinstance(answer, Reply) else (None, None)
    if job is None:
        job = getattr(arguments, "job", None)
    author, on_behalf_of = ctx.subject.name, ctx.write.on_behalf_of
    for unit in ctx.units or (None,):
        entry = AuditEntry(author, on_behalf_of, ctx.door, ctx.verb, unit, ctx.key, revision, job)
        ctx.tx.audit.add(entry)
        ctx.audited.append(entry)


def record_denial(visit: RequestContext, request: Request, refused: NotAllowed) -> None:
    """Record that the request was denied, unless its subject was denied too often lately."""
    manager, args = visit.manager, request.args
    manager.counters.denied += 1
    suppressed = manager.denials.setdefault(visit.subject.id, TokenBucket()).take()
    if suppressed is None:
        manager.counters.audit_suppressed += 1
        return
    entry = AuditEntry(
        subject=visit.subject.name,
        on_behalf_of=args.get("on_behalf_of"),
        door=visit.door,
        verb=request.verb,
        unit=args.get("unit"),
        request_key=request.key,
        job=args.get("job"),
        outcome=refused.code,
        suppressed=suppressed,
    )
    visit.tx.audit.add(entry)
    visit.audited.append(entry)
