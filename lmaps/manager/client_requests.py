"""The desk: takes clients' requests, sends the answers, keeps those that wait for a job."""

import logging
import math
import time
from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

from lmaps.api import legacy
from lmaps.api.registry import ENDPOINTS, AfterCommit, Answer, Deferred, Endpoint, ManagerState, RequestContext
from lmaps.config.limits import Section, fits, read
from lmaps.errors import Busy, LmapsError, MessageRefused, NotFound, StoreError, TookTooLong, TooLarge
from lmaps.model.states import Door
from lmaps.protocol import Reply, Request
from lmaps.store import DATABASE_ERRORS, Audited, Store, Transaction
from lmaps.transport.server import Incoming, ServerSocket
from lmaps.transport.zap import Peer
from lmaps.util.failpoints import failpoint
from lmaps.util.logs import log_context
from lmaps.util.text import nearest

log = logging.getLogger(__name__)

GROUP_REQUESTS = 256
GROUP_BYTES = 1024 * 1024
"""A group takes no more requests, and no more bytes, than this; a larger request goes alone."""
RETRY_AFTER_MS = 100
"""When a subject that has too many requests in flight is to ask again."""


class Route(NamedTuple):
    """The endpoint that a request names, and the request as the endpoint reads it.

    ``finish`` turns the reply into the original's form; None for a request of today's form.
    """

    endpoint: Endpoint
    request: Request
    finish: legacy.Finish | None = None

    def finished(self, visit: RequestContext, answer: Answer) -> Answer:
        """Return the endpoint's answer in the form of the request."""
        return answer if self.finish is None or not isinstance(answer, Reply) else self.finish(visit, answer)


def find_route(visit: RequestContext, payload: dict[str, Any]) -> Route:
    """Return the route of a decoded request, of today's form or the original's, and note its door in ``visit``.

    Raises `MessageRefused` for a request of neither form, `NotFound` for a name that is not in the table.
    """
    visit.manager.beat()
    if "v" in payload:
        request, finish = Request.decode(payload), None
        if request.door == Door.CLI:
            visit.door = Door.CLI
    else:
        translated = legacy.translate(payload)
        request, finish = translated.request, translated.finish
        visit.door = Door.LEGACY
    endpoint = ENDPOINTS.get(request.verb)
    if endpoint is None:
        near = nearest(request.verb, ENDPOINTS)
        raise NotFound(
            f"cannot do {request.verb[:64]!r}: there is no such verb" + (f"; did you mean {near}?" if near else ""),
        )
    return Route(endpoint, request, finish)


class ClientRequests:
    """Takes what clients ask for and gives back what they are to know."""

    def __init__(self, service: ManagerState, store: Store, clients: ServerSocket) -> None:
        self.service = service
        self._store = store
        self._clients = clients
        self._parked: list[tuple[Deferred, ClientRequest]] = []
        self._in_flight: Counter[int | str | None] = Counter()
        self._slow: dict[int | str | None, float] = {}

    def collect(self) -> list["ClientRequest"]:
        """The requests that wait at the socket, as many as make one group; what cannot be read is refused at once."""
        group: list[ClientRequest] = []
        counters = self.service.counters
        size = 0
        for _ in range(GROUP_REQUESTS):  # refused ones count too: who floods does not keep the others waiting
            incoming = self._clients.receive() if size < GROUP_BYTES else None
            if incoming is None:
                break
            failpoint("recv")
            size += len(incoming.body)
            try:
                request = ClientRequest(self, incoming)
            except MessageRefused as refused:
                self.send(incoming, Reply.refusal(refused).encode(), refused.code)
                continue
            if self._enter(incoming.peer):
                group.append(request)
            else:
                request.refuse(self._too_many())
        if group:
            counters["groups"] += 1
            counters["group_largest"] = max(counters["group_largest"], len(group))
        counters["dropped"] = self._clients.dropped
        counters["connections_refused"] = self._clients.authenticator.refused
        return group

    def section(self, incoming: Incoming) -> Section:
        """Which limits hold for a message; it is found out only for one that may exceed those that hold for all."""
        service, peer = self.service, incoming.peer
        if fits(incoming.body, service.config["limits"]["message"]):
            return "message"
        return service.section(service.policy.subject(peer.uid, peer.gid, peer.key))

    def _enter(self, peer: Peer) -> bool:
        """Count a request that is to be answered; False if its subject has too many."""
        if not self.service.bounds(peer.uid):
            return True
        who = peer.key or peer.uid
        if self._in_flight[who] >= self.service.config["limits"]["in_flight"]:
            return False
        self._in_flight[who] += 1
        return True

    def _too_many(self) -> Busy:
        most = self.service.config["limits"]["in_flight"]
        return Busy(
            f"cannot take the request: {most} of this subject wait for their answers already (limits.in_flight)",
            extra={"retry_after_ms": RETRY_AFTER_MS},
        )

    def leave(self, peer: Peer) -> None:
        """A request that was counted has its answer."""
        if self.service.bounds(peer.uid):
            who = peer.key or peer.uid
            self._in_flight[who] -= 1
            if not self._in_flight[who]:
                del self._in_flight[who]

    def took_long(self, peer: Peer, seconds: float) -> None:
        """Serve others first for as long as a subject's request has taken in vain."""
        if self.service.bounds(peer.uid):
            self._slow[peer.key or peer.uid] = time.monotonic() + seconds

    def expect_quick(self, peer: Peer) -> None:
        """The subject has not just had more than its share of the time; else `Busy`."""
        who = peer.key or peer.uid
        left = self._slow.get(who, -math.inf) - time.monotonic() if self._slow else 0
        if left > 0:
            words = "an earlier request of this subject took too long, others come first"
            raise Busy(f"cannot take the request: {words}", extra={"retry_after_ms": math.ceil(left * 1000)})
        self._slow.pop(who, None)

    def encode(self, reply: Reply, request_id: str | None) -> bytes:
        """The body of an answer; `TooLarge` if it has more bytes than an answer may have."""
        body = reply.encode(request_id)
        most = self.service.config["limits"]["reply"]
        if len(body) > most:
            words = f"the answer has {len(body):,} bytes, {most:,} is the most (limits.reply)"
            raise TooLarge(f"cannot answer: {words}; nothing was changed", hint="ask for less at once")
        return body

    def send(self, incoming: Incoming, body: bytes, code: str | None) -> None:
        """Answer the request that came as ``incoming``."""
        counters = self.service.counters
        counters["requests"] += 1
        counters["refused"] += code is not None
        counters["busy"] += code == Busy.code
        self._clients.send(incoming.identity, body)

    def knows(self, peer: Peer) -> bool:
        """Whether what ``peer`` has proved in its handshake still counts."""
        return self._clients.authenticator.is_authorized(peer)

    def after(self, answer: AfterCommit) -> Reply:
        """The answer that is made outside every transaction."""
        try:
            return answer.then(self._store)
        except LmapsError as error:
            return Reply.refusal(error)

    def park(self, later: Deferred, request: "ClientRequest") -> None:
        """Keep a request whose answer is not there yet."""
        self._parked.append((later, request))

    def due(self, moved: Collection[int]) -> list["ClientRequest"]:
        """Parked requests that may have an answer now: their job is among ``moved``, or their time is over."""
        now = time.monotonic()
        due = [parked for parked in self._parked if parked[0].job in moved or parked[0].until <= now]
        self._parked = [parked for parked in self._parked if parked not in due]
        return [request for _, request in due]

    @property
    def next_due(self) -> float:
        """When the first parked request's time is over (monotonic), infinity if there is none."""
        return min((later.until for later, _ in self._parked), default=math.inf)


class ClientRequest:
    """One client's request as a piece of work."""

    def __init__(self, desk: ClientRequests, incoming: Incoming) -> None:
        self._desk = desk
        self._incoming = incoming
        self._told = read(incoming.body, desk.service.config["limits"], desk.section(incoming))
        told_id = self._told.get("id")
        self._id = told_id if isinstance(told_id, str) else None
        self._arrived = time.monotonic()
        self._waiting: Deferred | None = None
        self._overdue: TookTooLong | None = None
        self._answer: Answer = Reply("")
        self._body = b""

    def run(self, tx: Transaction) -> None:
        """Let the verb answer. An error that left nothing behind is an answer too, any other undoes the group.

        So do those of the database: what they mean depends on whether it can be opened again.
        """
        peer = self._incoming.peer
        self._visit = self._new_visit(tx)
        with log_context(request=self._id, subject=self._visit.subject.name):
            begin = time.monotonic()
            try:
                if self._overdue is not None:  # it would take as long again
                    raise self._overdue
                if self._waiting is not None:
                    self._answer = self._waiting.resume(tx)
                else:
                    self._desk.expect_quick(peer)
                    route = find_route(self._visit, self._told)
                    self._answer = route.finished(self._visit, route.endpoint.answer(self._visit, route.request))
                if isinstance(self._answer, Reply):
                    self._body = self._desk.encode(self._answer, self._id)
            except LmapsError as error:
                log.debug("refused: %s", error.code)
                if isinstance(error, TookTooLong):
                    self._overdue = error
                    self._desk.took_long(peer, time.monotonic() - begin)
                if tx.wrote or isinstance(error, StoreError):
                    raise
                self._refusal(error)
            except DATABASE_ERRORS:
                raise  # the store knows what they mean
            except Exception as error:  # the edge: whatever one request meets, the others go on
                log.exception("request failed")
                raise LmapsError("cannot answer: an internal error, written to the daemon's log") from error

    def _new_visit(self, tx: Transaction) -> RequestContext:
        """Return the visit of the subject that the socket has proved; a key that no longer counts proves nothing."""
        peer, service = self._incoming.peer, self._desk.service
        subject = service.policy.subject(peer.uid, peer.gid, peer.key)
        if not self._desk.knows(peer):
            subject = subject._replace(proofs=frozenset())
        return RequestContext(service, tx, subject, arrived=self._arrived)

    def settle(self) -> None:
        """Send the answer, or wait for it; then log what was audited."""
        self._settle()
        for entry in self._visit.audited:
            with log_context(request=self._id, **_fields(entry)):
                log.info("request done" if entry.outcome == "ok" else "request denied")

    def _settle(self) -> None:
        if isinstance(self._answer, AfterCommit):
            self._say(self._desk.after(self._answer))
            return
        if isinstance(self._answer, Deferred) or self._answer.job is not None:
            self._desk.service.signals.queue_changed = True
        if isinstance(self._answer, Deferred):
            self._waiting = self._answer
            self._desk.park(self._answer, self)
        else:
            self._send(self._answer.code)

    def fail(self, error: LmapsError) -> None:
        """Tell the client that nothing was kept."""
        self._refusal(error)
        self._send(error.code)

    def refuse(self, busy: Busy) -> None:
        """Tell the client that it has not even been counted."""
        self._refusal(busy)
        self._desk.send(self._incoming, self._body, busy.code)

    def _say(self, reply: Reply) -> None:
        code = reply.code
        try:
            self._body = self._desk.encode(reply, self._id)
        except TooLarge as error:
            code = error.code
            self._refusal(error)
        self._send(code)

    def _refusal(self, error: LmapsError) -> None:
        self._answer = Reply.refusal(error, self._id)
        self._body = self._answer.encode()

    def _send(self, code: str | None) -> None:
        self._desk.leave(self._incoming.peer)
        self._desk.send(self._incoming, self._body, code)


def _fields(entry: Audited) -> dict[str, Any]:
    """What a line of the log tells of a row of the audit."""
    return {
        "subject": entry.subject,
        "on_behalf_of": entry.on_behalf_of,
        "door": entry.door,
        "verb": entry.verb,
        "unit": entry.unit,
        "key": entry.request_key,
        "revision": entry.revision,
        "job": entry.job,
        "suppressed": entry.suppressed or None,
    }
